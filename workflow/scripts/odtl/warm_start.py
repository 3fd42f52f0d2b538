"""Warm start: after a change in the data, go on from the last model instead of starting from the pretrained one.

What the next training may start from lies in the training state, as the folder `last`; it appears whole when a training
has finished, and stays until the next one has:
    ckpt.*        the weights that were exported, in official.vision's layout
    model.json    `model`, the SHA-256 of these weights; `label_map`, name -> id; `images`, image id -> digest of what
                  was learnt from it; `settings`, all else that the weights depend on; `lineage`, see `lineage_of`
"""

import csv
import dataclasses
import datetime
import hashlib
import itertools
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odtl.files import atomic_folder, write_json

WEIGHTS = (".data-00000-of-00001", ".index")
# Columns of the boxes tables that say nothing of what is learnt.
NOT_LEARNT = ("group", "image")
DIGEST_LENGTH = 32
# What build_experiment takes from the data; all else in an experiment is a setting.
DATA_KEYS = (
    "task.model.num_classes",
    "task.train_data.input_path",
    "task.train_data.parser.max_num_instances",
    "task.train_data.shuffle_buffer_size",
    "task.validation_data.input_path",
    "task.validation_data.parser.max_num_instances",
    "trainer.validation_steps",
)
# The pretrained checkpoint, the full training, and the latest of what followed.
MAX_LINEAGE = 50


@dataclass(frozen=True)
class Data:
    """What a training learns from.

    images:    image id -> digest of all that is learnt from it: pixels, boxes, classes, split.
    label_map: class name -> id, from 1.
    """

    images: Mapping[str, str]
    label_map: Mapping[str, int]

    @property
    def digest(self) -> str:
        """The hex SHA-256 of it all."""
        content = [sorted(self.images.items()), sorted(self.label_map.items())]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class Change:
    """How many images differ between two data sets, of `images` that either of them has."""

    added: int
    removed: int
    changed: int
    images: int

    @property
    def share(self) -> float:
        """The part of the images that differ, 0 to 1."""
        return sum(self.counts().values()) / max(1, self.images)

    def __str__(self) -> str:
        parts = [f"{count} {name}" for name, count in self.counts().items() if count]
        details = f": {', '.join(parts)}" if parts else ""
        return (
            f"{sum(self.counts().values())} of {self.images} training images differ ({100 * self.share:.3g} %{details})"
        )

    def counts(self) -> dict[str, int]:
        """Return the images by what happened to them."""
        return {"added": self.added, "removed": self.removed, "changed": self.changed}


@dataclass(frozen=True)
class WarmStart:
    """What `training.train` needs to know to start warm, and to let the next one.

    settings: `training.warm_start` of the configuration: when (never, always, small_change), max_change, train_steps,
              learning_rate.
    data:     what is learnt from now.
    origin:   what is known of the pretrained checkpoint, as its source.json has it; None: random weights.
    """

    settings: Mapping[str, Any]
    data: Data
    origin: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class LastModel:
    """A finished training's model; the fields are those of model.json. prefix: of its weights."""

    prefix: str
    model: str
    data: Data
    settings: Mapping[str, Any]
    lineage: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Start:
    """From where a training starts, and why.

    parent:    `model` of the last model, or None where the training starts from the pretrained one.
    label_map: of the parent. lineage: of the parent. change: of the data since.
    train_steps, learning_rate: shares of the full schedule.
    """

    why: str
    parent: str | None = None
    label_map: Mapping[str, int] = dataclasses.field(default_factory=dict)
    lineage: Sequence[Mapping[str, Any]] = ()
    change: Change | None = None
    train_steps: float = 1.0
    learning_rate: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Start":
        """Return what `as_dict` was made of."""
        return cls(**{**content, "change": Change(**content["change"]) if content["change"] else None})


def read_images(boxes_csvs: Iterable[str | os.PathLike]) -> dict[str, str]:
    """Return image id -> digest of what is learnt from it, for the images of boxes tables that `make_boxes` wrote."""
    images = {}
    for path in boxes_csvs:
        with open(path, encoding="utf-8", newline="") as stream:
            for image, rows in itertools.groupby(csv.DictReader(stream), key=lambda row: row["filename"]):
                learnt = [sorted((name, row[name]) for name in row if name not in NOT_LEARNT) for row in rows]
                images[image] = hashlib.sha256(json.dumps(learnt).encode()).hexdigest()[:DIGEST_LENGTH]
    return images


def compare(before: Mapping[str, str], now: Mapping[str, str]) -> Change:
    """Return how two mappings from image id to digest differ."""
    both = before.keys() & now.keys()
    changed = sum(before[image] != now[image] for image in both)
    return Change(len(now) - len(both), len(before) - len(both), changed, len(before) + len(now) - len(both))


def settings_of(config, **others: Any) -> dict[str, Any]:
    """Return all that weights depend on beside the data, flat: dotted key -> value.

    config: the ExperimentConfig of the full training. others: what it does not hold.
    """
    plain = json.loads(json.dumps({**config.as_dict(), **others}))
    return {key: value for key, value in _flat(plain) if key not in DATA_KEYS}


def decide(warm_start: WarmStart, last: LastModel | None, settings: Mapping[str, Any]) -> Start:
    """Return from where to start: the last model if the configuration allows it and only the data have changed.

    settings: of this training, as `settings_of` gives them.
    """
    policy, data = warm_start.settings, warm_start.data
    if policy["when"] == "never":
        return Start("warm_start.when is never")
    if last is None:
        return Start("there is no last model to start from")
    if differing := sorted(
        key for key in settings.keys() | last.settings if settings.get(key) != last.settings.get(key)
    ):
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        return Start(f"settings have changed since the last model: {', '.join(differing[:3])}{more}")
    if data == last.data:
        return Start("the last model has learnt from the same data")
    change = compare(last.data.images, data.images)
    if policy["when"] == "small_change" and change.share > policy["max_change"]:
        return Start(f"{change}, more than max_change ({100 * policy['max_change']:g} %)")
    return Start(
        f"{_describe(last)}: {change}{_describe_classes(last.data.label_map, data.label_map)}",
        last.model,
        last.data.label_map,
        last.lineage,
        change,
        policy["train_steps"],
        policy["learning_rate"],
    )


def goes_on(warm_start: WarmStart, begun: Start) -> bool:
    """Say whether the configuration still asks for a warm start that an earlier run has begun with."""
    policy = warm_start.settings
    same = (policy["train_steps"], policy["learning_rate"]) == (begun.train_steps, begun.learning_rate)
    return policy["when"] != "never" and same


def shorten(config, train_steps: float, learning_rate: float):
    """Return a copy of an ExperimentConfig with a shorter and lower schedule of the same form.

    train_steps, learning_rate: shares of the full schedule's. The warm-up and the intervals between evaluations shrink
    with the steps; checkpoints are written as often as before, for they cost the same.
    """
    short = config.replace()
    trainer = short.trainer
    trainer.train_steps = total = max(1, math.ceil(trainer.train_steps * train_steps))
    trainer.validation_interval = min(total, max(1, round(trainer.validation_interval * train_steps)))
    trainer.checkpoint_interval = min(total, trainer.checkpoint_interval)
    for schedule in (trainer.optimizer_config.learning_rate, trainer.optimizer_config.warmup):
        chosen = schedule.get() if schedule.type else None
        for field, scale in SCALED.items():
            if getattr(chosen, field, None) is not None:
                share = learning_rate if scale is _scaled_rate else train_steps
                setattr(chosen, field, _each(scale, getattr(chosen, field), share))
    short.lock()
    return short


def lineage_of(
    warm_start: WarmStart,
    start: Start,
    model: str,
    trained: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return where a model comes from, oldest first.

    The first entry is {"pretrained": origin}. Each other one is of a training: `model`, the SHA-256 of its weights;
    `started_from`, that of the model before, or "pretrained"; `date` (UTC); `data`: `digest`, number of `images`, and
    how many were `added`, `removed`, `changed` since the model before; and what `trained` says: steps, AP, ...
    Beyond MAX_LINEAGE entries, `left_out` in the oldest that remains says how many are missing before it.
    """
    data = {"digest": warm_start.data.digest, "images": len(warm_start.data.images)}
    data |= start.change.counts() if start.change else {}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    entry = {"model": model, "started_from": start.parent or "pretrained", "date": now, "data": data, **trained}
    earlier = list(start.lineage) if start.parent else [{"pretrained": warm_start.origin}]
    return _bounded([*earlier, entry])


def model_id(prefix: str | os.PathLike) -> str:
    """Return the hex SHA-256 of a checkpoint's files."""
    digest = hashlib.sha256()
    for suffix in WEIGHTS:
        with open(f"{prefix}{suffix}", "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def write_last(
    folder: str | os.PathLike, prefix: str | os.PathLike, data: Data, settings: Mapping[str, Any], lineage: Sequence
) -> None:
    """Keep a finished training's model in `folder` for the next one to start from: whole or not at all.

    prefix: of its weights. settings: as `settings_of` gives them. lineage: as `lineage_of` does, this model last.
    """
    content = {
        "model": lineage[-1]["model"],
        "label_map": dict(data.label_map),
        "settings": settings,
        "lineage": lineage,
        "images": dict(sorted(data.images.items())),
    }
    with atomic_folder(folder) as new:
        for suffix in WEIGHTS:
            shutil.copyfile(f"{prefix}{suffix}", new / f"ckpt{suffix}")
        write_json(new / "model.json", content)


def read_last(folder: str | os.PathLike) -> LastModel | None:
    """Return the model that `write_last` kept, or None where there is none or it is damaged."""
    prefix = Path(folder) / "ckpt"
    try:
        content = json.loads((Path(folder) / "model.json").read_text(encoding="utf-8"))
        data = Data(content["images"], content["label_map"])
        last = LastModel(str(prefix), content["model"], data, content["settings"], content["lineage"])
        return last if model_id(prefix) == last.model else None
    # A folder whose removal was cut short holds some of its files.
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, (*path, key))
    else:
        yield ".".join(path), value


def _scaled_rate(value: float, share: float) -> float:
    return value * share


def _scaled_span(value: int, share: float) -> int:
    return max(1, math.ceil(value * share))


def _scaled_start(value: int, share: float) -> int:
    # Rounded down, so that it stays before the end, which is rounded up.
    return math.floor(value * share)


# Fields of official.modeling.optimization.configs.learning_rate_config, and how a shorter schedule changes them.
SCALED = {
    **dict.fromkeys(("learning_rate", "initial_learning_rate", "end_learning_rate"), _scaled_rate),
    **dict.fromkeys(("warmup_learning_rate", "values"), _scaled_rate),
    **dict.fromkeys(("decay_steps", "total_decay_steps", "boundaries"), _scaled_span),
    **dict.fromkeys(("warmup_steps", "offset"), _scaled_start),
}


def _each(scale, value: Any, share: float) -> Any:
    return [scale(each, share) for each in value] if isinstance(value, Sequence) else scale(value, share)


def _bounded(lineage: list) -> list:
    if len(lineage) <= MAX_LINEAGE:
        return lineage
    middle = len(lineage) - MAX_LINEAGE + 2
    left_out = sum(1 + entry.get("left_out", 0) for entry in lineage[2:middle])
    return [*lineage[:2], {**lineage[middle], "left_out": left_out}, *lineage[middle + 1 :]]


def _describe(last: LastModel) -> str:
    trained = last.lineage[-1]
    return f"the last model ({trained['steps']} steps on {trained['date'][:10]})"


def _describe_classes(before: Mapping[str, int], now: Mapping[str, int]) -> str:
    new, gone = sorted(now.keys() - before.keys()), sorted(before.keys() - now.keys())
    parts = [f"{what} {', '.join(names)}" for what, names in (("new classes:", new), ("classes gone:", gone)) if names]
    return "".join(f"; {part}" for part in parts)
