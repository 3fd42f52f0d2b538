"""Groups of images that must stay in one split, from a CSV file that the configuration names (data.split.groups)."""

import csv
import functools
import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from odtl.errors import InputError, Problem
from odtl.files import CHANGED_MEANWHILE, check_digest, write_csv
from odtl.split import SPLITS

COLUMNS = ("image", "group", "split")
HEADLINE = "data.split.groups cannot be used"
_MOST_PROBLEMS = 20


@dataclass(frozen=True)
class Group:
    """The group of an image. split: where all of the group goes; "" for by hash, or as the sources say."""

    name: str
    split: str = ""


def digest_of(path: str | os.PathLike | None) -> str:
    """Return the SHA-256 (hex) of a groups file, "" where none is named; InputError if it cannot be read."""
    return hashlib.sha256(_bytes(path)).hexdigest() if path else ""


def read_groups(path: str | os.PathLike | None, sha256: str | None = None) -> Mapping[str, Group]:
    """Return image id -> group, from a CSV with the columns image, group and, if it has that, split. None has none.

    sha256: what the digest of its bytes must be. Raises InputError with all that is wrong with it: a missing file or
    column, an empty cell, one image in two groups, a group in two splits, a split that is none.
    """
    return _read(os.fspath(path), sha256) if path else {}


def write_groups(path: str | os.PathLike, groups: Mapping[str, Group]) -> None:
    """Write a file that `read_groups` reads, in order of image id."""
    rows = ({"image": image, "group": groups[image].name, "split": groups[image].split} for image in sorted(groups))
    write_csv(path, COLUMNS, rows)


@functools.lru_cache(maxsize=2)
def _read(path: str, sha256: str | None) -> Mapping[str, Group]:
    data = _bytes(path)
    check_digest(path, hashlib.sha256(data).hexdigest(), sha256, CHANGED_MEANWHILE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {data[error.start]:#x} at {error.start}"
        problem = Problem(path, "encoding", found, "Save it in the encoding UTF-8.")
        raise InputError(problem, HEADLINE) from error
    groups, problems = _parse(path, text)
    if problems:
        raise InputError(problems[:_MOST_PROBLEMS], f"{HEADLINE}: {len(problems)} problem(s)")
    return groups


def _parse(path: str, text: str) -> tuple[dict[str, Group], list[Problem]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    groups: dict[str, Group] = {}
    problems: list[Problem] = []
    try:
        header = [name.strip() for name in next(rows, [])]
        if missing := [name for name in COLUMNS[:2] if name not in header]:
            found = ",".join(header) or "an empty file"
            return {}, [Problem(path, "header", found, f"The columns image and group are needed: add {missing[0]}.")]
        places = [header.index(name) if name in header else None for name in COLUMNS]
        for row in rows:
            if row:
                cells = ["" if place is None or place >= len(row) else row[place] for place in places]
                problems += _add(groups, path, f"line {rows.line_num}", *cells)
    except csv.Error as error:
        problems.append(Problem(path, f"line {rows.line_num}", str(error), "Mend the CSV there."))
    return groups, problems + list(_torn(groups, path))


def _add(groups: dict[str, Group], path: str, where: str, image: str, name: str, split: str) -> Iterable[Problem]:
    if not image or not name:
        yield Problem(path, where, f"no {'group' if image else 'image'}", "Fill the cell in, or remove the line.")
    elif split and split not in SPLITS:
        yield Problem(path, where, f"the split {split!r}", f"Allowed: {', '.join(SPLITS)}, or nothing.")
    elif groups.get(image, Group(name, split)) != Group(name, split):
        cure = "An image can be in one group only: remove one of its lines."
        yield Problem(path, where, f"{image} once more, with another group or split", cure)
    else:
        groups[image] = Group(name, split)


def _torn(groups: Mapping[str, Group], path: str) -> Iterable[Problem]:
    splits: dict[str, str] = {}
    told = set()
    for group in groups.values():
        first = splits.setdefault(group.name, group.split)
        if first != group.split and group.name not in told:
            told.add(group.name)
            found = f"in {first or 'none'} and {group.split or 'none'}"
            yield Problem(path, f"group {group.name}", found, "Name the same split for all images of a group.")


def _bytes(path: str | os.PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        cure = "Name a CSV file with the columns image and group, or null."
        problem = Problem(str(path), "data.split.groups", error.strerror or str(error), cure)
        raise InputError(problem, HEADLINE) from error
