"""A learning rate to start from: a range test, in which the rate rises from step to step until the loss blows up.

The test is Smith's ("Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3), the
exponential rise and the stop that of fast.ai's `lr_find`.
"""

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from odtl.checkpoints import on_one_device
from odtl.errors import InputError, Problem
from odtl.experiment import read_experiment
from odtl.progress import Progress
from odtl.training import runtime
from odtl.training.options import Options
from odtl.training.starting import figures_of, some_images, start
from odtl.training.trainer import make_trainer
from odtl.training_state import State
from odtl.warm_start import Plan

# They hold the rates that any of the optimizers is used with; 20 steps for each decade tell them apart.
LOWEST, HIGHEST = 1e-5, 10.0
MAX_STEPS = 120
# Where the loss is that many times the lowest one, there is nothing more to learn from it.
BLOWN_UP = 4.0
# Standard deviation of the smoothing, in decades of the rate.
SMOOTHING = 0.12
# Of the rate at which the loss is lowest. With that, the test and the trainings agreed: see docs/training.md.
SHARE_OF_LOWEST = 0.2
# A loss that falls by less than that share of its start says nothing about the rate.
LEAST_FALL = 0.05


def find_rate(
    experiment_path: str | os.PathLike,
    factory: str,
    normalisation: Mapping[str, Any] | None = None,
    options: Options | None = None,
    stream: TextIO | None = None,
    folded_batch_norm: bool = False,
) -> dict[str, Any]:
    """Return a learning rate for a training, and the curve that it was read from, as JSON can hold it.

    The arguments are those of `training.train`. The steps start as the full training does, from the same weights (but
    that the head's rows of all classes are fresh), with the same batches and optimizer, but without its schedule; they
    leave nothing behind.

    Gives `suggested`, None where no rate made the loss fall; `lowest_at`, the rate of the lowest smoothed loss;
    `configured`, the peak of the experiment's own schedule, None where it cannot be told; `rates`, `losses` and
    `smoothed` of each step; and `stopped`, why the steps ended.
    Raises InputError where the experiment or its checkpoint cannot be used, and where the loss is no number at once.
    """
    runtime.quiet()
    config = on_one_device(read_experiment(experiment_path, factory))
    options = options or Options()
    steps = min(MAX_STEPS, config.trainer.train_steps)
    rates = [float(rate) for rate in np.geomspace(LOWEST, HIGHEST, steps)]
    progress = Progress(steps, config.task.train_data.global_batch_size, stream=stream)
    parts = {"normalisation": figures_of(normalisation), "folded_batch_norm": folded_batch_norm}
    losses = _losses(rising(config, steps), parts, options, progress)
    if not losses:
        cure = "The loss is no number from the first step on: look at the data and at the pretrained checkpoint."
        raise InputError(Problem(str(experiment_path), "learning_rate", "no loss", cure))
    rates, smoothed = rates[: len(losses)], smooth(losses, steps)
    return {
        "suggested": suggest(rates, smoothed),
        "lowest_at": rates[int(np.argmin(smoothed))],
        "configured": peak_of(config),
        "stopped": "the highest rate was reached" if len(losses) == steps else "the loss blew up",
        "rates": rates,
        "losses": losses,
        "smoothed": smoothed,
    }


def rising(config, steps: int):
    """Return a copy of an ExperimentConfig whose learning rate rises from LOWEST to HIGHEST in `steps` steps."""
    risen = config.replace()
    optimizer = risen.trainer.optimizer_config
    optimizer.warmup.type = None
    optimizer.learning_rate.type = "exponential"
    optimizer.learning_rate.exponential.initial_learning_rate = LOWEST
    optimizer.learning_rate.exponential.decay_steps = max(1, steps - 1)
    optimizer.learning_rate.exponential.decay_rate = HIGHEST / LOWEST
    optimizer.learning_rate.exponential.staircase = False
    risen.trainer.train_steps = steps
    risen.lock()
    return risen


def peak_of(config) -> float | None:
    """Return the highest learning rate of an ExperimentConfig's schedule, None where it cannot be told."""
    schedule = config.trainer.optimizer_config.learning_rate.get()
    for name in ("initial_learning_rate", "learning_rate"):
        if getattr(schedule, name, None) is not None:
            return float(getattr(schedule, name))
    values = getattr(schedule, "values", None)
    return max(map(float, values)) if values else None


def smooth(losses: Sequence[float], steps: int) -> list[float]:
    """Return the losses smoothed over the logarithm of the rate, by a Gaussian: no lag, as a running mean has it.

    steps: of the whole range, LOWEST to HIGHEST; the losses may end before.
    """
    decades = np.arange(len(losses)) * math.log10(HIGHEST / LOWEST) / max(1, steps - 1)
    weights = np.exp(-0.5 * ((decades[:, None] - decades[None, :]) / SMOOTHING) ** 2)
    return [float(value) for value in weights @ np.array(losses) / weights.sum(axis=1)]


def suggest(rates: Sequence[float], smoothed: Sequence[float]) -> float | None:
    """Return a rate for the peak of a schedule, from that of the lowest smoothed loss; None where it did not fall."""
    lowest = int(np.argmin(smoothed))
    if smoothed[lowest] > (1 - LEAST_FALL) * smoothed[0]:
        return None
    return round_rate(SHARE_OF_LOWEST * rates[lowest])


def round_rate(rate: float) -> float:
    """Return a rate with two digits: the test cannot tell more."""
    return float(f"{rate:.1e}")


def blown_up(losses: Sequence[float]) -> bool:
    """Say whether the last loss is no number, or the mean of the last three BLOWN_UP times the lowest such mean."""
    if not math.isfinite(losses[-1]):
        return True
    means = [sum(losses[end - 3 : end]) / 3 for end in range(3, len(losses) + 1)]
    return bool(means) and means[-1] > BLOWN_UP * min(means)


def describe(found: Mapping[str, Any], experiment: str) -> str:
    """Return what `find_rate` found, in words, and how to set it for the experiment of that name."""
    if found["suggested"] is None:
        return (
            f"No learning rate between {LOWEST:g} and {found['rates'][-1]:.2g} made the loss fall: the weights may "
            "know these data already, or too few of the layers can learn."
        )
    now = found["configured"]
    lines = [
        f"Suggested learning rate for {experiment}: {found['suggested']:g} at the peak. The loss was lowest at "
        f"{found['lowest_at']:.2g}; {found['stopped']}."
    ]
    if now and 0.5 <= found["suggested"] / now <= 2:
        lines.append(f"The {now:g} that it has now is as good: the test cannot tell rates within a factor of two.")
    else:
        has = f"It has {now:g} now. " if now else ""
        lines.append(f"{has}To set it: experiments: {{{experiment}: {{learning_rate: {found['suggested']:g}}}}}")
    return "\n".join(lines)


def _losses(config, parts: Mapping[str, Any], options: Options, progress: Progress) -> list[float]:
    """Return the loss of each step of a training, until it has blown up; none of that loss is among them."""
    import tensorflow as tf

    strategy = runtime.strategy()
    runtime.set_seed(config.task.train_data.seed, 0)
    if options.deterministic:
        runtime.set_deterministic()
    runtime.set_precision(config.runtime.mixed_precision_dtype)
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder, strategy.scope():
        trainer = make_trainer(config, options, evaluates=False)
        start(trainer.model, Plan(config, parts), State(folder, parts), progress, lambda: some_images(trainer))
        for step in range(config.trainer.train_steps):
            logs = trainer.train(tf.constant(1, tf.int32))
            loss = float(logs["training_loss"])
            if blown_up([*losses, loss]):
                break
            losses.append(loss)
            progress.update(step + 1, loss)
    progress.close()
    return losses
