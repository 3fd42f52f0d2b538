"""Which weights of a training are exported: the best, the last, or those of a step."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odtl.errors import InputError, Problem
from odtl.last_model import model_id
from odtl.training_state import State


@dataclass(frozen=True)
class Choice:
    """The weights to export.

    wanted: "best", "last" or a step, as configured. step: whose weights they are. reason: why these, in words.
    prefix: of the checkpoint.
    """

    wanted: str | int
    step: int
    reason: str
    prefix: str


def choose(
    wanted: str | int,
    training_path: str | os.PathLike,
    state_folder: str | os.PathLike,
) -> Choice:
    """Return the weights that are wanted of a finished training.

    wanted:        "best": those with the best validation AP, or what stands for them where that is not known; "last":
                   those after the last step; or a step.
    training_path: training.json, beside the checkpoint `ckpt` with the best ones.
    state_folder:  of the training: it keeps the others, and training.json has their digests.

    Raises InputError, naming the steps at hand, where the step was not kept or its weights are not what they were.
    """
    training = json.loads(Path(training_path).read_text(encoding="utf-8"))
    exported = training["exported"]
    if wanted == "best" or wanted == exported["step"] or (wanted == "last" and training["steps"] == exported["step"]):
        return Choice(
            wanted, exported["step"], _reason(wanted, exported["reason"]), str(Path(training_path).with_name("ckpt"))
        )
    step = training["steps"] if wanted == "last" else wanted
    prefix, kept = State.kept_in(state_folder, step), training.get("kept", {})
    if str(step) not in kept:
        raise _refused(wanted, training, training_path, f"step {step}, which was not kept")
    if not Path(f"{prefix}.index").exists():
        raise _refused(wanted, training, prefix, f"no weights of step {step}, though they were kept")
    if model_id(prefix) != kept[str(step)]:
        raise _refused(wanted, training, prefix, f"other weights of step {step} than the training has left")
    return Choice(wanted, step, _reason(wanted, ""), prefix)


def _reason(wanted: str | int, best: str) -> str:
    if wanted == "best":
        return best
    asked = "the last weights" if wanted == "last" else f"step {wanted}"
    return f"{asked}, as `export.checkpoint` asks for" + (f"; they have the {best}" if best.startswith("best") else "")


def _refused(wanted: str | int, training: Mapping[str, Any], place: str | os.PathLike, found: str) -> InputError:
    steps = sorted({*map(int, training.get("kept", {})), training["exported"]["step"]})
    cure = (
        f"At hand are the steps {', '.join(map(str, steps))}; the best is {training['exported']['step']}. Name one of "
        "them in `export.checkpoint`. A training keeps the weights of its last `training.keep_checkpoints` evaluations."
    )
    problem = Problem(str(place), f"export.checkpoint {wanted}", found, cure)
    return InputError(problem, "The checkpoint cannot be exported")
