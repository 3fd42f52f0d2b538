"""Images that are the same file: do their annotations say the same?"""

import csv
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from odtl.duplicates.reporting import IDENTICAL, read_pairs
from odtl.files import write_csv, write_json

COLUMNS = ("image", "split", "boxes", "other", "other_split", "other_boxes", "same_boxes")
# Two people, or one twice, draw a box around the same object with at least this overlap.
LEAST_IOU = 0.7
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_EXAMPLES = 10

Box = tuple[str, tuple[float, float, float, float]]


def compare_copies(
    duplicates_csv: str | os.PathLike,
    boxes_csvs: Iterable[str | os.PathLike],
    copies_csv: str | os.PathLike,
    summary_json: str | os.PathLike,
) -> dict[str, Any]:
    """Write each pair of identical images with the number of boxes of both, and whether these are the same; count.

    boxes_csvs: of all shards. An image that the boxes stage has rejected is left out.

    Hands never draw a box twice the same: see `same_boxes`. Returns the summary that is written: `pairs`, of which
    `different`; `examples`, rows of those.
    """
    pairs = [row for row in read_pairs(duplicates_csv) if row["kind"] == IDENTICAL]
    boxes = read_edges({row[key] for row in pairs for key in ("image", "other")}, boxes_csvs)
    rows = []
    for row in pairs:
        one, other = boxes.get(row["image"]), boxes.get(row["other"])
        if one is not None and other is not None:
            own = {"boxes": len(one), "other_boxes": len(other), "same_boxes": int(same_boxes(one, other))}
            rows.append({**{key: row[key] for key in COLUMNS if key in row}, **own})
    rows.sort(key=lambda row: row["same_boxes"])
    write_csv(copies_csv, COLUMNS, rows)
    different = [row for row in rows if not row["same_boxes"]]
    summary = {"pairs": len(rows), "different": len(different), "examples": different[:_EXAMPLES]}
    write_json(summary_json, summary)
    return summary


def read_copies(path: str | os.PathLike) -> Iterator[dict[str, str]]:
    """Yield the rows that `compare_copies` wrote, those with different boxes first."""
    with open(path, encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def same_boxes(one: Sequence[Box], other: Sequence[Box]) -> bool:
    """Return whether each box has a partner of its class that it covers, and is covered by, to `LEAST_IOU`."""
    left = list(other)
    for label, edges in one:
        overlaps = [(_iou(edges, theirs), (name, theirs)) for name, theirs in left if name == label]
        best = max(overlaps, default=(0.0, None))
        if best[0] < LEAST_IOU:
            return False
        left.remove(best[1])
    return not left


def read_edges(images: Collection[str], boxes_csvs: Iterable[str | os.PathLike]) -> dict[str, list[Box]]:
    """Return the boxes of some images: class, and xmin, ymin, xmax, ymax in pixels. A negative has none."""
    boxes: dict[str, list[Box]] = {}
    for path in boxes_csvs if images else ():
        with open(path, encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                if row["filename"] in images:
                    found = boxes.setdefault(row["filename"], [])
                    if row["class"]:
                        found.append((row["class"], tuple(float(row[edge]) for edge in _EDGES)))
    return boxes


def _iou(one: Sequence[float], other: Sequence[float]) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, wide) * max(0.0, high)
    return shared / (_area(one) + _area(other) - shared)


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
