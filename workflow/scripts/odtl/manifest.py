"""A shard's manifest: one line of JSON per image, which says what the sources hold. See docs/architecture.md."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from odtl.files import CHANGED_MEANWHILE, check_digest, sha256_of


@dataclass(frozen=True)
class LineProblem:
    """What the scan found wrong with one image or annotation; it becomes a row of the ledger."""

    reason: str
    file: str
    field: str
    found: str
    done: str

    def texts(self) -> dict[str, str]:
        """Return the ledger's columns that it fills, by name."""
        return {"file": self.file, "field": self.field, "found": self.found, "done": self.done}


@dataclass(frozen=True)
class LineAnnotation:
    """An annotation as written (see `Annotation`), and the class of each box: None where the label has none."""

    file: str
    width: int | None
    height: int | None
    boxes: tuple[tuple[float, float, float, float], ...]
    labels: tuple[str, ...]
    classes: tuple[str | None, ...]
    difficult: tuple[bool, ...]
    truncated: tuple[bool, ...]


@dataclass(frozen=True)
class Line:
    """One image, or one annotation without image (then `image` and `sha256` are None)."""

    id: str
    image: str | None
    sha256: str | None
    group: str
    annotation: LineAnnotation | None
    problems: tuple[LineProblem, ...] = ()


def manifest_path(folder: str | os.PathLike, shard: str) -> Path:
    """Return where a shard's manifest is."""
    return Path(folder) / f"{shard}.jsonl"


def read_manifest(path: str | os.PathLike) -> list[Line]:
    """Read a manifest that `inventory.write` wrote."""
    return list(iterate_manifest(path))


def iterate_manifest(path: str | os.PathLike, sha256: str | None = None) -> Iterator[Line]:
    """Yield the lines of a manifest, one at a time.

    sha256: what its digest must be. Raises InputError after the last line if what was read has another one.
    """
    hasher = hashlib.sha256()
    with open(path, "rb") as stream:
        for text in stream:
            hasher.update(text)
            yield parse_line(text)
    check_digest(path, hasher.hexdigest(), sha256, CHANGED_MEANWHILE)


def digest(path: str | os.PathLike) -> str:
    """Return the SHA-256 (hex) of a manifest's bytes: the same as `inventory.write` returned for it."""
    return sha256_of(path)


def parse_line(text: str) -> Line:
    """Return what one line of a manifest says."""
    entry = json.loads(text)
    annotation = entry["annotation"]
    if annotation is not None:
        boxes = tuple(tuple(map(float, box)) for box in annotation["boxes"])
        lists = {name: tuple(annotation[name]) for name in ("labels", "classes", "difficult", "truncated")}
        size = {name: annotation[name] for name in ("file", "width", "height")}
        annotation = LineAnnotation(**size, boxes=boxes, **lists)
    problems = tuple(LineProblem(**problem) for problem in entry["problems"])
    return Line(entry["id"], entry["image"], entry["sha256"], entry["group"], annotation, problems)
