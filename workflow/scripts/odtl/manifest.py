"""A shard's manifest: one line of JSON per image, which says what the sources hold. See docs/architecture.md."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from odtl.annotations.model import Origin
from odtl.files import CHANGED_MEANWHILE, check_digest, sha256_of
from odtl.repairs import REJECTED, STATUS_OF


@dataclass(frozen=True)
class LineProblem:
    """What the scan found wrong with one image or annotation; it becomes a row of the ledger."""

    reason: str
    file: str
    field: str
    found: str
    done: str
    before: str = ""
    after: str = ""

    def texts(self) -> dict[str, str]:
        """Return the ledger's columns that it fills, by name."""
        return {name: text for name, text in vars(self).items() if name != "reason"}


class LineAnnotation(NamedTuple):
    """An annotation as written (see `Annotation`), and the class of each box: None where the label has none.

    No data class, nor is `Line`: millions are made, and these are made several times faster.

    crowd: one flag per box, or () where no box is a crowd.
    """

    file: str
    width: int | None
    height: int | None
    boxes: tuple[tuple[float, float, float, float], ...]
    labels: tuple[str, ...]
    classes: tuple[str | None, ...]
    difficult: tuple[bool, ...]
    truncated: tuple[bool, ...]
    crowd: tuple[bool, ...] = ()
    normalised: bool = False
    upward: bool = False


class Line(NamedTuple):
    """One image, or one annotation without image (then `image` and `sha256` are None).

    origin: where the image is to be had while it is no file yet; `image` and `sha256` are None then, too.
    """

    id: str
    image: str | None
    sha256: str | None
    group: str
    annotation: LineAnnotation | None
    problems: tuple[LineProblem, ...] = ()
    origin: Origin | None = None

    @property
    def has_image(self) -> bool:
        """Whether there is an image, or one to be fetched; else the line is of something that belongs to none."""
        return self.image is not None or self.origin is not None


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


def is_used(line: Line) -> bool:
    """Return whether an image has an annotation, and nothing that the scan found rejects it. Its pixels may still."""
    return line.annotation is not None and not any(STATUS_OF[each.reason] == REJECTED for each in line.problems)


def image_digest(lines: Iterable[Line]) -> str:
    """Return a digest (hex) of which images a manifest has, and what their files hold: no annotation changes it."""
    return _digest((line.id, line.sha256) for line in lines)


def placing_digest(lines: Iterable[Line]) -> str:
    """Return a digest (hex) of which images are used, and what keeps them in their split: no box changes it."""
    return _digest((line.id, line.group, is_used(line)) for line in lines)


def _digest(parts: Iterable[tuple]) -> str:
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(json.dumps(part).encode())
    return hasher.hexdigest()


def parse_line(text: str) -> Line:
    """Return what one line of a manifest says."""
    entry = json.loads(text)
    annotation = entry["annotation"]
    if annotation is not None:
        boxes = tuple(tuple(map(float, box)) for box in annotation["boxes"])
        lists = {name: tuple(annotation[name]) for name in ("labels", "classes", "difficult", "truncated")}
        size = {name: annotation[name] for name in ("file", "width", "height")}
        flags = {name: annotation.get(name, False) for name in ("normalised", "upward")}
        crowd = tuple(annotation.get("crowd", ()))
        annotation = LineAnnotation(**size, boxes=boxes, **lists, crowd=crowd, **flags)
    problems = tuple(LineProblem(**problem) for problem in entry["problems"])
    origin = Origin(**entry["origin"]) if "origin" in entry else None
    return Line(entry["id"], entry["image"], entry["sha256"], entry["group"], annotation, problems, origin)
