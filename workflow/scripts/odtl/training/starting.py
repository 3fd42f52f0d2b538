"""How a training starts: from the last model's weights, from pretrained ones, or from random ones."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from odtl import warm_start as warm
from odtl.batch_norm import restore_statistics
from odtl.progress import Progress
from odtl.restoring import PARTS, Restored, restore
from odtl.restoring.classes import ClassNames
from odtl.restoring.normalisation import fold_normalisation
from odtl.training_state import State

# Batches that the statistics of batch normalisation are measured on, where they were folded.
MEASURED_BATCHES = 16


def start(model, plan: warm.Plan, state: State, progress: Progress, images: Callable[[], Iterable]) -> None:
    """Put the weights of step 0 into a model, and tell and record which these are.

    model: a fresh one of `plan.config`; in the scope of its strategy. images: gives some batches of training images.
    """
    begin = plan.start
    if begin and begin.parent:
        progress.say(f"Starting from {begin.why}.")
        # Their normalisation is folded already.
        names = ClassNames(begin.label_map, plan.label_map)
        _tell(restore(model, state.last / "ckpt", PARTS, plan.config, names), state, progress)
        return
    if begin:
        progress.say(f"Full training: {begin.why}.")
    checkpoint, modules = plan.config.task.init_checkpoint, plan.config.task.init_checkpoint_modules
    if not checkpoint:
        progress.say("Starting from random weights.")
        return
    parts = [modules] if isinstance(modules, str) else list(modules)
    classes = plan.parts.get("classes")
    names = ClassNames(classes["known"], plan.label_map, classes["same"]) if classes and plan.label_map else None
    restored = restore(model, checkpoint, parts, plan.config, names)
    if plan.parts["normalisation"] and "backbone" in parts:
        _fold_normalisation(model.backbone, plan.parts["normalisation"], progress)
    if plan.parts.get("folded_batch_norm") and "backbone" in parts:
        count = restore_statistics(model.backbone, images())
        progress.say(f"Measured are the statistics of {count} layers of batch normalisation, which had been folded.")
    progress.say(f"Starting from {checkpoint}.")
    _tell(restored, state, progress)


def some_images(trainer) -> list:
    """Return some batches of training images, as the model of a trainer (see `trainer`) takes them."""
    data = trainer.training_batches()
    return [images for images, _ in data.take(MEASURED_BATCHES)]


def figures_of(normalisation: Mapping[str, Any] | None) -> dict[str, list[float]] | None:
    """Return `mean` and `stddev` of what the zoo says of a normalisation, as a plan's parts hold them."""
    return normalisation and {key: [float(value) for value in normalisation[key]] for key in ("mean", "stddev")}


def _tell(restored: Restored, state: State, progress: Progress) -> None:
    state.record(0, restored=restored.as_dict())
    progress.say(str(restored))


def _fold_normalisation(backbone, normalisation, progress: Progress) -> None:
    if not fold_normalisation(backbone, **normalisation):
        progress.say(
            "The pretrained weights were made for images normalised in another way than official.vision does, and "
            "this backbone does not allow to make up for it: expect the first steps to adapt it."
        )
