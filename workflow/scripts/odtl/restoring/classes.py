"""The rows of a head that belong to one class each: whose is whose in two detectors, and how they are moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from odtl.errors import InputError, Problem, nearest
from odtl.labels import same_but_for_spelling


@dataclass(frozen=True)
class ClassNames:
    """The classes of a checkpoint and of a model.

    before, now: name -> id, from 1; id 0 is the background.
    same:        name now -> name before, of classes that are the same under different names.
    """

    before: Mapping[str, int]
    now: Mapping[str, int]
    same: Mapping[str, str] = field(default_factory=dict)

    def known(self) -> dict[str, str]:
        """Return name now -> name before of the classes that both have, in order of the names now.

        Those of `same`; else those of the same name; else those whose names differ in nothing but case, white space,
        hyphens and underscores, where no other one of either side does so. What is only similar is not the same.
        No class of the checkpoint is given away twice.
        Raises InputError where `same` names classes that there are not.
        """
        self._check()
        pairs = dict(self.same)
        for match in (_equal, _alike):
            free = set(self.before) - set(pairs.values())
            rest = [name for name in self.now if name not in pairs]
            pairs |= {name: found for name in rest if (found := match(name, free, rest))}
        return {name: pairs[name] for name in self.now if name in pairs}

    def _check(self) -> None:
        problems = []
        for ours, theirs in self.same.items():
            for name, known, whose in ((ours, self.now, "data"), (theirs, self.before, "pretrained model")):
                if name not in known:
                    cure = f"Not a class of the {whose}.{nearest(name, known)}"
                    problems.append(Problem("config", f"same_classes.{ours}", repr(name), cure))
        if twice := sorted({name for name in self.same.values() if list(self.same.values()).count(name) > 1}):
            cure = "Each class of the pretrained model can be one of yours only."
            problems.append(Problem("config", "same_classes", ", ".join(twice), cure))
        if problems:
            raise InputError(problems, "The classes do not fit together")


def _equal(name: str, free: set[str], rest: Sequence[str]) -> str | None:
    return name if name in free else None


def _alike(name: str, free: set[str], rest: Sequence[str]) -> str | None:
    found = same_but_for_spelling(name, free)
    return found if found and same_but_for_spelling(found, rest) == name else None


def move_rows(old: np.ndarray, new: np.ndarray, each: int, rows: Mapping[int, int], classes_first: bool) -> np.ndarray:
    """Return a copy of `new` with the values that `old` has for the same classes.

    old, new:      weights of one layer; equal in shape but along the last axis, which holds `each` values per class.
    rows:          new id -> old id.
    classes_first: whether that axis holds all values of one class together (True), or all classes of the first anchor,
                   then all of the second, ... (False).
    """
    place = -2 if classes_first else -1
    shapes = [
        (*array.shape[:-1], *((-1, each) if classes_first else (each, array.shape[-1] // each))) for array in (old, new)
    ]
    source, target = np.moveaxis(old.reshape(shapes[0]), place, 0), np.array(new).reshape(shapes[1])
    places = np.moveaxis(target, place, 0)
    for to, origin in rows.items():
        places[to] = source[origin]
    return target.reshape(new.shape)


@dataclass(frozen=True)
class ClassLayers:
    """Which layers of a head depend on the classes, and how their last axis holds them (see `move_rows`)."""

    layers: tuple[str, ...]
    classes_first: bool = True


def class_layers(module) -> ClassLayers | None:
    """Return which layers of one of official.vision's heads depend on the classes; None for a head not known here.

    module: a head, or the list of them that a two-stage detector has: one, or several of a cascade.

    As the losses and the detection generator of official.vision take the outputs apart: `RetinaNetHead` has for each
    anchor all classes, `DetectionHead` for each class its four box offsets; `RPNHead` does not tell classes apart.
    """
    from official.vision.modeling.heads import dense_prediction_heads, instance_heads

    heads = list(module) if isinstance(module, list) else [module]
    if all(isinstance(head, dense_prediction_heads.RetinaNetHead) for head in heads):
        return ClassLayers(("_classifier",), classes_first=False)
    if all(isinstance(head, dense_prediction_heads.RPNHead) for head in heads):
        return ClassLayers(())
    if all(isinstance(head, instance_heads.DetectionHead) for head in heads):
        agnostic = all(head.get_config()["class_agnostic_bbox_pred"] for head in heads)
        return ClassLayers(("_classifier",) if agnostic else ("_classifier", "_box_regressor"))
    return None
