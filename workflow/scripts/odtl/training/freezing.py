"""Layers that keep the weights they start with."""

from odtl.errors import InputError, Problem


def freeze_first(model, count: int) -> list[str]:
    """Keep the first `count` layers of a detector's backbone as they are; return the names of their Keras layers.

    The statistics of their batch normalisation stay, too. Raises InputError where the backbone has fewer layers.
    """
    layers = layers_of(model.backbone)
    if count > len(layers):
        cure = f"The backbone has {len(layers)} layers: give at most that, or `backbone` for all."
        raise InputError(Problem("config", "freeze", str(count), cure))
    frozen = [part for layer in layers[:count] for part in layer]
    for part in frozen:
        part.trainable = False
    return [part.name for part in frozen]


def layers_of(backbone) -> list[list]:
    """Return the layers of a functional Keras model that have weights, each as a list of Keras layers.

    A layer is a convolution with the batch normalisation behind it, or a block (residual, inverted residual) as a
    whole. None feeds one before it, for Keras orders them by how far they are from the outputs: what lies before a
    frozen layer is frozen, too.
    """
    layers: list[list] = []
    place = {}
    for layer in backbone.layers:
        if not layer.weights:
            continue
        normalised = layer.inbound_nodes[0].inbound_layers if hasattr(layer, "moving_mean") else None
        if id(normalised) in place:
            place[id(layer)] = place[id(normalised)]
            layers[place[id(layer)]].append(layer)
        else:
            place[id(layer)] = len(layers)
            layers.append([layer])
    return layers
