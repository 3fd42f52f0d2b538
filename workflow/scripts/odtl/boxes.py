"""The canonical boxes table: one row per box, or per image without any.

The coordinate convention, written down here and nowhere else
-------------------------------------------------------------
The PASCAL VOC development kit counts pixels from 1 and includes the last one: a box over a whole image of width w has
xmin 1 and xmax w. LabelImg, which writes most VOC files today, and the TensorFlow Object Detection API, which reads
them, both treat the values as continuous edges: 0 is the image's left edge, w its right one, and the width of a box
is xmax - xmin; the API divides by the width and neither subtracts nor adds one. We do the same, everywhere: xmin,
ymin, xmax, ymax are edges in upright pixels, 0 <= xmin < xmax <= width and 0 <= ymin < ymax <= height. For a genuine
VOC file that moves the left and upper edge by one pixel, which is less than people's hands do.
"""

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from odtl.files import read_checked

if TYPE_CHECKING:
    import numpy as np

COLUMNS = (
    *("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"),
    *("difficult", "truncated", "crowd", "split", "group", "image", "sha256"),
)
Box = tuple[float, float, float, float]


class BoxRow(NamedTuple):
    """One row of the boxes table: a box, or an image without any (a negative: label "" and no edges).

    No data class: millions are made, and these are made several times faster.

    filename: the image's id.
    width, height: of the upright image, in pixels.
    label: the class ("class" in the file).
    xmin, ymin, xmax, ymax: edges in upright pixels, 0 <= xmin < xmax <= width; None in a negative.
    crowd: whether it is a box around many objects that are not told apart.
    image, sha256: the file to read, and what its bytes must be.
    """

    filename: str
    width: int
    height: int
    label: str
    xmin: float | None
    ymin: float | None
    xmax: float | None
    ymax: float | None
    difficult: bool
    truncated: bool
    crowd: bool
    split: str
    group: str
    image: str
    sha256: str

    @property
    def is_negative(self) -> bool:
        """Whether the row says that its image holds no object."""
        return self.xmin is None


def read_boxes(path: str | os.PathLike, sha256: str | None = None) -> list[BoxRow]:
    """Read a boxes table that `make_boxes` wrote, in its order (by image id, then as annotated).

    sha256: what the digest of its bytes must be, else InputError; None: whatever it is.
    """
    cure = "It is not as it was made: delete it, and run again to make it anew."
    with io.StringIO(read_checked(path, sha256, cure), newline="") as stream:
        return [parse_row(row) for row in csv.DictReader(stream)]


def to_array(rows: Iterable[BoxRow]) -> "np.ndarray":
    """Return the boxes of `rows`, negatives left out, as float64 (N, 4): xmin, ymin, xmax, ymax in upright pixels."""
    import numpy as np

    edges = [(row.xmin, row.ymin, row.xmax, row.ymax) for row in rows if not row.is_negative]
    return np.asarray(edges, dtype=np.float64).reshape(-1, 4)


def to_cells(row: BoxRow) -> list[str | int]:
    """Return a row's cells as the table has them, in the order of `COLUMNS`."""
    edges = ["" if edge is None else number_text(edge) for edge in (row.xmin, row.ymin, row.xmax, row.ymax)]
    flags = ["", "", ""] if row.is_negative else [str(int(flag)) for flag in (row.difficult, row.truncated, row.crowd)]
    return [row.filename, row.width, row.height, row.label, *edges, *flags, row.split, row.group, row.image, row.sha256]


def parse_row(cells: Mapping[str, str]) -> BoxRow:
    """Return one row of a boxes table, given its cells by column."""
    edges = [float(cells[side]) if cells[side] else None for side in ("xmin", "ymin", "xmax", "ymax")]
    return BoxRow(
        cells["filename"],
        int(cells["width"]),
        int(cells["height"]),
        cells["class"],
        *edges,
        cells["difficult"] == "1",
        cells["truncated"] == "1",
        cells["crowd"] == "1",
        *(cells[name] for name in ("split", "group", "image", "sha256")),
    )


def number_text(value: float) -> str:
    """Return the shortest text that reads back as the same value; whole numbers as the tutorials have them."""
    return str(int(value)) if value % 1 == 0 and abs(value) < 1e15 else repr(float(value))


def box_text(box: Box) -> str:
    """Return a box as the ledger shows it: "xmin,ymin,xmax,ymax"."""
    return ",".join(number_text(edge) if math.isfinite(edge) else str(edge) for edge in box)
