"""The repair ledger: one row per thing that was changed or refused, and the count that must always add up.

Images in = kept + repaired + rejected. An image with any `rejected` row is rejected; one with only `repaired` rows is
repaired; one without a row is kept. Every reason is explained in docs/repairs.md.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

from odtl.files import atomic_open

REPAIRED = "repaired"
REJECTED = "rejected"

# reason -> what it does to the image. The order is that of docs/repairs.md: annotation, match, image, size, boxes.
STATUS_OF = {
    "annotation_unreadable": REJECTED,
    "annotation_unsafe": REJECTED,
    "annotation_ambiguous": REJECTED,
    "annotation_skipped": REJECTED,
    "annotation_chosen": REPAIRED,
    "shape_unsupported": REJECTED,
    "box_upside_down": REPAIRED,
    "row_unreadable": REJECTED,
    "shape_without_box": REPAIRED,
    "row_repeated": REJECTED,
    "unlabelled": REJECTED,
    "image_missing": REJECTED,
    "matched_by_filename": REPAIRED,
    "filename_of_another": REPAIRED,
    "image_not_fetched": REJECTED,
    "image_unreadable": REJECTED,
    "image_empty": REJECTED,
    "image_not_an_image": REJECTED,
    "image_damaged": REJECTED,
    "image_too_large": REJECTED,
    "image_unsupported": REJECTED,
    "image_wrong_extension": REPAIRED,
    "image_converted": REPAIRED,
    "exif_invalid": REPAIRED,
    "exif_turned": REPAIRED,
    "exif_ambiguous": REPAIRED,
    "size_missing": REPAIRED,
    "size_wrong": REPAIRED,
    "size_scaled": REPAIRED,
    "box_not_a_number": REPAIRED,
    "box_inverted": REPAIRED,
    "box_empty": REPAIRED,
    "box_outside": REPAIRED,
    "box_clipped": REPAIRED,
    "label_empty": REPAIRED,
    "label_spelling": REPAIRED,
    "label_unknown": REPAIRED,
    "all_boxes_unusable": REJECTED,
}


@dataclass(frozen=True)
class LedgerRow:
    """One thing that was changed or refused.

    image:  the image's id.
    status: "repaired" or "rejected", the row's effect on the image.
    reason: a key of `STATUS_OF`.
    file, field: where it was found, as the user would look for it.
    found, done: what stands there, and what was done about it.
    before, after: the value before and after, where there is one; a box is "xmin,ymin,xmax,ymax".
    """

    image: str
    status: str
    reason: str
    file: str = ""
    field: str = ""
    found: str = ""
    done: str = ""
    before: str = ""
    after: str = ""


COLUMNS = tuple(field.name for field in fields(LedgerRow))


def ledger_row(image: str, reason: str, **rest: str) -> LedgerRow:
    """Return a ledger row whose status follows from its reason; KeyError for a reason that is not known."""
    return LedgerRow(image, STATUS_OF[reason], reason, **rest)


def write_ledger(path: str | os.PathLike, rows: Iterable[LedgerRow]) -> None:
    """Write a ledger as CSV, with its header even when it is empty."""
    with atomic_open(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in rows)


def read_ledger(path: str | os.PathLike) -> list[LedgerRow]:
    """Read a ledger that `write_ledger` wrote."""
    with open(path, encoding="utf-8", newline="") as stream:
        return [LedgerRow(**row) for row in csv.DictReader(stream)]


def merge_ledgers(paths: Iterable[str | os.PathLike], path: str | os.PathLike) -> None:
    """Write the rows of all ledgers `paths` into one at `path`, sorted by image, an image's rows in their order."""
    rows = [row for part in paths for row in read_ledger(part)]
    write_ledger(path, sorted(rows, key=lambda row: row.image))


@dataclass(frozen=True)
class Summary:
    """How many images came in and what became of them.

    images = kept + repaired + rejected.
    by_reason: (reason, status, rows, images, example) for each reason that occurs, most images first; `example` is
               "file: field" of the first of its rows.
    """

    images: int
    kept: int
    repaired: int
    rejected: int
    by_reason: tuple[tuple[str, str, int, int, str], ...]

    def __str__(self) -> str:
        return to_text(self)


def summarise(ledger_paths: Iterable[str | os.PathLike], boxes_paths: Iterable[str | os.PathLike]) -> Summary:
    """Count the images of some shards by what became of them.

    ledger_paths, boxes_paths: the ledgers and the boxes tables (CSV) of the same shards.

    Raises ValueError if the two contradict each other: a rejected image that has boxes, or a repaired one that has
    neither boxes nor a negative's row.
    """
    rows = [row for path in ledger_paths for row in read_ledger(path)]
    rejected = {row.image for row in rows if row.status == REJECTED}
    repaired = {row.image for row in rows} - rejected
    used: set[str] = set()
    for path in boxes_paths:
        with open(path, encoding="utf-8", newline="") as stream:
            used.update(row["filename"] for row in csv.DictReader(stream))
    if wrong := sorted((used & rejected) | (repaired - used)):
        raise ValueError(f"ledger and boxes table contradict each other on {len(wrong)} image(s), such as {wrong[0]}")
    return Summary(
        len(used | rejected), len(used - repaired), len(repaired), len(rejected), tuple(_count_by_reason(rows))
    )


def to_text(summary: Summary) -> str:
    """Return the summary as a few lines for a person."""
    lines = [
        f"{summary.images} images in = {summary.kept} kept + {summary.repaired} repaired + {summary.rejected} rejected"
    ]
    for reason, status, rows, images, example in summary.by_reason:
        times = f"{images} image(s)" if rows == images else f"{images} image(s), {rows} times"
        lines.append(f"  {status} {reason}: {times}, for example {example}")
    return "\n".join(lines)


def _count_by_reason(rows: Sequence[LedgerRow]) -> list[tuple[str, str, int, int, str]]:
    counts = Counter((row.reason, row.status) for row in rows)
    images: dict[tuple[str, str], set[str]] = {}
    examples: dict[tuple[str, str], str] = {}
    for row in rows:
        key = (row.reason, row.status)
        images.setdefault(key, set()).add(row.image)
        examples.setdefault(key, ": ".join(filter(None, (row.file or row.image, row.field))))
    counted = [(*key, counts[key], len(images[key]), examples[key]) for key in counts]
    # Rejected first: those are the images a person has lost.
    return sorted(counted, key=lambda entry: (entry[1] != REJECTED, -entry[3], entry[0]))
