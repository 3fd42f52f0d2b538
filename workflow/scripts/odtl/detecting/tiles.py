"""Large images by tiles: small objects are seen at full size, and what tiles say twice is told once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from odtl.detections import Detections, no_detections, pairwise_iou
from odtl.errors import InputError, Problem

# Two boxes of one class that overlap by more are of one object: as the detectors' own suppression has it.
_MAX_IOU = 0.5
# A box that was cut off by the edge of its tile, and of which so much lies in another of its class, is a part of that.
_MAX_INSIDE = 0.5
# A box that ends so near to the edge of its tile, as a share of the side, was cut off there.
_EDGE = 0.01

Place = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tiling:
    """How images are cut: into squares of `side` pixels, of which neighbours share at least `overlap`, in [0, 1)."""

    side: int
    overlap: float = 0.2

    def __post_init__(self) -> None:
        problems = []
        if self.side < 32:
            problems.append(Problem("tile", "pixels", str(self.side), "A tile has at least 32 pixels."))
        if not 0 <= self.overlap <= 0.9:
            problems.append(
                Problem("overlap", "share", f"{self.overlap:g}", "Tiles share from 0 to 0.9 of their side.")
            )
        if problems:
            raise InputError(problems, "Images cannot be cut so")

    def places(self, width: int, height: int) -> list[Place]:
        """Return xmin, ymin, xmax, ymax of each tile of an image, in pixels, all of the same size.

        They cover the image and do not leave it: the last ones of a row and of a column overlap by more. An image that
        is smaller than a tile in one direction is cut in the other one only. Just one place: nothing is to be cut.
        """
        wide, high = min(self.side, width), min(self.side, height)
        return [(x, y, x + wide, y + high) for y in self._starts(height) for x in self._starts(width)]

    def _starts(self, length: int) -> list[int]:
        if length <= self.side:
            return [0]
        step = max(1, math.floor(self.side * (1 - self.overlap)))
        count = math.ceil((length - self.side) / step) + 1
        # Evenly, so that no two tiles overlap by nearly all of their side.
        return [round(index * (length - self.side) / (count - 1)) for index in range(count)]


def merge(parts: Sequence[tuple[Place, Detections]], width: int, height: int) -> Detections:
    """Return the detections of an image from those in its parts, best score first.

    parts: each part's place in the image (xmin, ymin, xmax, ymax in pixels) and what was found in it, in the part's own
    pixels. One of the parts may be the whole image: what is larger than a tile is found there.

    Of each class on its own, greedily: of boxes whose intersection over union exceeds 0.5 only the best stays
    (non-maximum suppression). Boxes that the edge of their tile cuts off come after all whole ones, and one of which
    more than half lies in a box that stays is dropped: it is a part of the same object.
    """
    placed = [_placed(place, found) for place, found in parts if len(found)]
    if not placed:
        return no_detections()
    boxes = np.concatenate([found.boxes for found in placed])
    everything = Detections(
        boxes,
        np.concatenate([found.scores for found in placed]),
        np.concatenate([found.classes for found in placed]),
    )
    cut = np.concatenate([_cut(place, found, width, height) for place, found in parts if len(found)])
    kept = [
        index
        for class_id in np.unique(everything.classes)
        for index in _suppressed(everything, cut, np.flatnonzero(everything.classes == class_id))
    ]
    return everything.take(np.array(sorted(kept, key=lambda index: (-everything.scores[index], index))))


def _suppressed(found: Detections, cut: np.ndarray, indices: np.ndarray) -> list[int]:
    """Return those of the indices, all of one class, that stay."""
    order = indices[np.lexsort((indices, -found.scores[indices], cut[indices]))]
    kept: list[int] = []
    for index in order:
        box, stay = found.boxes[index][None], found.boxes[kept]
        if kept and pairwise_iou(box, stay).max() > _MAX_IOU:
            continue
        if kept and cut[index] and _share_inside(box[0], stay).max() > _MAX_INSIDE:
            continue
        kept.append(int(index))
    return kept


def _share_inside(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the share of a box, (4,), that lies in each of the others, (N, 4); 0 for a box without area."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    area = np.prod(box[2:] - box[:2])
    return np.prod(np.clip(high - low, 0, None), axis=1) / area if area > 0 else np.zeros(len(others))


def _placed(place: Place, found: Detections) -> Detections:
    return Detections(found.boxes + np.array([*place[:2], *place[:2]], float), found.scores, found.classes)


def _cut(place: Place, found: Detections, width: int, height: int) -> np.ndarray:
    """Return for each box of a part, (N,), whether an edge of the part that is none of the image cuts it off."""
    wide, high = place[2] - place[0], place[3] - place[1]
    near = np.maximum(1.0, _EDGE * np.array([wide, high]))
    left, upper, right, lower = found.boxes.T
    return (
        ((left <= near[0]) & (place[0] > 0))
        | ((upper <= near[1]) & (place[1] > 0))
        | ((right >= wide - near[0]) & (place[2] < width))
        | ((lower >= high - near[1]) & (place[3] < height))
    )
