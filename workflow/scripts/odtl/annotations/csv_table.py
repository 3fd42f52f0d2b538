"""The boxes table of the TensorFlow tutorials: `filename,width,height,class,xmin,ymin,xmax,ymax`, one row per box.

Further columns that count where they are there: `difficult`, `truncated`, `crowd`, `split`, and `url`, `license`,
`source` of images that are to be fetched.
"""

import csv
import os
from collections.abc import Iterator

from odtl.annotations.model import Annotation, Origin, Table, TableProblem
from odtl.annotations.values import flag, number, whole_number
from odtl.errors import InputError, Problem
from odtl.files import open_regular
from odtl.split import split_named

REQUIRED = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_HEADER_CURE = f"A comma-separated, UTF-8 table with the header {','.join(REQUIRED)} is expected."


def read(path: str | os.PathLike) -> Table:
    """Read a table, as written: boxes are (xmin, ymin, xmax, ymax) in pixels, in the order of the rows.

    Columns may stand in any order; others than those named above are not looked at. `difficult`, `truncated` and
    `crowd` are 0 or 1. `split` is the image's: train, val or test, or a word for one of them ("Training"). `url`, with
    `license` (or `licence`) and `source`, is its origin; an image without a file name is known by it. A row with a file
    name and nothing in class and box says that the image holds no object: a negative. A coordinate that is missing or
    no number is NaN, as in the other formats. Row numbers in problems are lines of the file, the header being row 1.

    A row with more columns than the header, or with neither file name nor address, is left out and reported; an image
    whose rows state different sizes, splits or addresses, or a split that is none, is reported. Neither loses another
    row.

    Raises InputError for a table that cannot be read at all: no such file, no header, wrong encoding.
    """
    path = os.fspath(path)
    entries: dict[str, list[tuple[int, dict[str, str]]]] = {}
    problems: list[TableProblem] = []
    for number_, row in _rows(path):
        if None in row:
            found = f"{len(row) - 1 + len(row[None])} columns where the header has {len(row) - 1}"
            cure = "Quote a value that holds a comma, or mend the row."
            problems.append(TableProblem("", "row_unreadable", Problem(path, f"row {number_}", found, cure)))
        elif not (row["filename"] or row.get("url")):
            found = "no file name"
            cure = "Say which image the box belongs to, or remove the row."
            problems.append(TableProblem("", "row_unreadable", Problem(path, f"row {number_}", found, cure)))
        else:
            entries.setdefault(row["filename"] or row["url"], []).append((number_, row))
    annotations = {}
    for filename, rows in entries.items():
        annotations[filename] = _annotation(path, [row for _, row in rows])
        problems.extend(_conflicts(path, filename, rows))
    return Table(annotations, tuple(problems))


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
            reader.fieldnames = ["license" if name == "licence" else name for name in names]
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


def _annotation(path: str, rows: list[dict[str, str]]) -> Annotation:
    boxes = [row for row in rows if any(row[name] for name in ("class", *_SIDES))]
    crowd = tuple(flag(row.get("crowd", "")) for row in boxes)
    width, height = _size(rows[0])
    return Annotation(
        file=path,
        filename=rows[0]["filename"] or None,
        width=width,
        height=height,
        boxes=tuple(tuple(number(row[side]) for side in _SIDES) for row in boxes),
        labels=tuple(row["class"] for row in boxes),
        difficult=tuple(flag(row.get("difficult", "")) for row in boxes),
        truncated=tuple(flag(row.get("truncated", "")) for row in boxes),
        crowd=crowd if any(crowd) else (),
        split=split_named(rows[0].get("split", "")),
        origin=_origin(rows[0]),
    )


def _origin(row: dict[str, str]) -> Origin | None:
    url = row.get("url", "")
    return Origin(url, row.get("license", ""), row.get("source", "")) if url else None


def _conflicts(path: str, filename: str, rows: list[tuple[int, dict[str, str]]]) -> Iterator[TableProblem]:
    """Yield what the rows of an image contradict each other in, once each: most often all others repeat it."""
    first_line, first = rows[0]
    for line, row in rows:
        if (split := row.get("split")) and split_named(split) is None:
            cure = "A split is train, val or test; leave the cell empty for the split that the configuration gives."
            yield _ambiguous(path, filename, f"row {line}, split", repr(split[:40]), cure)
            break
    for line, row in rows[1:]:
        if _size(row) != _size(first):
            found = (
                f"size {row['width']} x {row['height']}, but {first['width']} x {first['height']} in row {first_line}"
            )
            cure = "All rows of one image must state the same width and height."
            yield _ambiguous(path, filename, f"row {line}, width and height", found, cure)
            break
    for name, meaning in (("split", split_named), ("url", str)):
        for line, row in rows[1:]:
            if meaning(row.get(name, "")) != meaning(first.get(name, "")):
                found = f"{row.get(name, '')[:200]!r}, but {first.get(name, '')[:200]!r} in row {first_line}"
                cure = f"All rows of one image must state the same {name}."
                yield _ambiguous(path, filename, f"row {line}, {name}", found, cure)
                break


def _ambiguous(path: str, filename: str, field: str, found: str, cure: str) -> TableProblem:
    return TableProblem(filename, "annotation_ambiguous", Problem(path, field, found, cure))


def _size(row: dict[str, str]) -> tuple[int | None, int | None]:
    return whole_number(row["width"]), whole_number(row["height"])
