"""How long to train, in which batches, at which learning rate, and when to look: from the data, where nothing is set.

Where the numbers come from:
- About 16 epochs: the usual trainings of detectors from pretrained weights are 12 epochs of COCO's 118,000 images (the
  "1x schedule" of Detectron and its successors), 17 of the 16,551 of PASCAL VOC 07+12 (Detectron2's configuration).
- Small sets need more: 600 steps of batch 8 for the 150 images of raccoon, 32 epochs, is what was measured
  (benchmarks/README.md), and as many fine-tune the demo's 300.
- The rate grows with the batch: the linear scaling rule with warm-up of Goyal et al., "Accurate, Large Minibatch SGD",
  arXiv:1706.02677.
- The batch grows with the data, more slowly: Smith and Le, "A Bayesian Perspective on Generalization and Stochastic
  Gradient Descent", arXiv:1710.06451, find the best batch to grow with the size of the set.
- Spans are rounded to the most rounded preferred numbers of ISO 3 (R"10), so that an image more changes nothing most
  of the time, and never much.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from odtl.errors import InputError, Problem

EPOCHS = 16
# Images that are learnt from, however few or many there are: 600 batches of 8; 90,000 of 16, the 1x schedule of COCO.
FEWEST_SEEN, MOST_SEEN = 4_800, 1_440_000

SMALLEST_BATCH, USUAL_BATCH, LARGEST_BATCH = 2, 8, 32
# The batch doubles with four times as many images, from so many on that 8 are the best.
IMAGES_OF_USUAL_BATCH = 1_000
# 32 images of 256 px, 8 of 512 px, 2 of 1024 px: activations grow with the pixels, and 16 GB should do.
PIXELS_OF_BATCH = 32 * 256**2

WARM_UP_SHARE, LONGEST_WARM_UP = 1 / 12, 1_000

# An evaluation costs this share of training on the same images, which need no gradients then, and what 50 more would
# for the start of it and the scores.
EVALUATION_SHARE, EVALUATION_START = 0.5, 50
# Evaluations may take so much of the time of the steps, but there are at least and at most so many of them.
MOST_EVALUATING = 0.15
FEWEST_EVALUATIONS, MOST_EVALUATIONS = 5, 20

CHECKPOINTS, SHORTEST_SAVE, LONGEST_SAVE = 100, 100, 1_000

# Each setting that may be left to the data, and where it is in experiment.yaml, with what depends on it.
PLACES = {
    "batch_size": ("task.train_data.global_batch_size", "task.validation_data.global_batch_size"),
    "train_steps": (
        "trainer.train_steps",
        "trainer.optimizer_config.learning_rate.cosine.decay_steps",
        "trainer.checkpoint_interval",
        "task.model.norm_activation.norm_momentum",
    ),
    "learning_rate": (
        "trainer.optimizer_config.learning_rate.cosine.initial_learning_rate",
        "trainer.optimizer_config.warmup.linear.warmup_learning_rate",
    ),
    "warmup_steps": ("trainer.optimizer_config.warmup.linear.warmup_steps",),
    "validation_interval": ("trainer.validation_interval",),
}

_PREFERRED = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)


@dataclass(frozen=True)
class Schedule:
    """A complete schedule; spans and intervals in steps, the learning rate at its peak."""

    batch_size: int
    train_steps: int
    learning_rate: float
    warmup_steps: int
    validation_interval: int
    checkpoint_interval: int


@dataclass(frozen=True)
class Rate:
    """The learning rate that a kind of model is known to learn at: `per_image` of a batch, and `most` of any batch."""

    per_image: float
    most: float


def plan_schedule(settings: Mapping[str, Any], images: int, val_images: int, pixels: int, rate: Rate) -> Schedule:
    """Return the schedule of a training: what is set, and the rest as it follows from that and from the data.

    settings:   null or a value for each of `PLACES`.
    images:     to learn from, at least 1. val_images: to evaluate on. pixels: of the model's input, width x height.
    rate:       for a learning rate that is not set.

    Raises InputError where a batch is larger than the number of images, or the warm-up as long as the training.
    """
    batch = settings["batch_size"] or batch_for(images, pixels)
    steps = settings["train_steps"] or steps_for(images, batch)
    warm_up = settings["warmup_steps"]
    warm_up = warmup_for(steps) if warm_up is None else warm_up
    problems = [*_misfits(settings, images, batch, steps, warm_up)]
    if problems:
        raise InputError(problems, "The training cannot be scheduled")
    return Schedule(
        batch,
        steps,
        settings["learning_rate"] or float(f"{min(rate.per_image * batch, rate.most):.3g}"),
        warm_up,
        min(steps, settings["validation_interval"] or interval_for(steps, batch, val_images)),
        min(steps, max(SHORTEST_SAVE, min(LONGEST_SAVE, rounded_up(steps / CHECKPOINTS)))),
    )


def batch_for(images: int, pixels: int) -> int:
    """Return a batch size, a power of two: as much as data and memory call for, and not more than there are images."""
    wanted = USUAL_BATCH * math.sqrt(max(1.0, images / IMAGES_OF_USUAL_BATCH))
    fitting = max(SMALLEST_BATCH, PIXELS_OF_BATCH / pixels)
    return 2 ** int(math.log2(min(wanted, fitting, LARGEST_BATCH, images)))


def steps_for(images: int, batch: int) -> int:
    """Return how many steps to train; each image is learnt from at least once."""
    seen = max(FEWEST_SEEN, min(EPOCHS * images, MOST_SEEN))
    steps = rounded(seen / batch)
    return steps if steps * batch >= images else rounded_up(images / batch)


def warmup_for(steps: int) -> int:
    """Return how many of the steps the learning rate rises for."""
    return min(LONGEST_WARM_UP, int(steps * WARM_UP_SHARE))


def interval_for(steps: int, batch: int, val_images: int) -> int:
    """Return after how many steps to evaluate: as often as the evaluations may take of the time, within bounds."""
    affordable = MOST_EVALUATING * steps * batch / (EVALUATION_START + EVALUATION_SHARE * val_images)
    return rounded_up(steps / max(FEWEST_EVALUATIONS, min(MOST_EVALUATIONS, affordable)))


def rounded(value: float) -> int:
    """Return the preferred number nearest to `value` by ratio, at least 1."""
    above = rounded_up(value)
    below = max((each for each in _around(value) if each <= value), default=above)
    return above if value * value > below * above else below


def rounded_up(value: float) -> int:
    """Return the least preferred number that is not below `value`, at least 1."""
    return min(each for each in _around(value) if each >= value)


def _around(value: float) -> Iterator[int]:
    """Yield the preferred whole numbers up to the power of ten above `value`, from the one below it."""
    scale = 10 ** max(0, math.floor(math.log10(max(value, 1))) - 1)
    if value < 10:
        yield from range(1, 11)
    yield from (each * scale for each in _PREFERRED)


def adopt_overrides(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `PLACES`, with what `overrides` sets in their place: the rest is to fit that."""
    adopted = {}
    for name, places in PLACES.items():
        value = _at(overrides, places[0])
        number = isinstance(value, int | float) and not isinstance(value, bool)
        adopted[name] = value if number else settings[name]
    return adopted


def left_to_data(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that follow from the data: neither set, nor overridden in experiment.yaml."""
    adopted = adopt_overrides(settings, settings["overrides"])
    return [name for name in PLACES if adopted[name] is None]


def places_left_to_data(settings: Mapping[str, Any]) -> list[str]:
    """Return the keys of experiment.yaml, dotted, that follow from the data by `left_to_data`."""
    places = (place for name in left_to_data(settings) for place in PLACES[name])
    return sorted(place for place in places if _at(settings["overrides"], place) is None)


def describe(experiment: Mapping[str, Any], images: int, val_images: int, from_data: list[str]) -> str:
    """Return in one line what an experiment's schedule is, and how to change it.

    experiment: nested as in experiment.yaml. from_data: as `left_to_data` returns them.
    """
    trainer, batch = experiment["trainer"], experiment["task"]["train_data"]["global_batch_size"]
    steps, optimizer = trainer["train_steps"], trainer["optimizer_config"]
    parts = [f"{steps:,} steps of batch {batch} ({steps * batch / images:.3g} epochs of {images:,} images)"]
    if optimizer["learning_rate"]["type"] == "cosine" and optimizer["warmup"]["type"] == "linear":
        peak, rising = optimizer["learning_rate"]["cosine"], optimizer["warmup"]["linear"]
        parts.append(
            f"learning rate up to {peak['initial_learning_rate']:.3g} after {rising['warmup_steps']:,} steps of warm-up"
        )
    if val_images:
        parts.append(f"evaluated every {trainer['validation_interval']:,} on {val_images:,} images")
    else:
        parts.append("never evaluated, since there are no validation images: the last weights count")
    told = ", ".join(parts)
    if not from_data:
        return f"{told}: as set."
    one = "it" if len(from_data) == 1 else "them"
    return f"{told}: from the data; set {_listed(from_data)} to change {one}."


def _misfits(settings: Mapping[str, Any], images: int, batch: int, steps: int, warm_up: int) -> Iterator[Problem]:
    if batch > images:
        cure = "A batch cannot hold more images than there are to learn from: lower it, or leave it null."
        yield Problem("config", "batch_size", f"{batch}, with {images} training images", cure)
    if warm_up >= steps:
        length = "" if settings["train_steps"] else ", which follow from the data"
        cure = "The warm-up must be shorter than the training: lower it, leave it null, or set train_steps."
        yield Problem("config", "warmup_steps", f"{warm_up} of {steps} train_steps{length}", cure)


def _at(nested: Mapping[str, Any], dotted: str) -> Any:
    """Return the value at a dotted key, None where there is none."""
    value: Any = nested
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
