"""What `data.strict` stands for: no training while anything in the data had to be mended, or cannot be told.

Leaks between the splits are not looked at here: `data.leaks` decides on them, with or without it.
"""

import os
from collections.abc import Iterator, Sequence

from odtl.dataset import merged
from odtl.duplicates.copies import read_copies
from odtl.errors import InputError, Problem
from odtl.name_clashes import name_clashes
from odtl.repairs import COLUMNS


def check_strict(
    ledgers: Sequence[str | os.PathLike], copies_csv: str | os.PathLike, manifests: Sequence[str | os.PathLike]
) -> None:
    """Raise InputError with all that `of_ledger` and `of_images` yield, if there is anything."""
    problems = [*of_ledger(ledgers), *of_images(copies_csv, manifests)]
    if problems:
        headline = f"data.strict is on, and {len(problems)} thing(s) had to be repaired or rejected, or cannot be told"
        raise InputError(problems, headline)


def of_ledger(ledgers: Sequence[str | os.PathLike]) -> Iterator[Problem]:
    """Yield every row of some ledgers."""
    for row in merged(ledgers, COLUMNS):
        cure = f"Mend it, or set data.strict to false to have it {row['status']} ({row['reason']}: {row['done']})."
        yield Problem(row["file"] or row["image"], row["field"] or "image", row["found"], cure)


def of_images(copies_csv: str | os.PathLike, manifests: Sequence[str | os.PathLike]) -> Iterator[Problem]:
    """Yield what is wrong with images that are sound each by itself.

    copies_csv: as `compare_copies` writes it: identical images with different boxes are told.
    manifests:  of all shards: names that differ in case or accents alone are told.
    """
    for row in read_copies(copies_csv):
        if row["same_boxes"] == "0":
            found = f"the same file as {row['other']}, with other boxes ({row['boxes']} and {row['other_boxes']})"
            yield Problem(row["image"], "boxes", found, "Correct one of the two, or remove it.")
    for first, *others in name_clashes(manifests):
        found = f"a name that differs from {', '.join(others)} only in case or accents"
        yield Problem(first, "file name", found, "Rename all but one: on Windows and macOS they are one file.")
