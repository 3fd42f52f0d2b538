"""Which picture an annotation's boxes were drawn on, and where they are once it stands upright.

The size that an annotation states tells which picture that was: as stored or upright, as large as it is now or resized
since. What cannot be told is decided as docs/repairs.md says, with a row of the ledger.
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from odtl.boxes import Box
from odtl.images import ImageInfo
from odtl.manifest import Line
from odtl.repairs import LedgerRow, ledger_row

# Stated and actual size with sides in the same ratio within this share: the image was resized after labelling.
SAME_RATIO = 0.01
# How far a box may leave the image by a tool's rounding, in pixels.
ROUNDING = 1.0
# What each picture has in the end.
UPRIGHT = "EXIF orientation 1"
# Shares of an image's sides are written with six decimals or as 32-bit numbers: what these lose is no repair.
SHARE_ROUNDING = 2e-6


@dataclass(frozen=True)
class Transform:
    """From a box as written to one in upright pixels.

    scale:       what x and y are multiplied by.
    orientation: EXIF orientation by which the scaled box is turned, in a picture of the size `stored`.
    shares:      whether the box is in shares of the picture's sides.
    """

    scale: tuple[float, float]
    orientation: int
    stored: tuple[int, int]
    shares: bool = False

    @functools.cached_property
    def changes_nothing(self) -> bool:
        """Whether every box stays as it is."""
        return self.scale == (1.0, 1.0) and self.orientation == 1 and not self.shares

    def __call__(self, box: Box) -> Box:
        x, y = self.scale
        if self.shares:
            box = tuple(map(_whole_share, box))
        scaled = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
        if self.shares:
            # A thousandth of a pixel is more than a share with six decimals tells.
            scaled = tuple([round(edge, 3) if math.isfinite(edge) else edge for edge in scaled])
        return scaled if self.orientation == 1 else turn_upright(scaled, self.orientation, *self.stored)


_AS_IT_IS = Transform((1.0, 1.0), 1, (1, 1))


def frame(line: Line, info: ImageInfo) -> tuple[Transform, list[LedgerRow]]:
    """Return how the boxes of an image become upright ones, and the rows of the ledger about that."""
    annotation = line.annotation
    stored, upright = (info.width, info.height), info.upright_size
    stated = (annotation.width, annotation.height)
    if stated == stored and info.orientation == 1 and not annotation.normalised:
        # Most are as they should be.
        return _AS_IT_IS, []
    where = {"file": annotation.file, "field": "size"}
    repairs = []
    turned = False
    if annotation.normalised:
        return _frame_of_shares(line, info)
    if info.orientation != 1:
        turned, row = _choose_frame(line, info)
        repairs.append(row)
    actual = stored if turned else upright
    text = f"{stated[0]} x {stated[1]}"
    actual_text = f"{actual[0]} x {actual[1]}"
    scale = (1.0, 1.0)
    if None in stated:
        stated_text = " x ".join("?" if side is None else str(side) for side in stated)
        found = f"width x height {stated_text}: missing, zero or no whole number"
        done = "the image's own size taken"
        row = ledger_row(
            line.id, "size_missing", **where, found=found, done=done, before=stated_text, after=actual_text
        )
        repairs.append(row)
    elif stated != actual and _same_ratio(stated, actual) and _fits(annotation.boxes, stated):
        scale = (actual[0] / stated[0], actual[1] / stated[1])
        found = f"{text}, the image is {actual_text}"
        done = "boxes scaled: they were drawn on the image at its stated size"
        repairs.append(
            ledger_row(line.id, "size_scaled", **where, found=found, done=done, before=text, after=actual_text)
        )
    elif stated != actual:
        found = f"{text}, the image is {actual_text}"
        done = "the image's own size taken, boxes kept as pixels of it"
        repairs.append(
            ledger_row(line.id, "size_wrong", **where, found=found, done=done, before=text, after=actual_text)
        )
    return Transform(scale, info.orientation if turned else 1, stored), repairs


def downward(line: Line, info: ImageInfo) -> Line:
    """Return the line with y counting downwards, from the upper edge of the picture that its boxes were drawn on."""
    annotation = line.annotation
    if not annotation.upward:
        return line
    height = 1 if annotation.normalised else annotation.height or info.upright_size[1]
    boxes = tuple((xmin, height - upper, xmax, height - lower) for xmin, lower, xmax, upper in annotation.boxes)
    return line._replace(annotation=annotation._replace(boxes=boxes, upward=False))


def turn_upright(box: Box, orientation: int, width: float, height: float) -> Box:
    """Return a box of the stored picture in the upright one.

    box:           (xmin, ymin, xmax, ymax) in pixels of the picture as stored.
    orientation:   EXIF orientation, 1 to 8 (EXIF 2.32, table 6).
    width, height: of the picture as stored.
    """
    xmin, ymin, xmax, ymax = box
    if orientation in (2, 3, 7, 8):
        xmin, xmax = width - xmax, width - xmin
    if orientation in (3, 4, 6, 7):
        ymin, ymax = height - ymax, height - ymin
    return (ymin, xmin, ymax, xmax) if orientation >= 5 else (xmin, ymin, xmax, ymax)


def _frame_of_shares(line: Line, info: ImageInfo) -> tuple[Transform, list[LedgerRow]]:
    """Do the same for boxes that are shares of the image's sides: a stated size only tells which way they stand."""
    annotation = line.annotation
    turned, repairs = False, []
    if info.orientation != 1:
        turned, row = _choose_frame(line, info)
        repairs.append(row)
    stored, upright = (info.width, info.height), info.upright_size
    actual, stated = stored if turned else upright, (annotation.width, annotation.height)
    if None not in stated and not _same_ratio(stated, actual):
        texts = {"before": f"{stated[0]} x {stated[1]}", "after": f"{actual[0]} x {actual[1]}"}
        found = f"{texts['before']}, the image is {texts['after']}"
        done = "the image's own size taken, boxes kept as shares of it"
        repairs.append(
            ledger_row(line.id, "size_wrong", file=annotation.file, field="size", found=found, done=done, **texts)
        )
    return Transform(actual, info.orientation if turned else 1, stored, shares=True), repairs


def _choose_frame(line: Line, info: ImageInfo) -> tuple[bool, LedgerRow]:
    """Say whether the boxes are in the frame as stored (and must be turned with the image), and a row about it."""
    annotation = line.annotation
    stored, upright = (info.width, info.height), info.upright_size
    stated = (annotation.width, annotation.height)
    found = f"EXIF orientation {info.orientation}"
    if None in stated or stored == upright:
        known = False
    elif stated in (stored, upright):
        known = True
    else:
        known = _same_ratio(stated, stored) != _same_ratio(stated, upright)
    if not known:
        done = "image turned upright; boxes taken as drawn on the upright image, as viewers show it"
        row = ledger_row(
            line.id,
            "exif_ambiguous",
            file=annotation.file,
            field="size",
            found=f"{found}, and a size that does not tell which way the boxes stand",
            done=done,
            before=found,
            after=UPRIGHT,
        )
        return False, row
    as_stored = stated == stored or (stated != upright and _same_ratio(stated, stored))
    pixels = () if annotation.normalised else annotation.boxes
    if as_stored and not _fits(pixels, stated) and _fits(pixels, stated[::-1]):
        # The tool took the size from the file's header, but its user drew on the upright picture.
        as_stored = False
    done = "image and boxes turned upright" if as_stored else "image turned upright; boxes are upright already"
    return as_stored, ledger_row(
        line.id,
        "exif_turned",
        file=line.image or "",
        field="EXIF orientation",
        found=found,
        done=done,
        before=found,
        after=UPRIGHT,
    )


def _whole_share(edge: float) -> float:
    """Return 0 or 1 for a share that differs from it by how it was written."""
    if SHARE_ROUNDING < edge < 1 - SHARE_ROUNDING:
        return edge
    return next((end for end in (0.0, 1.0) if abs(edge - end) <= SHARE_ROUNDING), edge)


def _same_ratio(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= SAME_RATIO


def _fits(boxes: Iterable[Box], size: tuple[int, int]) -> bool:
    """Return whether all boxes that are numbers lie inside an image of that size, but for rounding."""
    width, height = size
    return all(
        min(box) >= -ROUNDING and max(box[0], box[2]) <= width + ROUNDING and max(box[1], box[3]) <= height + ROUNDING
        for box in boxes
        if all(map(math.isfinite, box))
    )
