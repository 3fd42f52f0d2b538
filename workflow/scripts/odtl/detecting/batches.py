"""Many images through a detector: as many at a time as they have one size, and large ones by tiles."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from odtl.detecting.thresholds import Thresholds
from odtl.detecting.tiles import Tiling, merge
from odtl.detections import Detections

# What waits for others of its size, in pixels of all together: 192 MB. And nothing waits longer than for so many.
_MOST_PIXELS = 2**26
_MOST_WAITING = 256


class HasPixels(Protocol):
    """What can be detected on: `pixels` is uint8 (H, W, 3), RGB, upright."""

    pixels: np.ndarray


T = TypeVar("T", bound=HasPixels)


@dataclass(frozen=True)
class Finder:
    """A detector with what is asked of it.

    detect:     uint8 (N, H, W, 3) -> the detections of each; `Detector.detect`.
    thresholds: what scores less is left out.
    batch_size: most images in a batch. They are of one size: an export scales a batch as one.
    tiling:     how images larger than a tile are cut; None: they are not.
    """

    detect: Callable[[np.ndarray], list[Detections]]
    thresholds: Thresholds
    batch_size: int = 1
    tiling: Tiling | None = None

    def find(self, items: Iterable[T]) -> Iterator[tuple[T, Detections]]:
        """Yield each item with what was found in it; those of one size in their order, others as a batch is full."""
        waiting: dict[tuple[int, ...], list[T]] = {}
        for item in items:
            height, width = item.pixels.shape[:2]
            if self.tiling and len(self.tiling.places(width, height)) > 1:
                yield item, self._find_in_tiles(item.pixels, self.tiling)
                continue
            same = waiting.setdefault(item.pixels.shape, [])
            same.append(item)
            if len(same) >= self.batch_size:
                yield from self._find_in_batch(waiting.pop(item.pixels.shape))
            while waiting and _too_many(waiting.values()):
                # The first that came is in the first list: a list that was taken out comes back as the last one.
                yield from self._find_in_batch(waiting.pop(next(iter(waiting))))
        for same in waiting.values():
            yield from self._find_in_batch(same)

    def _find_in_batch(self, items: list[T]) -> Iterator[tuple[T, Detections]]:
        found = self.detect(np.stack([item.pixels for item in items]))
        yield from zip(items, map(self.thresholds.keep, found), strict=True)

    def _find_in_tiles(self, pixels: np.ndarray, tiling: Tiling) -> Detections:
        height, width = pixels.shape[:2]
        places = tiling.places(width, height)
        whole = (0, 0, width, height)
        parts = [(whole, self.thresholds.keep(self.detect(pixels[None])[0]))]
        for first in range(0, len(places), self.batch_size):
            some = places[first : first + self.batch_size]
            found = self.detect(np.stack([pixels[ymin:ymax, xmin:xmax] for xmin, ymin, xmax, ymax in some]))
            parts += zip(some, map(self.thresholds.keep, found), strict=True)
        return merge(parts, width, height)


def _too_many(waiting: Iterable[list[T]]) -> bool:
    items = [item for same in waiting for item in same]
    return len(items) > _MOST_WAITING or sum(item.pixels.size for item in items) > 3 * _MOST_PIXELS
