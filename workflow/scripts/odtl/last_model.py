"""The last finished training's model, and what it has learnt from: what the next training may start from.

It lies in the training state, as the folder `last`; it appears whole when a training has finished, and stays until the
next one has:
    ckpt.*        the weights that were exported, in official.vision's layout
    model.json    `model`, the SHA-256 of these weights; `label_map`, name -> id; `images`, image id -> digest of what
                  was learnt from it; `settings`, all else that the weights depend on; `lineage`, see
                  `warm_start.lineage_of`
"""

import csv
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odtl.files import atomic_folder, write_json

WEIGHTS = (".data-00000-of-00001", ".index")
# Columns of the boxes tables that say nothing of what is learnt.
NOT_LEARNT = ("group", "image")
DIGEST_LENGTH = 32


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
        differing = f"{sum(self.counts().values())} of {self.images} train and val images differ"
        return f"{differing} ({100 * self.share:.3g} %{details})"

    def counts(self) -> dict[str, int]:
        """Return the images by what happened to them."""
        return {"added": self.added, "removed": self.removed, "changed": self.changed}


@dataclass(frozen=True)
class LastModel:
    """A finished training's model; the fields are those of model.json. prefix: of its weights."""

    prefix: str
    model: str
    data: Data
    settings: Mapping[str, Any]
    lineage: Sequence[Mapping[str, Any]]


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
