"""The boxes around polygons and run lengths, on absolute values and against COCO's own tools."""

import math
import random

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from odtl.annotations.outlines import around_points, around_polygons, around_runs


def is_none(box) -> bool:
    return all(map(math.isnan, box))


def test_polygons():
    assert around_polygons([[10, 20, 30.5, 5, 4, 8], [50, 6, 7, 60, 8, 9]]) == (4, 5, 50, 60)
    for polygons in ([], [[]], [[1, 2, 3]], [[1, 2, "x", 4]], [[1, None]], ["text"], [[1, 2], 5], [[1, math.inf]]):
        assert is_none(around_polygons(polygons))
    assert is_none(around_points([1], []))


def test_runs_on_absolute_values():
    # 4 rows, 5 columns; the pixels (row 1 to 2, column 2) and (row 0, column 3).
    assert around_runs({"size": [4, 5], "counts": [9, 2, 1, 1, 7]}) == (2, 0, 4, 3)
    # From the last row of column 1 to the first of column 2: both rows, whatever is between.
    assert around_runs({"size": [4, 5], "counts": [7, 2, 11]}) == (1, 0, 3, 4)
    assert around_runs({"size": [2, 2], "counts": [0, 4]}) == (0, 0, 2, 2)


@pytest.mark.parametrize("seed", range(20))
def test_runs_as_pycocotools_packs_them(seed):
    generator = random.Random(seed)
    height, width = generator.randint(1, 400), generator.randint(1, 400)
    mask = np.zeros((height, width), np.uint8, order="F")
    for _ in range(generator.randint(1, 12)):
        row, column = generator.randrange(height), generator.randrange(width)
        mask[row : row + generator.randint(1, 40), column : column + generator.randint(1, 40)] ^= 1
    packed = coco_mask.encode(mask)
    counts = packed["counts"].decode()
    rows, columns = np.nonzero(mask)
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    x, y, w, h = coco_mask.toBbox(packed)
    # pycocotools takes a run that goes on in the next column for one of full height, as we do.
    assert around_runs({"size": [height, width], "counts": counts}) == (x, y, x + w, y + h)
    assert (x, x + w) == (expected[0], expected[2])


def test_runs_that_are_none():
    for mask in (
        None,
        [],
        {},
        {"size": [4, 5]},
        {"size": [4, 5], "counts": [20]},
        {"size": [4, 5], "counts": [9, 2, 1]},
        {"size": [4, 5], "counts": [9, -2, 13]},
        {"size": [4, 5], "counts": [9, "2", 9]},
        {"size": [4, 5], "counts": [9.0, 2, 9]},
        {"size": [0, 5], "counts": [0]},
        {"size": [4], "counts": [4]},
        {"size": [10**9, 10**9], "counts": "zzz"},
        {"size": [4, 5], "counts": "ü"},
        {"size": [4, 5], "counts": "P" * 50},
        {"size": [4, 5], "counts": ""},
    ):
        assert is_none(around_runs(mask)), mask
