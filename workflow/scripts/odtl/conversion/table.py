"""CSV: all boxes of all splits in one table, in the tutorials' columns."""

import os
from collections.abc import Iterator

from odtl.boxes import COLUMNS as BOX_COLUMNS
from odtl.conversion.labelled import Origins, Paths
from odtl.dataset import LABEL_COLUMNS, merged
from odtl.files import write_csv

COLUMNS = (*LABEL_COLUMNS, "difficult", "truncated", "crowd", "split", "image", "url", "license")


def convert(boxes_csvs: Paths, fetched_csvs: Paths, path: str | os.PathLike) -> str:
    """Write a table of `COLUMNS`, a row for each box, in order of image id; return what was written, as a text.

    Boxes are in upright pixels. An image without boxes has one row with nothing in class and box. `image` is the path
    of its file, `filename` its id; `url` and `license` are those of an image that was fetched.
    """
    rows = 0

    def counted() -> Iterator[dict[str, str]]:
        nonlocal rows
        origins = Origins(fetched_csvs)
        for row in merged(boxes_csvs, BOX_COLUMNS):
            rows += 1
            url, licence = origins.of(row["filename"])
            known = {**row, "url": url, "license": licence}
            yield {column: known[column] for column in COLUMNS}

    write_csv(path, COLUMNS, counted())
    return f"{rows} rows"
