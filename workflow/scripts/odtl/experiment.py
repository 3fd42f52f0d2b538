"""The experiment: official.vision's own configuration, complete, with data, checkpoint and schedule filled in.

`experiment.yaml` is what `official.core.exp_factory.get_exp_config(factory)` holds after all overrides, so that
`python -m official.vision.train --experiment={factory} --config_file=experiment.yaml` accepts it.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from odtl.errors import InputError, Problem
from odtl.files import atomic_open
from odtl.overriding import factory_config, override_config, plain

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
                     validation_interval, augmentation {hflip, scale_min, scale_max}, freeze_backbone, seed; optional
                     checkpoint_interval (steps), image_size (pixels; null: the zoo's), mixed_precision. Other keys
                     are left alone.
    num_classes:     the highest id of the label map; one more, id 0, the background, goes into the configuration.
    train_records, val_records: the TFRecord files of each split.
    train_summary, val_summary: of each split, as {split}.json has them: `images`, `max_boxes` of any one image,
                     `image_bytes` of all images. Without validation images, nothing is evaluated during training.
    init_checkpoint: prefix of the checkpoint to start from, or None.
    restore:         the parts of it to take, as `checkpoints.restore_parts` names them.
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
    override_config(config, _model_part(num_classes, image_size, schedule, init_checkpoint, restore), "schedule")
    override_config(config, _data_part(schedule, train_records, val_records, train_summary, val_summary), "data")
    override_config(config, _trainer_part(schedule, val_summary), "schedule")
    override_config(config, _norm_part(config, schedule["train_steps"]), "schedule")
    override_config(config, overrides, "overrides")
    if config.task.model.num_classes != num_classes + 1:
        found = str(config.task.model.num_classes)
        cure = f"The label map has {num_classes} classes, and id 0 is the background: leave this key out."
        raise InputError(Problem("overrides", "task.model.num_classes", found, cure))
    return plain(config.as_dict())


def _model_part(num_classes, image_size, schedule, init_checkpoint, restore) -> dict:
    size = {} if image_size is None else {"input_size": [image_size, image_size, 3]}
    return {
        "task": {
            "model": {"num_classes": num_classes + 1, **size},
            "init_checkpoint": init_checkpoint,
            "init_checkpoint_modules": list(restore),
            "freeze_backbone": schedule["freeze_backbone"],
            # Ground truth comes from the records, not from a COCO file.
            "annotation_file": None,
        },
        "runtime": {
            "distribution_strategy": "one_device",
            "mixed_precision_dtype": schedule.get("mixed_precision") or "float32",
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


def _data_part(schedule, train_records, val_records, train_summary, val_summary) -> dict:
    augmentation = schedule["augmentation"]
    images = train_summary["images"]
    bytes_per_image = max(1, -(-train_summary["image_bytes"] // images))
    common = {
        "global_batch_size": schedule["batch_size"],
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


def _trainer_part(schedule, val_summary) -> dict:
    steps, rate = schedule["train_steps"], schedule["learning_rate"]
    interval = min(schedule["validation_interval"], steps)
    return {
        "trainer": {
            "train_steps": steps,
            "validation_interval": interval,
            # -1 stands for all images there are.
            "validation_steps": -1 if val_summary["images"] else 0,
            "checkpoint_interval": min(schedule.get("checkpoint_interval") or 100, steps),
            "max_to_keep": 2,
            "steps_per_loop": STEPS_PER_LOOP,
            "summary_interval": STEPS_PER_LOOP,
            "best_checkpoint_export_subdir": "best",
            "best_checkpoint_eval_metric": "AP",
            "best_checkpoint_metric_comp": "higher",
            "optimizer_config": {
                "learning_rate": {
                    "type": "cosine",
                    "cosine": {"initial_learning_rate": rate, "decay_steps": steps},
                },
                "warmup": {
                    "type": "linear",
                    "linear": {"warmup_steps": schedule["warmup_steps"], "warmup_learning_rate": rate / 10},
                },
            },
        },
    }


def write_experiment(experiment: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write an experiment, as `build_experiment` gives it, as YAML; whole or not at all."""
    with atomic_open(path) as stream:
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
    config = override_config(factory_config(factory), content, str(path))
    config.lock()
    return config


def _path_problems(paths: Sequence[str]) -> Iterator[Problem]:
    for path in paths:
        if re.search(r"[,*?\[]", str(path)):
            cure = "official.vision takes , * ? and [ for patterns: move the results to a path without them."
            yield Problem(str(path), "path of a record", repr(str(path)), cure)
