"""From an annotation as written to boxes inside the upright image, with a row of the ledger for each thing changed."""

import math
import os
from collections.abc import Iterator
from itertools import repeat

from odtl import images
from odtl.boxes import Box, BoxRow, box_text, number_text
from odtl.framing import ROUNDING, UPRIGHT, Transform, downward, frame
from odtl.images import ImageInfo
from odtl.manifest import Line
from odtl.repairs import REJECTED, LedgerRow, ledger_row

# A thinner box has no area left once a record stores its edges as 32-bit shares of the image's size.
MIN_SIDE = 0.1


def clean(line: Line, info: ImageInfo, split: str = "train") -> tuple[list[BoxRow], list[LedgerRow]]:
    """Turn one annotated image into rows of the boxes table and of the ledger.

    line:    the image's line of the inventory; its `problems` are passed on as ledger rows.
    info:    what the image file really holds.
    split:   "train", "val" or "test".

    A rejected image has no box rows; an image annotated as empty has one, a negative. An image whose every box had to
    be dropped is rejected: what was meant to be an object must not be taught as background.
    """
    repairs = [ledger_row(line.id, problem.reason, **problem.texts()) for problem in line.problems]
    if any(row.status == REJECTED for row in repairs):
        return [], repairs
    annotation = line.annotation
    if annotation is None:
        cure = "not used; save an empty annotation if the image holds no object"
        return [], [
            *repairs,
            ledger_row(line.id, "unlabelled", file=line.image or "", found="no annotation", done=cure),
        ]
    line = downward(line, info)
    repairs += _picture_repairs(line, info)
    transform, frame_repairs = frame(line, info)
    repairs += frame_repairs
    rows, box_repairs = _clean_boxes(line, info, split, transform)
    repairs += box_repairs
    if annotation.boxes and not rows:
        found = f"{len(annotation.boxes)} box(es), none usable"
        done = "image left out, since it would be taught as holding no object"
        return [], [*repairs, ledger_row(line.id, "all_boxes_unusable", file=annotation.file, found=found, done=done)]
    if not rows:
        start, end = _row_ends(line, info, split)
        rows = [BoxRow(*start, "", None, None, None, None, False, False, False, *end)]
    return rows, repairs


def _picture_repairs(line: Line, info: ImageInfo) -> Iterator[LedgerRow]:
    where = {"file": line.image or "", "field": "image"}
    extension = os.path.splitext(line.image or "")[1].lower()
    if images.EXTENSIONS.get(extension) != info.format:
        found = f"{info.format} content in a file {f'named {extension}' if extension else 'without an extension'}"
        yield ledger_row(line.id, "image_wrong_extension", **where, found=found, done=f"read as {info.format}")
    if info.invalid_orientation:
        values = {"found": info.invalid_orientation, "before": info.invalid_orientation, "after": UPRIGHT}
        yield ledger_row(line.id, "exif_invalid", **where, done="ignored, taken as upright", **values)
    if found := images.describe_conversion(info):
        after = f"8-bit RGB {'PNG' if info.lossless else 'JPEG'}"
        done = f"converted to {after} in the records"
        yield ledger_row(line.id, "image_converted", **where, found=found, done=done, before=found, after=after)


def _clean_boxes(line: Line, info: ImageInfo, split: str, transform: Transform) -> tuple[list[BoxRow], list[LedgerRow]]:
    annotation = line.annotation
    rows, repairs = [], []
    reported = {problem.field for problem in line.problems if problem.reason == "label_unknown"}
    width, height = info.upright_size
    as_it_is = transform.changes_nothing
    entries = zip(
        annotation.boxes,
        annotation.labels,
        annotation.classes,
        zip(annotation.difficult, annotation.truncated, annotation.crowd or repeat(False), strict=False),
        strict=True,
    )
    start, end = _row_ends(line, info, split)
    for index, (box, label, name, flags) in enumerate(entries, 1):
        if as_it_is and label and name is not None and _is_sound(box, width, height):
            # Most are as they should be, and there may be millions.
            rows.append(BoxRow(*start, name, *box, *flags, *end))
            continue
        usable, findings = _clean_box(box, transform, width, height)
        if not label:
            usable, findings = None, [*findings, ("label_empty", "no class name", "box left out", "", "")]
        elif name is None:
            usable = None
            # The inventory knows the list and says which class is nearest.
            if not reported or f"box {index}" not in reported:
                findings = [*findings, ("label_unknown", f"class {label!r}", "box left out", label, "")]
        for reason, found, done, before, after in findings:
            where = {"file": annotation.file, "field": f"box {index}"}
            row = ledger_row(line.id, reason, **where, found=found, done=done, before=before, after=after)
            repairs.append(row)
        if usable is not None:
            rows.append(BoxRow(*start, name, *usable, *flags, *end))
    return rows, repairs


def _clean_box(
    box: Box, transform: Transform, width: int, height: int
) -> tuple[Box | None, list[tuple[str, str, str, str, str]]]:
    """Return the box inside the upright image, or None; and (reason, found, done, before, after) of what was done."""
    xmin, ymin, xmax, ymax = box
    if not all(map(math.isfinite, box)):
        return None, [("box_not_a_number", "a coordinate that is no number", "box left out", box_text(box), "")]
    findings = []
    if xmin > xmax or ymin > ymax:
        xmin, xmax = sorted((xmin, xmax))
        ymin, ymax = sorted((ymin, ymax))
        after = box_text((xmin, ymin, xmax, ymax))
        findings.append(("box_inverted", "edges in the wrong order", "edges exchanged", box_text(box), after))
    upright = transform((xmin, ymin, xmax, ymax))
    if _is_sound(upright, width, height):
        return upright, findings
    if not all(map(math.isfinite, upright)) or not _has_area(upright):
        return None, [*findings, ("box_empty", "a box without area", "box left out", box_text(box), "")]
    clipped = (max(upright[0], 0), max(upright[1], 0), min(upright[2], width), min(upright[3], height))
    if not _has_area(clipped):
        found = f"a box wholly outside the image of {width} x {height}"
        return None, [*findings, ("box_outside", found, "box left out", box_text(box), "")]
    if clipped != upright:
        excess = max(-upright[0], -upright[1], upright[2] - width, upright[3] - height)
        found = f"a box that leaves the image of {width} x {height} by {number_text(round(excess, 3))} px"
        done = "cut at the image's edge" + (" (a tool's rounding)" if excess <= ROUNDING else "")
        findings.append(("box_clipped", found, done, box_text(box), box_text(clipped)))
    return clipped, findings


def _is_sound(box: Box, width: int, height: int) -> bool:
    """Return whether a box has its edges in order, within the image, and an area. NaN is in no order with anything."""
    xmin, ymin, xmax, ymax = box
    return xmin >= 0 and ymin >= 0 and xmax <= width and ymax <= height and xmax - xmin >= MIN_SIDE <= ymax - ymin


def _has_area(box: Box) -> bool:
    return box[2] - box[0] >= MIN_SIDE and box[3] - box[1] >= MIN_SIDE


def _row_ends(line: Line, info: ImageInfo, split: str) -> tuple[tuple[str, int, int], tuple[str, str, str, str]]:
    """Return what stands before the class and after the flags in each row of an image."""
    return (line.id, *info.upright_size), (split, line.group, line.image or "", line.sha256 or "")
