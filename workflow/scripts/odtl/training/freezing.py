"""Layers that keep the weights they start with."""

from odtl.errors import InputError, Problem


def freeze_first(model, count: int) -> list[str]:
    """Keep the first `count` layers of a detector's backbone that have weights as they are; return their names.

    The statistics of their batch normalisation stay, too. Raises InputError where the backbone has fewer layers.
    """
    layers = [layer for layer in model.backbone.layers if layer.weights]
    if count > len(layers):
        cure = f"The backbone has {len(layers)} layers: give at most that, or `backbone` for all."
        raise InputError(Problem("config", "freeze", str(count), cure))
    for layer in layers[:count]:
        layer.trainable = False
    return [layer.name for layer in layers[:count]]
