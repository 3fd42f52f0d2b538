"""The images of a split with their boxes, one at a time, from the boxes tables of its shards."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from odtl.boxes import COLUMNS, BoxRow, parse_row
from odtl.dataset import merged
from odtl.errors import InputError, Problem
from odtl.fetching.ledger import COLUMNS as LEDGER_COLUMNS

Paths = Sequence[str | os.PathLike]


@dataclass(frozen=True)
class LabelledImage:
    """One image of the data set.

    first: any of its rows: for its id, its size in upright pixels, its file.
    boxes: its boxes; () for a negative.
    url, licence: where it was fetched from and what was stated with that, "" for an image that was a file.
    """

    first: BoxRow
    boxes: tuple[BoxRow, ...]
    url: str = ""
    licence: str = ""

    @property
    def id(self) -> str:
        """The image's id."""
        return self.first.filename


def iterate_images(boxes_csvs: Paths, fetched_csvs: Paths = ()) -> Iterator[LabelledImage]:
    """Yield the images of boxes tables in order of id, in little memory.

    fetched_csvs: the ledgers of what was fetched, of the shards that have one, in order of id.
    """
    origins = Origins(fetched_csvs)
    for image_id, group in itertools.groupby(merged(boxes_csvs, COLUMNS), key=lambda row: row["filename"]):
        rows = [parse_row(cells) for cells in group]
        boxes = tuple(row for row in rows if not row.is_negative)
        yield LabelledImage(rows[0], boxes, *origins.of(image_id))


def check_classes(image: LabelledImage, ids: Mapping[str, int]) -> None:
    """Raise InputError for each class of an image that is not in the label map."""
    unknown = sorted({row.label for row in image.boxes} - set(ids))
    if unknown:
        cure = "It has no id in the label map: run again to make that anew."
        raise InputError(Problem(image.id, "class", repr(name), cure) for name in unknown)


class Origins:
    """Addresses and licences of images that are asked for in order of id, from ledgers in that order."""

    def __init__(self, fetched_csvs: Paths) -> None:
        self._rows = merged(fetched_csvs, LEDGER_COLUMNS)
        self._row: Mapping[str, str] | None = next(self._rows, None)

    def of(self, image_id: str) -> tuple[str, str]:
        """Return address and licence of an image, "" where it has none; no id may be less than the one before."""
        while self._row is not None and self._row["image"] < image_id:
            self._row = next(self._rows, None)
        if self._row is None or self._row["image"] != image_id:
            return "", ""
        return self._row["url"], self._row["licence"]
