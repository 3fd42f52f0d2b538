"""Which pairs of images are worth telling, and how: as a table of bounded size, and as counts."""

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from odtl.duplicates.grouping import Placed
from odtl.files import write_csv

IDENTICAL, NEAR, MIRROR = KINDS = ("identical", "near", "mirror")
COLUMNS = ("kind", "image", "split", "other", "other_split", "distance", "leak")
# Of thousands of frames that all look alike, each is told with a few.
_MOST_PER_IMAGE = 10
_EXAMPLES = 10


@dataclass(frozen=True, order=True, slots=True)
class Pair:
    """Two images that show the same.

    kind:     identical (the same bytes), near (the same picture), mirror (the one is the other's mirror image).
    image, other: their ids, image < other.
    distance: of the thumbnails, in levels of 0 to 255 (see `compare`); 0 for identical ones.
    """

    kind: str
    image: str
    other: str
    distance: float


@dataclass(frozen=True)
class Report:
    """What is to be told.

    used: every image that is used, by id.
    """

    pairs: Sequence[Pair]
    used: Mapping[str, Placed]

    def leaks(self, pair: Pair) -> bool:
        """Whether a pair tells a model in training what it is to be judged by: train on the one side, not the other."""
        return (self.used[pair.image].split == "train") != (self.used[pair.other].split == "train")

    @cached_property
    def ordered(self) -> list[Pair]:
        """The pairs, what matters most first: leaks, then by kind, and the most alike."""
        return sorted(self.pairs, key=self._rank)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the table's rows, some of each image's at most."""
        told: Counter[str] = Counter()
        for pair in self.ordered:
            if min(told[pair.image], told[pair.other]) < _MOST_PER_IMAGE:
                told.update((pair.image, pair.other))
                yield self._row(pair)

    def summary(self) -> dict[str, Any]:
        """Return counts and examples.

        pairs:  kind -> number of pairs. images: how many images are in any.
        leaks:  `images`: how many training images show the same as one of val or test; `pairs`: kind -> number;
                `examples`: rows of the table.
        between_val_and_test: number of pairs.
        """
        leaks = [pair for pair in self.ordered if self.leaks(pair)]
        splits = ({self.used[pair.image].split, self.used[pair.other].split} for pair in self.pairs)
        return {
            "images_alike": len({image for pair in self.pairs for image in (pair.image, pair.other)}),
            "pairs": _by_kind(self.pairs),
            "leaks": {
                "images": len({self._in_train(pair) for pair in leaks}),
                "pairs": _by_kind(leaks),
                "examples": [self._row(pair) for pair in leaks[:_EXAMPLES]],
            },
            "between_val_and_test": sum(pair == {"val", "test"} for pair in splits),
        }

    def _rank(self, pair: Pair) -> tuple:
        return not self.leaks(pair), KINDS.index(pair.kind), pair.distance, pair.image, pair.other

    def _in_train(self, pair: Pair) -> str:
        return pair.image if self.used[pair.image].split == "train" else pair.other

    def _row(self, pair: Pair) -> dict[str, Any]:
        return {
            "kind": pair.kind,
            "image": pair.image,
            "split": self.used[pair.image].split,
            "other": pair.other,
            "other_split": self.used[pair.other].split,
            "distance": pair.distance,
            "leak": int(self.leaks(pair)),
        }


def write_pairs(path: str | os.PathLike, report: Report) -> None:
    """Write the rows of a report as CSV."""
    write_csv(path, COLUMNS, report.rows())


def read_pairs(path: str | os.PathLike) -> Iterator[dict[str, str]]:
    """Yield the rows that `write_pairs` wrote, in their order: what matters most first."""
    with open(path, encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def _by_kind(pairs: Sequence[Pair]) -> dict[str, int]:
    counts = Counter(pair.kind for pair in pairs)
    return {kind: counts[kind] for kind in KINDS}
