"""Boxes around outlines: polygons and run lengths.

Boxes are (xmin, ymin, xmax, ymax) in pixels, edges continuous: the pixel in the first column reaches from 0 to 1.
"""

import itertools
import math
from collections.abc import Iterable, Sequence

from odtl.annotations.json_file import number, sequence, whole_number

Box = tuple[float, float, float, float]
_NAN = float("nan")
NO_BOX: Box = (_NAN, _NAN, _NAN, _NAN)


def around_points(xs: Iterable[object], ys: Iterable[object]) -> Box:
    """Return the box around points, given as JSON values; `NO_BOX` where there is none or one has no number."""
    columns, rows = [number(x) for x in xs], [number(y) for y in ys]
    if not columns or len(columns) != len(rows) or not all(map(math.isfinite, itertools.chain(columns, rows))):
        return NO_BOX
    return min(columns), min(rows), max(columns), max(rows)


def around_boxes(boxes: Iterable[Box]) -> Box:
    """Return the box around boxes; `NO_BOX` where there is none or one of them is `NO_BOX`."""
    sides = list(zip(*boxes, strict=True))
    if not sides or any(math.isnan(value) for side in sides for value in side):
        return NO_BOX
    return min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3])


def around_polygons(polygons: Sequence[object]) -> Box:
    """Return the box around COCO's polygons, [[x1, y1, x2, y2, ...], ...]; `NO_BOX` where they are none."""
    boxes = []
    for polygon in polygons:
        values = sequence(polygon)
        boxes.append(around_points(values[0::2], values[1::2]))
    return around_boxes(boxes)


def around_runs(mask: object) -> Box:
    """Return the box around COCO's run lengths, {"size": [height, width], "counts": [...] or "..."}.

    The runs go down the columns, the first of them outside the mask; as text they are packed as in
    https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c (rleToString). `NO_BOX` where they are not as
    many as there are pixels, or none is in the mask.
    """
    if not isinstance(mask, dict):
        return NO_BOX
    size = [whole_number(side) for side in sequence(mask.get("size"))]
    counts = mask.get("counts")
    runs = _unpacked(counts) if isinstance(counts, str) else sequence(counts)
    if len(size) != 2 or None in size or not all(type(run) is int and run >= 0 for run in runs):
        return NO_BOX
    height, width = size
    if sum(runs) != height * width:
        return NO_BOX
    columns, rows = [], []
    end = 0
    for index, run in enumerate(runs):
        start, end = end, end + run
        if index % 2 and run:
            first, last = divmod(start, height), divmod(end - 1, height)
            columns += first[0], last[0]
            # A run that goes on in the next column has been at the bottom of this one and the top of the next.
            rows += (first[1], last[1]) if first[0] == last[0] else (0, height - 1)
    if not columns:
        return NO_BOX
    return float(min(columns)), float(min(rows)), float(max(columns) + 1), float(max(rows) + 1)


def _unpacked(packed: str) -> list[int | None]:
    """Return the run lengths that a text holds; None in place of what is none."""
    runs: list[int | None] = []
    value = shift = 0
    for letter in packed:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            return [None]
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            # Five bits each, the highest of the last is the sign; from the fourth on, differences to the last but one.
            value -= (bits & 16) << (shift - 4) if bits & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return [None] if shift else runs
