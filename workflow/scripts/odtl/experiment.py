"""The experiment: official.vision's own configuration, complete, with data, checkpoint and schedule filled in.

`experiment.yaml` is what `official.core.exp_factory.get_exp_config(factory)` holds after all overrides, so that
`python -m official.vision.train --experiment={factory} --config_file=experiment.yaml` accepts it.
"""

import math
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from odtl.distribution import Distribution
from odtl.errors import InputError, Problem
from odtl.files import atomic_open
from odtl.overriding import factory_config, override_config, plain
from odtl.schedule import Rate, Schedule, adopt_overrides, plan_schedule

# The shuffle buffer holds encoded images; the largest photographs must not fill the memory.
SHUFFLE_BYTES = 256 * 1024**2
# What official.vision pads ground truth to by default; test images may have more boxes than training images.
MIN_INSTANCES = 100
# Steps between two looks at the loss, for official.vision's own train.py.
STEPS_PER_LOOP = 10

# The moving means and variances that evaluation uses must have forgotten their start long before the end; yet over
# fewer steps than MIN_NORM_MOMENTUM spans they are noise.
NORM_WINDOWS_PER_TRAINING = 15
MIN_NORM_MOMENTUM = 0.9

# Of a model that is not published with a rate, and of small ones: 0.05 at the peak for batches of 8, with which the
# raccoons came out at an AP of 0.47 to 0.50; with 0.08, at 0.44.
USUAL_RATE = Rate(per_image=0.00625, most=0.32)
SMALL_BACKBONES = ("mobilenet", "spinenet_mobile")

# What proved good for fine-tuning detectors on small data sets; the zoo's settings go over these.
RECIPE = {
    # Statistics over several devices cost time and mean nothing on one.
    "task": {
        "losses": {"l2_weight_decay": 3e-5},
        "model": {
            "norm_activation": {"use_sync_bn": False},
            # The default is made for TPUs: on a CPU it takes 7 ms per class and image, and this one under 0.1.
            "detection_generator": {"nms_version": "batched"},
        },
    },
    "trainer": {"optimizer_config": {"optimizer": {"type": "sgd", "sgd": {"momentum": 0.9, "clipnorm": 10.0}}}},
}


def build_experiment(
    factory: str,
    settings: Mapping[str, Any],
    schedule: Mapping[str, Any],
    num_classes: int,
    train_records: Sequence[str],
    val_records: Sequence[str],
    train_summary: Mapping[str, Any],
    val_summary: Mapping[str, Any],
    init_checkpoint: str | None = None,
    restore: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return an experiment's complete configuration, nested as official.vision nests it.

    factory:         official.vision's name for the kind of experiment, as the zoo gives it.
    settings:        the zoo's overrides of the factory's configuration, nested as in experiment.yaml.
    schedule:        the user's settings: train_steps, batch_size, learning_rate (at the peak), warmup_steps,
                     validation_interval, each null where it is to follow from the data (see `schedule`);
                     augmentation {hflip, scale_min, scale_max}, freeze, ema, seed; optional image_size (pixels;
                     null: the zoo's), mixed_precision, distribution, devices, workers. Other keys are left alone.
    num_classes:     the highest id of the label map; one more, id 0, the background, goes into the configuration.
    train_records, val_records: the TFRecord files of each split.
    train_summary, val_summary: of each split, as {split}.json has them: `images`, `max_boxes` of any one image,
                     `image_bytes` of all images. Without validation images, nothing is evaluated during training.
    init_checkpoint: prefix of the checkpoint to start from, or None.
    restore:         the parts of it to take, as `restoring.restore` names them.
    overrides:       the user's last word, nested like `settings`.

    Precedence: factory < RECIPE < settings < schedule and data < overrides.
    Raises InputError for keys that official.vision does not know, with the nearest one; for values of the wrong type;
    for a split without training images; for record paths that official.vision would take for patterns.
    """
    overrides = overrides or {}
    problems = [*_path_problems([*train_records, *val_records])]
    if not train_summary["images"]:
        problems.append(Problem("train", "images", "none", "Training needs labelled images in the train split."))
    if problems:
        raise InputError(problems, "The experiment cannot be built")

    config = factory_config(factory)
    for override, source in ((RECIPE, "recipe"), (settings, "zoo")):
        override_config(config, override, source)
    image_size = schedule.get("image_size")
    if image_size is None and not config.task.model.input_size:
        raise InputError(Problem("config", "image_size", "nothing", "This model has no size of its own: give pixels."))
    plan = plan_schedule(
        adopt_overrides(schedule, overrides),
        train_summary["images"],
        val_summary["images"],
        image_size**2 if image_size else math.prod(config.task.model.input_size[:2]),
        _learning_rate(config),
    )
    override_config(config, _model_part(num_classes, image_size, schedule, init_checkpoint, restore), "config")
    data = _data_part(schedule, plan.batch_size, train_records, val_records, train_summary, val_summary)
    override_config(config, data, "data")
    override_config(config, _trainer_part(plan, schedule, val_summary), "schedule")
    override_config(config, _norm_part(config, plan.train_steps), "schedule")
    override_config(config, overrides, "overrides")
    if config.task.model.num_classes != num_classes + 1:
        found = str(config.task.model.num_classes)
        cure = f"The label map has {num_classes} classes, and id 0 is the background: leave this key out."
        raise InputError(Problem("overrides", "task.model.num_classes", found, cure))
    _check_batch(config, schedule)
    _check_size(config, None if image_size is None else "image_size")
    return plain(config.as_dict())


def _check_batch(config, schedule: Mapping[str, Any]) -> None:
    """Raise InputError where a batch cannot be shared between the devices: it may follow from the data."""
    for data in (config.task.train_data, config.task.validation_data):
        if problems := list(Distribution.of(schedule).problems("training", data.global_batch_size)):
            raise InputError(problems, "The experiment cannot be built")


def _check_size(config, key: str | None) -> None:
    """Raise InputError where official.vision's parser would pad images to another size than the model is built for.

    Its parsers pad each side to a multiple of 2**max_level, the stride of the coarsest level; the model takes no other.
    """
    model, stride = config.task.model, 2**config.task.model.max_level
    sides = list(model.input_size[:2])
    if not getattr(config.task.train_data.parser, "pad", True) or not any(side % stride for side in sides):
        return
    fitting = [stride * max(1, times) for times in (min(sides) // stride, -(-max(sides) // stride))]
    cure = f"This model takes multiples of {stride}: {' or '.join(map(str, dict.fromkeys(fitting)))}, for example."
    raise InputError(Problem("config", key or "task.model.input_size", " x ".join(map(str, sides)), cure))


def _learning_rate(config) -> Rate:
    """Return the rate that a model learns at, from the configuration of its family.

    What was published belongs to trainings of a hundred thousand steps; from pretrained weights, in some hundred steps,
    small models need more, but never more than what the family was published with for the largest batch.
    """
    published, batch = _peak(config.trainer.optimizer_config.learning_rate), config.task.train_data.global_batch_size
    if not published or not batch:
        return USUAL_RATE
    if config.task.model.backbone.type in SMALL_BACKBONES:
        return Rate(USUAL_RATE.per_image, published)
    return Rate(published / batch, published)


def _peak(learning_rate) -> float:
    chosen = learning_rate.get() if learning_rate.type else None
    return max(getattr(chosen, "values", None) or [getattr(chosen, "initial_learning_rate", None) or 0.0])


def _model_part(num_classes, image_size, schedule, init_checkpoint, restore) -> dict:
    size = {} if image_size is None else {"input_size": [image_size, image_size, 3]}
    precision = schedule.get("mixed_precision") or "auto"
    spread = Distribution.of(schedule)
    # A device's share of a batch is too small for statistics of its own; and so they are those of one device.
    sync = {"norm_activation": {"use_sync_bn": True}} if spread.replicas > 1 else {}
    return {
        "task": {
            "model": {"num_classes": num_classes + 1, **size, **sync},
            "init_checkpoint": init_checkpoint,
            "init_checkpoint_modules": list(restore),
            "freeze_backbone": schedule.get("freeze") == "backbone",
            # Ground truth comes from the records, not from a COCO file.
            "annotation_file": None,
        },
        "runtime": {
            **spread.runtime(),
            # What the hardware is fast at is found out where it is: when the training starts.
            "mixed_precision_dtype": {"auto": "float32"}.get(precision, precision),
        },
    }


def _norm_part(config, train_steps: int) -> dict:
    """Return the momentum of batch normalisation, lowered where the training is short for it."""
    momentum = max(MIN_NORM_MOMENTUM, 1 - NORM_WINDOWS_PER_TRAINING / train_steps)
    return {
        "task": {
            "model": {
                "norm_activation": {"norm_momentum": min(config.task.model.norm_activation.norm_momentum, momentum)}
            }
        }
    }


def _data_part(schedule, batch_size, train_records, val_records, train_summary, val_summary) -> dict:
    augmentation = schedule["augmentation"]
    images = train_summary["images"]
    bytes_per_image = max(1, -(-train_summary["image_bytes"] // images))
    common = {
        "global_batch_size": batch_size,
        # bfloat16, the default, is slow or missing on most CPUs.
        "dtype": "float32",
        "seed": schedule["seed"],
        "parser": {
            "max_num_instances": max(MIN_INSTANCES, train_summary["max_boxes"], val_summary["max_boxes"]),
        },
    }
    train = {
        **common,
        "input_path": list(train_records),
        "is_training": True,
        "drop_remainder": True,
        "shuffle_buffer_size": max(1, min(images, SHUFFLE_BYTES // bytes_per_image)),
        "parser": {
            **common["parser"],
            "aug_rand_hflip": augmentation["hflip"],
            "aug_scale_min": augmentation["scale_min"],
            "aug_scale_max": augmentation["scale_max"],
        },
    }
    validation = {
        **common,
        "input_path": list(val_records) if val_summary["images"] else "",
        "is_training": False,
        # Else the last, partial batch would not be scored.
        "drop_remainder": False,
    }
    return {"task": {"train_data": train, "validation_data": validation}}


def _trainer_part(plan: Schedule, schedule, val_summary) -> dict:
    steps, rate = plan.train_steps, plan.learning_rate
    # The statistics of batch normalisation are averaged as the weights are that they belong to. The decay is lower at
    # first, so that a training that is short for it averages over its last tenth.
    decay = schedule.get("ema")
    ema = {"average_decay": decay, "trainable_weights_only": False, "dynamic_decay": True}
    return {
        "trainer": {
            "train_steps": steps,
            "validation_interval": plan.validation_interval,
            # -1 stands for all images there are.
            "validation_steps": -1 if val_summary["images"] else 0,
            "checkpoint_interval": plan.checkpoint_interval,
            "max_to_keep": 2,
            "steps_per_loop": STEPS_PER_LOOP,
            "summary_interval": STEPS_PER_LOOP,
            "best_checkpoint_export_subdir": "best",
            "best_checkpoint_eval_metric": "AP",
            "best_checkpoint_metric_comp": "higher",
            "optimizer_config": {
                "ema": ema if decay else None,
                "learning_rate": {
                    "type": "cosine",
                    "cosine": {"initial_learning_rate": rate, "decay_steps": steps},
                },
                "warmup": {
                    "type": "linear",
                    "linear": {"warmup_steps": plan.warmup_steps, "warmup_learning_rate": rate / 10},
                },
            },
        },
    }


def write_experiment(experiment: Mapping[str, Any], path: str | os.PathLike, told: str = "") -> None:
    """Write an experiment, as `build_experiment` gives it, as YAML under what is told of it; whole or not at all."""
    with atomic_open(path) as stream:
        stream.writelines(f"# {line}\n" for line in textwrap.wrap(told, 118, break_on_hyphens=False))
        yaml.safe_dump(plain(experiment), stream, sort_keys=True, allow_unicode=True)


def read_experiment(path: str | os.PathLike, factory: str):
    """Return the locked `official.core.config_definitions.ExperimentConfig` that a file and its factory give.

    factory: the name that official.core.exp_factory knows the kind of experiment by, such as "retinanet".
    Raises InputError, naming every key that the factory's configuration does not have.
    """
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, Mapping):
        raise InputError(
            Problem(str(path), "(top level)", type(content).__name__, "An experiment is a mapping: task, trainer, ...")
        )
    return experiment_of(content, factory, str(path))


def experiment_of(content: Mapping[str, Any], factory: str, source: str):
    """Return the locked ExperimentConfig that the content of an experiment's file and its factory give; see above.

    source: where it stands.
    """
    config = override_config(factory_config(factory), content, source)
    config.lock()
    return config


def _path_problems(paths: Sequence[str]) -> Iterator[Problem]:
    for path in paths:
        if re.search(r"[,*?\[]", str(path)):
            cure = "official.vision takes , * ? and [ for patterns: move the results to a path without them."
            yield Problem(str(path), "path of a record", repr(str(path)), cure)
