"""Looking after a training: whether its loss and weights are still numbers, and whether the loss still falls.

Each step reports on itself (`report_of`); a look at the reports finds the very step, and the images of its batch.
"""

import itertools
import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from odtl.training.inputs import SOURCE_ID
from odtl.training.trouble import Trouble

# The smoothed loss, and the multiple of its lowest value that tells of divergence, are those of fastai's learning-rate
# finder: a moving average with 0.98, which spans some 50 steps, and 4 times
# (https://docs.fast.ai/callback.schedule.html#lrfinder). That finder ends at one such step; a training goes through
# hard batches, too, and is given up only if the average, and most batches, stay there for as many steps as it spans.
SMOOTHING = 0.98
DIVERGED = 4.0
SPAN = 50
# A checkpoint is good to go on from if so many steps after it went well: what ruins weights shows in the steps after.
PROVEN = 10


def report_of(loss, labels: Mapping, model) -> dict:
    """Return what a training step tells of itself, as tensors: to be called after its update, in its graph.

    loss: scalar. labels: of its batch, batch first, with SOURCE_ID.
    """
    import tensorflow as tf

    images = labels[SOURCE_ID]
    others = [value for name, value in labels.items() if name != "anchor_boxes"]
    targets = [value for value in tf.nest.flatten(others) if value.dtype.is_floating]
    # A sum is a number only if all that is summed are.
    sums = [tf.reduce_sum(tf.reshape(target, [tf.shape(images)[0], -1]), axis=1) for target in targets]
    # What is no number goes back to the first layer; where the head alone is trained, to its last one.
    variables = model.trainable_variables
    return {
        "loss": loss,
        "images": images,
        # A number, for devices cannot gather truths.
        "bad": tf.cast(tf.logical_not(tf.math.is_finite(tf.add_n(sums))), tf.int32),
        "weights": tf.reduce_all([tf.reduce_all(tf.math.is_finite(end)) for end in (variables[0], variables[-1])]),
    }


def all_finite(model) -> bool:
    """Say whether all of a model's weights are numbers."""
    import tensorflow as tf

    floats = [variable for variable in model.variables if variable.dtype.is_floating]
    # Each device's own: to read what they have together takes a sum over all of them.
    copies = itertools.chain.from_iterable(map(tf.distribute.get_strategy().experimental_local_results, floats))
    return all(bool(tf.reduce_all(tf.math.is_finite(copy))) for copy in copies)


class Watch:
    """Look at the reports of a training's steps, in their order.

    first: the step that the training goes on from. warmup: the step at which its warm-up ends; until then, no loss that
    is a number is taken for divergence.
    """

    def __init__(self, first: int, warmup: int) -> None:
        self._step, self._first, self._warmup = first, first, warmup
        self._recent: deque[float] = deque(maxlen=SPAN)
        self._sum, self._weight = 0.0, 0.0
        self._lowest, self._lowest_at = math.inf, first
        self._high = 0
        self._last: Mapping = {}
        # Steps, losses and reports that go further back than it takes to be sure of a divergence.
        self._past: deque[tuple[int, float, Mapping]] = deque(maxlen=4 * SPAN)

    def look(self, reports: Sequence[Mapping]) -> Trouble | None:
        """Return what is wrong with the first of these steps that went wrong, or None."""
        for report in reports:
            self._step, self._last = self._step + 1, report
            loss = float(report["loss"])
            if not math.isfinite(loss):
                return self._trouble("loss", loss, report)
            if not report["weights"]:
                return self._trouble("weights", loss, report)
            self._recent.append(loss)
            self._past.append((self._step, loss, report))
            self._average(loss)
            # The average remembers one very hard batch, or a bad time that has passed, for longer than it spans.
            if self._high >= SPAN and statistics.median(self._recent) > DIVERGED * self._lowest:
                return self._trouble("divergence", self._smoothed, report)
        return None

    def check(self, finite: bool) -> Trouble | None:
        """Return what is wrong after the last step, or None: to be called before its weights are saved.

        finite: whether all of them are numbers.
        """
        if finite:
            return None
        return self._trouble("weights", self._recent[-1], self._last)

    @property
    def _smoothed(self) -> float:
        # The first values weigh too much without it (Kingma and Ba 2015, section 3).
        return self._sum / self._weight

    def _average(self, loss: float) -> None:
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)
        # An average of a few batches may be low by chance.
        if self._step - self._first < SPAN:
            return
        if self._smoothed < self._lowest:
            self._lowest, self._lowest_at = self._smoothed, self._step
        high = self._step > self._warmup and self._rose()
        self._high = self._high + 1 if high else 0

    def _rose(self) -> bool:
        return self._weight > 0 and self._smoothed > DIVERGED * self._lowest

    def _where_it_rose(self) -> tuple[int, Mapping]:
        """Return step and report of the first high loss that was followed by mostly high ones, not by chance alone."""
        past = [entry for entry in self._past if entry[0] > self._lowest_at]
        limit = DIVERGED * self._lowest
        for number, (step, loss, report) in enumerate(past):
            if loss > limit and statistics.median(each for _, each, _ in past[number : number + PROVEN]) > limit:
                return step, report
        return self._step, self._last

    def _trouble(self, what: str, loss: float, report: Mapping) -> Trouble:
        began = self._step
        if what == "divergence":
            began, report = self._where_it_rose()
        images, bad = np.asarray(report["images"]), np.asarray(report["bad"], bool)
        before = list(self._recent)[: -1 if what == "divergence" else None]
        rising = self._rose() or (len(before) > 1 and before[-1] > DIVERGED * min(before))
        return Trouble(
            self._step,
            what,
            loss,
            before[-3:],
            self._lowest,
            rising,
            [int(number) for number in images.ravel()],
            [int(number) for number in images[bad].ravel()],
            min(self._step - PROVEN, self._lowest_at if self._rose() else self._step),
            began,
        )


def merged(reports, strategy) -> dict:
    """Return the reports of a step's replicas as one, of the whole batch: to be called in the step's graph.

    reports: what `strategy.run` makes of `report_of`. The images come replica by replica.
    """
    import tensorflow as tf

    return {
        # Each has divided its loss by what its own images hold: official.vision takes the mean.
        "loss": strategy.reduce(tf.distribute.ReduceOp.MEAN, reports["loss"], axis=None),
        "images": strategy.gather(reports["images"], axis=0),
        "bad": strategy.gather(reports["bad"], axis=0),
        # All have the same weights.
        "weights": strategy.experimental_local_results(reports["weights"])[0],
    }


def warmup_steps(config) -> int:
    """Return how many steps of an ExperimentConfig's learning rate are its warm-up."""
    warmup = config.trainer.optimizer_config.warmup
    return getattr(warmup.get(), "warmup_steps", 0) if warmup and warmup.type else 0
