"""The boxes table of the TensorFlow tutorials: `filename,width,height,class,xmin,ymin,xmax,ymax`, one row per box."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass

from odtl.annotations.model import Annotation
from odtl.annotations.voc import flag, number, whole_number
from odtl.errors import InputError, Problem
from odtl.files import open_regular

REQUIRED = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_HEADER_CURE = f"A comma-separated, UTF-8 table with the header {','.join(REQUIRED)} is expected."


@dataclass(frozen=True)
class RowProblem:
    """What is wrong with one row (or with one image's rows together).

    filename: the image it concerns, as written, or "" where the row does not tell.
    reason:   the ledger's reason.
    """

    filename: str
    reason: str
    problem: Problem


@dataclass(frozen=True)
class CsvTable:
    """One Annotation per image, by file name as written, in the order of the file; and what could not be used."""

    annotations: dict[str, Annotation]
    problems: tuple[RowProblem, ...]


def read(path: str | os.PathLike) -> CsvTable:
    """Read a table, as written: boxes are (xmin, ymin, xmax, ymax) in pixels, in the order of the rows.

    Columns may stand in any order; `difficult` and `truncated` (0/1) are optional, others are not looked at. A row
    with a file name and nothing in class and box says that the image holds no object: a negative. A coordinate that
    is missing or no number is NaN, as in the other formats. Row numbers in problems are lines of the file, the header
    being row 1.

    A row with more columns than the header, or without a file name, is left out and reported; rows of one image that
    state different sizes are reported. Neither loses another row.

    Raises InputError for a table that cannot be read at all: no such file, no header, wrong encoding.
    """
    path = os.fspath(path)
    entries: dict[str, list[tuple[int, dict[str, str]]]] = {}
    problems: list[RowProblem] = []
    for number_, row in _rows(path):
        if None in row:
            found = f"{len(row) - 1 + len(row[None])} columns where the header has {len(row) - 1}"
            cure = "Quote a value that holds a comma, or mend the row."
            problems.append(RowProblem("", "row_unreadable", Problem(path, f"row {number_}", found, cure)))
        elif not row["filename"]:
            found = "no file name"
            cure = "Say which image the box belongs to, or remove the row."
            problems.append(RowProblem("", "row_unreadable", Problem(path, f"row {number_}", found, cure)))
        else:
            entries.setdefault(row["filename"], []).append((number_, row))
    annotations = {}
    for filename, rows in entries.items():
        annotations[filename] = _annotation(path, filename, [row for _, row in rows])
        problems.extend(_conflicts(path, filename, rows))
    return CsvTable(annotations, tuple(problems))


def _rows(path: str) -> Iterator[tuple[int, dict[str, str]]]:
    line = 1
    try:
        # utf-8-sig: spreadsheet programs put a byte order mark in front.
        with open_regular(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True, skipinitialspace=True)
            names = [(name or "").strip() for name in reader.fieldnames or ()]
            missing = [name for name in REQUIRED if name not in names]
            if missing or len(set(names)) != len(names):
                found = ",".join(names)[:200] or "nothing"
                raise InputError(Problem(path, "header", found, _HEADER_CURE), "a table of boxes cannot be read")
            reader.fieldnames = names
            for row in reader:
                line = reader.line_num
                yield line, {key: value if key is None else (value or "").strip() for key, value in row.items()}
    except UnicodeDecodeError as error:
        raise InputError(
            Problem(path, f"after row {line}", f"bytes that are no UTF-8 ({error.reason})", _HEADER_CURE)
        ) from (error)
    except csv.Error as error:
        cure = "Mend the quotes in that row or the one before it."
        raise InputError(Problem(path, f"after row {line}", str(error), cure)) from error
    except (OSError, ValueError) as error:
        raise InputError(Problem(path, "file", str(error), _HEADER_CURE)) from error


def _annotation(path: str, filename: str, rows: list[dict[str, str]]) -> Annotation:
    boxes = [row for row in rows if any(row[name] for name in ("class", *_SIDES))]
    width, height = _size(rows[0])
    return Annotation(
        file=path,
        filename=filename,
        width=width,
        height=height,
        boxes=tuple(tuple(number(row[side]) for side in _SIDES) for row in boxes),
        labels=tuple(row["class"] for row in boxes),
        difficult=tuple(flag(row.get("difficult", "")) for row in boxes),
        truncated=tuple(flag(row.get("truncated", "")) for row in boxes),
    )


def _conflicts(path: str, filename: str, rows: list[tuple[int, dict[str, str]]]) -> Iterator[RowProblem]:
    first_line, first = rows[0]
    for line, row in rows[1:]:
        if _size(row) != _size(first):
            found = (
                f"size {row['width']} x {row['height']}, but {first['width']} x {first['height']} in row {first_line}"
            )
            cure = "All rows of one image must state the same width and height."
            problem = Problem(path, f"row {line}, width and height", found, cure)
            yield RowProblem(filename, "annotation_ambiguous", problem)
            # One is enough: the rest of the image's rows most often repeat it.
            return


def _size(row: dict[str, str]) -> tuple[int | None, int | None]:
    return whole_number(row["width"]), whole_number(row["height"])
