"""What of a checkpoint fits a detector, and how it gets there: backbone, decoder, head, and in it the known classes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from odtl.checkpoints import is_whole
from odtl.errors import InputError, Problem
from odtl.restoring.classes import ClassNames
from odtl.restoring.matching import Match, match_classes, match_weights, modules_of
from odtl.restoring.saved import SavedWeights

# The parts of a detector that can be taken from a checkpoint; what each means is told at `restore`.
PARTS = ("backbone", "decoder", "head")


@dataclass(frozen=True)
class Restored:
    """How much of a model came from a checkpoint.

    taken:         part -> (weights taken, weights the part has).
    fresh:         weights of those parts that were not taken -> why.
    classes:       name now -> name in the checkpoint, of the classes whose rows of the head were taken.
    fresh_classes: the others, whose rows start fresh.
    """

    taken: Mapping[str, tuple[int, int]]
    fresh: Mapping[str, str]
    classes: Mapping[str, str] = field(default_factory=dict)
    fresh_classes: Sequence[str] = ()

    def as_dict(self) -> dict:
        """Return it as JSON can hold it."""
        return {
            "parts": {part: {"taken": taken, "of": total} for part, (taken, total) in self.taken.items()},
            "fresh": dict(self.fresh),
            "classes": dict(self.classes),
            "fresh_classes": list(self.fresh_classes),
        }

    def __str__(self) -> str:
        """Say what was taken, what was not, and which classes were known, each in a sentence."""
        taken = ", ".join(f"{part} {taken} of {total}" for part, (taken, total) in self.taken.items())
        return " ".join([f"Taken are the weights of {taken}.", *self._told_fresh(), *self._told_classes()])

    def _told_fresh(self) -> Iterator[str]:
        if self.fresh:
            names = [f"{name} ({self.fresh[name]})" for name in sorted(self.fresh)]
            yield f"Fresh are {_some(names)}."

    def _told_classes(self) -> Iterator[str]:
        if self.classes:
            names = [now if now == before else f"{now} (there: {before})" for now, before in self.classes.items()]
            yield f"Known classes: {_some(names, 10)}."
            if self.fresh_classes:
                yield f"New classes: {_some(self.fresh_classes, 10)}."


def restore(
    model, prefix: str | os.PathLike, parts: Sequence[str], config, names: ClassNames | None = None
) -> Restored:
    """Put into a model those weights of a checkpoint that fit it, and say which they were.

    prefix: of a checkpoint whose root holds backbone, decoder and heads by name, or does so under `model`: what
            official.vision's trainers save, for detectors and for classifiers.
    parts:  "backbone"; "decoder"; "head", which is all else.
    config: the model's ExperimentConfig.
    names:  the classes of the checkpoint and of the model; None where either is not known.

    Weights are matched by their place in the object graph, as TensorFlow does, and taken where the shape is the same.
    What of the head depends on the classes is taken for the classes that `names` knows on both sides, each where its id
    is now; the rest of it stays as it is, and so does the background where no class is known. Where the checkpoint
    does not have as many classes as `names` says, none is taken.

    Raises InputError where a part is unknown, where the checkpoint is not whole, where nothing of it fits, or where
    only pieces of the backbone fit: those belong to another network.
    """
    if unknown := sorted(set(parts) - set(PARTS)):
        cure = f"Allowed: {', '.join(PARTS)}."
        raise InputError(Problem("zoo", "restore", ", ".join(map(repr, unknown)), cure))
    if not is_whole(prefix):
        cure = "Fetch the pretrained model again, or name another checkpoint."
        raise InputError(Problem(str(prefix), "checkpoint", "an incomplete one or none", cure))
    saved = SavedWeights(prefix)
    plan = {part: match_weights(saved, modules_of(model, part)) for part in PARTS if part in parts}
    known = names.known() if names and "head" in plan else {}
    if "head" in plan:
        plan["head"] = match_classes(
            plan["head"], saved, modules_of(model, "head"), int(config.task.model.num_classes), names, known
        )
    _check(plan, prefix)
    for found in plan.values():
        for match in found.values():
            if not match.fresh:
                match.variable.assign(match.value(saved))
    if not any(match.rows for match in plan.get("head", {}).values()):
        known = {}
    return Restored(
        {part: (sum(not match.fresh for match in found.values()), len(found)) for part, found in plan.items()},
        {name: match.fresh for found in plan.values() for name, match in found.items() if match.fresh},
        known,
        [name for name in names.now if name not in known] if names and "head" in plan else (),
    )


def _check(plan: Mapping[str, Mapping[str, Match]], prefix: str | os.PathLike) -> None:
    if not any(not match.fresh for found in plan.values() for match in found.values()):
        cure = f"Nothing in it fits this model's {', '.join(plan) or 'parts'}: is it of another model?"
        raise InputError(Problem(str(prefix), "weights", "none that can be used", cure))
    lost = {name: match.fresh for name, match in plan.get("backbone", {}).items() if match.fresh}
    if lost:
        name, reason = next(iter(lost.items()))
        found = f"{len(lost)} of {len(plan['backbone'])} backbone weights that do not fit, such as {name} ({reason})"
        cure = "The checkpoint is of another backbone: name one that fits, or leave `backbone` out of `restore`."
        raise InputError(Problem(str(prefix), "backbone", found, cure))


def _some(names: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}"
