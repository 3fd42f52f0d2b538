"""How a training starts: from the last model's weights, from pretrained ones, or from random ones."""

from odtl import warm_start as warm
from odtl.checkpoints import Restored, fold_normalisation, restore_detector, restore_parts
from odtl.progress import Progress
from odtl.training_state import State


def start(model, plan: warm.Plan, state: State, progress: Progress) -> None:
    """Put the weights of step 0 into a model, and tell and record which these are.

    model: a fresh one of `plan.config`; in the scope of its strategy.
    """
    begin = plan.start
    if begin and begin.parent:
        progress.say(f"Starting from {begin.why}.")
        # Their normalisation is folded already.
        restored = restore_detector(model, state.last / "ckpt", plan.config, begin.label_map, plan.label_map)
        progress.say(f"Taken are the weights of {restored}.")
        _tell_fresh(restored, state, progress)
        return
    if begin:
        progress.say(f"Full training: {begin.why}.")
    checkpoint, modules = plan.config.task.init_checkpoint, plan.config.task.init_checkpoint_modules
    if not checkpoint:
        progress.say("Starting from random weights.")
        return
    parts = [modules] if isinstance(modules, str) else list(modules)
    restored = restore_parts(model, checkpoint, parts, plan.config)
    if plan.parts["normalisation"] and "backbone" in parts:
        _fold_normalisation(model.backbone, plan.parts["normalisation"], progress)
    progress.say(f"Starting from {checkpoint}: taken are the weights of {restored}.")
    _tell_fresh(restored, state, progress)


def _tell_fresh(restored: Restored, state: State, progress: Progress) -> None:
    state.record(0, restored=restored.as_dict())
    if restored.fresh:
        names = sorted(restored.fresh)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        progress.say(f"Fresh are {', '.join(names[:3])}{more}.")


def _fold_normalisation(backbone, normalisation, progress: Progress) -> None:
    if not fold_normalisation(backbone, **normalisation):
        progress.say(
            "The pretrained weights were made for images normalised in another way than official.vision does, and "
            "this backbone does not allow to make up for it: expect the first steps to adapt it."
        )
