"""Which weight of a detector is which of a checkpoint, or why it is none of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from odtl.restoring.classes import ClassLayers, ClassNames, class_layers, move_rows
from odtl.restoring.saved import SavedWeights, weights_by_place


@dataclass(frozen=True)
class Match:
    """A weight of a model and what a checkpoint has for it.

    variable: of the model. key: in the checkpoint, or None.
    fresh:    why it cannot be taken; "" where it can.
    rows:     new id -> old id of the classes to take it for; None where it does not depend on the classes.
    each, classes_first: see `classes.move_rows`.
    """

    variable: Any
    key: str | None
    fresh: str = ""
    rows: Mapping[int, int] | None = None
    each: int = 1
    classes_first: bool = True

    def value(self, saved: SavedWeights) -> np.ndarray:
        """Return what the variable becomes."""
        tensor = saved.tensor(self.key)
        if self.rows is None:
            return tensor
        return move_rows(tensor, self.variable.numpy(), self.each, self.rows, self.classes_first)


def modules_of(model, part: str) -> dict[str, Any]:
    """Return name -> Keras layer of one part of a detector; the head of a two-stage detector is several."""
    items = dict(model.checkpoint_items)
    if part == "head":
        return {name: module for name, module in items.items() if name not in ("backbone", "decoder")}
    return {part: items[part]} if part in items else {}


def match_weights(saved: SavedWeights, modules: Mapping[str, Any]) -> dict[str, Match]:
    """Return place -> match of each weight of some layers, whatever the classes are."""
    matches = {}
    for part, module in modules.items():
        keys = saved.keys_of(part, module)
        for name, variable in weights_by_place(part, module).items():
            key = keys.get(id(variable))
            if key is None:
                reason = "not in the checkpoint"
            elif list(variable.shape) != list(saved.shape(key)):
                reason = f"{list(saved.shape(key))} in the checkpoint, {list(variable.shape)} here"
            else:
                reason = ""
            matches[name] = Match(variable, key, reason)
    return matches


def match_classes(
    matches: Mapping[str, Match],
    saved: SavedWeights,
    heads: Mapping[str, Any],
    num_classes: int,
    names: ClassNames | None,
    known: Mapping[str, str],
) -> dict[str, Match]:
    """Return the matches of the heads' weights, with those that depend on the classes matched class by class.

    matches: as `match_weights` gives them for `heads`. num_classes: of the model, the background among them.
    names:   the classes of both sides. known: name now -> name before of those that are the same.
    """
    result = dict(matches)
    for part, module in heads.items():
        layers = class_layers(module)
        for name in weights_by_place(part, module):
            if layers is None:
                result[name] = replace(matches[name], fresh="of a head whose classes are not told apart here")
            elif _depends(matches[name].variable, name, layers, num_classes):
                result[name] = _by_class(matches[name], saved, num_classes, names, known, layers.classes_first)
    return result


def _depends(variable, name: str, layers: ClassLayers, num_classes: int) -> bool:
    # The depthwise kernel of a separable layer holds one value per input channel.
    return not set(layers.layers).isdisjoint(name.split("/")) and variable.shape[-1] % num_classes == 0


def _by_class(
    match: Match,
    saved: SavedWeights,
    num_classes: int,
    names: ClassNames | None,
    known: Mapping[str, str],
    classes_first: bool,
) -> Match:
    if match.key is None:
        return match
    if not known:
        why = "no class is known to both" if names else "the checkpoint's classes are not known"
        return replace(match, fresh=f"depends on the classes, and {why}")
    here, there = list(match.variable.shape), list(saved.shape(match.key))
    each, saved_classes = here[-1] // num_classes, max(names.before.values()) + 1
    if there[:-1] != here[:-1] or there[-1] != each * saved_classes:
        return replace(match, fresh=f"{there} in the checkpoint, which is not that of {saved_classes - 1} classes")
    rows = {0: 0, **{names.now[now]: names.before[before] for now, before in known.items()}}
    return replace(match, fresh="", rows=rows, each=each, classes_first=classes_first)
