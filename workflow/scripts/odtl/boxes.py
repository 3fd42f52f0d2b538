"""The canonical boxes table: each shard's images and boxes, repaired where that is safe, with a ledger of all of it.

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
import hashlib
import io
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odtl import images
from odtl.errors import InputError, Problem
from odtl.files import atomic_open, read_checked
from odtl.images import ImageError, ImageInfo
from odtl.manifest import Line, iterate_manifest
from odtl.repairs import COLUMNS as LEDGER_COLUMNS
from odtl.repairs import REJECTED, STATUS_OF, LedgerRow, ledger_row
from odtl.sidecars import write_sidecar
from odtl.split import parse_shard_name

if TYPE_CHECKING:
    import numpy as np

COLUMNS = (
    *("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"),
    *("difficult", "truncated", "split", "group", "image", "sha256"),
)
# A thinner box has no area left once a record stores its edges as 32-bit shares of the image's size.
MIN_SIDE = 0.1
# Stated and actual size with sides in the same ratio within this share: the image was resized after labelling.
SAME_RATIO = 0.01
# How far a box may leave the image by a tool's rounding.
ROUNDING = 1.0

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class BoxRow:
    """One row of the boxes table: a box, or an image without any (a negative: label "" and no edges).

    filename: the image's id.
    width, height: of the upright image, in pixels.
    label: the class ("class" in the file).
    xmin, ymin, xmax, ymax: edges in upright pixels, 0 <= xmin < xmax <= width; None in a negative.
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
    split: str
    group: str
    image: str
    sha256: str

    @property
    def is_negative(self) -> bool:
        """Whether the row says that its image holds no object."""
        return self.xmin is None


@dataclass(frozen=True)
class Counts:
    """What became of the images of a shard: images = kept + repaired + rejected."""

    images: int
    kept: int
    repaired: int
    rejected: int


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
    repairs += _picture_repairs(line, info)
    transform, frame_repairs = _frame(line, info)
    repairs += frame_repairs
    rows, box_repairs = _clean_boxes(line, info, split, transform)
    repairs += box_repairs
    if annotation.boxes and not rows:
        found = f"{len(annotation.boxes)} box(es), none usable"
        done = "image left out, since it would be taught as holding no object"
        return [], [*repairs, ledger_row(line.id, "all_boxes_unusable", file=annotation.file, found=found, done=done)]
    return rows or [_row(line, info, split, "", None, False, False)], repairs


def make_boxes(
    manifest_path: str | os.PathLike,
    boxes_path: str | os.PathLike,
    repairs_path: str | os.PathLike,
    sidecar_path: str | os.PathLike | None = None,
    manifest_sha256: str | None = None,
) -> Counts:
    """Make one shard's boxes table and ledger (CSV, with headers even when empty) from its manifest.

    manifest_path:   `{split}-{index}-of-{n}.jsonl`; the name says which split it is.
    sidecar_path:    where to write the `Counts` and the digests of both tables (see `sidecars`); None: nowhere.
    manifest_sha256: what the manifest's digest must be; None: whatever it is.

    Raises InputError if an image is no longer what the inventory listed, or the manifest is another one.
    """
    split = parse_shard_name(Path(manifest_path).stem)[0]
    changed: list[Problem] = []
    kept = repaired = rejected = total = 0
    with atomic_open(boxes_path) as boxes_stream, atomic_open(repairs_path) as repairs_stream:
        boxes_writer = csv.writer(boxes_stream, lineterminator="\n")
        repairs_writer = csv.writer(repairs_stream, lineterminator="\n")
        boxes_writer.writerow(COLUMNS)
        repairs_writer.writerow(LEDGER_COLUMNS)
        for line in iterate_manifest(manifest_path, manifest_sha256):
            total += 1
            try:
                rows, repairs = _clean_file(line, split)
            except _ChangedError as error:
                changed.append(error.problem)
                continue
            boxes_writer.writerows(_cells(row) for row in rows)
            repairs_writer.writerows(astuple(row) for row in repairs)
            rejected += any(row.status == REJECTED for row in repairs)
            repaired += bool(rows and repairs)
            kept += bool(rows and not repairs)
        if changed:
            raise InputError(changed, f"{len(changed)} image(s) changed while the workflow ran")
        if total != kept + repaired + rejected:
            raise AssertionError(f"{total} images in, but {kept} kept + {repaired} repaired + {rejected} rejected")
    counts = Counts(total, kept, repaired, rejected)
    if sidecar_path is not None:
        write_sidecar(sidecar_path, {"boxes": boxes_path, "repairs": repairs_path}, **asdict(counts))
    return counts


def read_boxes(path: str | os.PathLike, sha256: str | None = None) -> list[BoxRow]:
    """Read a boxes table that `make_boxes` wrote, in its order (by image id, then as annotated).

    sha256: what the digest of its bytes must be, else InputError; None: whatever it is.
    """
    cure = "It is not as it was made: delete it, and run again to make it anew."
    with io.StringIO(read_checked(path, sha256, cure), newline="") as stream:
        return [_parse_row(row) for row in csv.DictReader(stream)]


def to_array(rows: Iterable[BoxRow]) -> "np.ndarray":
    """Return the boxes of `rows`, negatives left out, as float64 (N, 4): xmin, ymin, xmax, ymax in upright pixels."""
    import numpy as np

    edges = [(row.xmin, row.ymin, row.xmax, row.ymax) for row in rows if not row.is_negative]
    return np.asarray(edges, dtype=np.float64).reshape(-1, 4)


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


class _ChangedError(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def _clean_file(line: Line, split: str) -> tuple[list[BoxRow], list[LedgerRow]]:
    refused = any(STATUS_OF[problem.reason] == REJECTED for problem in line.problems)
    if refused or line.image is None or line.sha256 is None or line.annotation is None:
        return clean(line, ImageInfo("", 0, 0), split)
    try:
        data = images.read_bytes(line.image)
    except ImageError as error:
        raise _ChangedError(_changed(line, error.found)) from error
    if (digest := hashlib.sha256(data).hexdigest()) != line.sha256:
        raise _ChangedError(_changed(line, f"sha256 {digest[:12]}..., listed as {line.sha256[:12]}..."))
    try:
        info = images.probe(data)
    except ImageError as error:
        repairs = [ledger_row(line.id, problem.reason, **problem.texts()) for problem in line.problems]
        row = ledger_row(line.id, error.reason, file=line.image, field="image", found=error.found, done="left out")
        return [], [*repairs, row]
    return clean(line, info, split)


def _changed(line: Line, found: str) -> Problem:
    return Problem(line.image or line.id, "image", found, "It has changed since it was listed; run again.")


def _picture_repairs(line: Line, info: ImageInfo) -> Iterator[LedgerRow]:
    where = {"file": line.image or "", "field": "image"}
    extension = os.path.splitext(line.image or "")[1].lower()
    if images.EXTENSIONS.get(extension, info.format) != info.format:
        found = f"{info.format} content in a file named {extension}"
        yield ledger_row(line.id, "image_wrong_extension", **where, found=found, done=f"read as {info.format}")
    if info.invalid_orientation:
        found, done = info.invalid_orientation, "ignored, taken as upright"
        yield ledger_row(line.id, "exif_invalid", **where, found=found, done=done)
    if found := images.describe_conversion(info):
        done = f"converted to 8-bit RGB {'PNG' if info.lossless else 'JPEG'} in the records"
        yield ledger_row(line.id, "image_converted", **where, found=found, done=done)


def _frame(line: Line, info: ImageInfo) -> tuple["_Transform", list[LedgerRow]]:
    """Decide which picture the annotation's pixels are pixels of, and how they become upright ones."""
    annotation = line.annotation
    stored, upright = (info.width, info.height), info.upright_size
    stated = (annotation.width, annotation.height)
    where = {"file": annotation.file, "field": "size"}
    repairs = []
    turned = False
    if info.orientation != 1:
        turned, row = _choose_frame(line, info)
        repairs.append(row)
    actual = stored if turned else upright
    text = f"{stated[0]} x {stated[1]}"
    actual_text = f"{actual[0]} x {actual[1]}"
    scale = (1.0, 1.0)
    if None in stated:
        stated_text = " x ".join("missing" if side is None else str(side) for side in stated)
        found, done = f"width x height {stated_text}", "the image's own size taken"
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
    return _Transform(scale, info.orientation if turned else 1, stored), repairs


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
        )
        return False, row
    as_stored = stated == stored or (stated != upright and _same_ratio(stated, stored))
    if as_stored and not _fits(annotation.boxes, stated) and _fits(annotation.boxes, stated[::-1]):
        # The tool took the size from the file's header, but its user drew on the upright picture.
        as_stored = False
    done = "image and boxes turned upright" if as_stored else "image turned upright; boxes are upright already"
    return as_stored, ledger_row(
        line.id, "exif_turned", file=line.image or "", field="EXIF orientation", found=found, done=done
    )


@dataclass(frozen=True)
class _Transform:
    scale: tuple[float, float]
    orientation: int
    stored: tuple[int, int]

    def __call__(self, box: Box) -> Box:
        x, y = self.scale
        scaled = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
        return turn_upright(scaled, self.orientation, *self.stored)


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


def _clean_boxes(
    line: Line, info: ImageInfo, split: str, transform: _Transform
) -> tuple[list[BoxRow], list[LedgerRow]]:
    annotation = line.annotation
    rows, repairs = [], []
    reported = {problem.field for problem in line.problems if problem.reason == "label_unknown"}
    entries = zip(
        annotation.boxes,
        annotation.labels,
        annotation.classes,
        annotation.difficult,
        annotation.truncated,
        strict=True,
    )
    for index, (box, label, name, difficult, truncated) in enumerate(entries, 1):
        usable, findings = _clean_box(box, transform, info.upright_size)
        if not label:
            usable, findings = None, [*findings, ("label_empty", "no class name", "box left out", "", "")]
        elif name is None:
            usable = None
            # The inventory knows the list and says which class is nearest.
            if f"box {index}" not in reported:
                findings = [*findings, ("label_unknown", f"class {label!r}", "box left out", label, "")]
        where = {"file": annotation.file, "field": f"box {index}"}
        for reason, found, done, before, after in findings:
            row = ledger_row(line.id, reason, **where, found=found, done=done, before=before, after=after)
            repairs.append(row)
        if usable is not None:
            rows.append(_row(line, info, split, name, usable, difficult, truncated))
    return rows, repairs


def _clean_box(
    box: Box, transform: _Transform, size: tuple[int, int]
) -> tuple[Box | None, list[tuple[str, str, str, str, str]]]:
    """Return the box inside the upright image, or None; and (reason, found, done, before, after) of what was done."""
    before = _box_text(box)
    if not all(map(math.isfinite, box)):
        return None, [("box_not_a_number", "a coordinate that is no number", "box left out", before, "")]
    findings = []
    xmin, ymin, xmax, ymax = box
    if xmin > xmax or ymin > ymax:
        xmin, xmax = sorted((xmin, xmax))
        ymin, ymax = sorted((ymin, ymax))
        after = _box_text((xmin, ymin, xmax, ymax))
        findings.append(("box_inverted", "edges in the wrong order", "edges exchanged", before, after))
    upright = transform((xmin, ymin, xmax, ymax))
    if not all(map(math.isfinite, upright)) or not _has_area(upright):
        return None, [*findings, ("box_empty", "a box without area", "box left out", before, "")]
    width, height = size
    clipped = (max(upright[0], 0), max(upright[1], 0), min(upright[2], width), min(upright[3], height))
    if not _has_area(clipped):
        found = f"a box wholly outside the image of {width} x {height}"
        return None, [*findings, ("box_outside", found, "box left out", before, "")]
    if clipped != upright:
        excess = max(-upright[0], -upright[1], upright[2] - width, upright[3] - height)
        found = f"a box that leaves the image of {width} x {height} by {_number(round(excess, 3))} px"
        done = "cut at the image's edge" + (" (a tool's rounding)" if excess <= ROUNDING else "")
        findings.append(("box_clipped", found, done, before, _box_text(clipped)))
    return clipped, findings


def _has_area(box: Box) -> bool:
    return box[2] - box[0] >= MIN_SIDE and box[3] - box[1] >= MIN_SIDE


def _row(
    line: Line, info: ImageInfo, split: str, label: str, box: Box | None, difficult: bool, truncated: bool
) -> BoxRow:
    edges = box or (None, None, None, None)
    return BoxRow(
        line.id,
        *info.upright_size,
        label,
        *edges,
        difficult,
        truncated,
        split,
        line.group,
        line.image or "",
        line.sha256 or "",
    )


def _cells(row: BoxRow) -> list[str]:
    edges = ["" if edge is None else _number(edge) for edge in (row.xmin, row.ymin, row.xmax, row.ymax)]
    flags = ["", ""] if row.is_negative else [str(int(row.difficult)), str(int(row.truncated))]
    return [row.filename, row.width, row.height, row.label, *edges, *flags, row.split, row.group, row.image, row.sha256]


def _parse_row(cells: dict[str, str]) -> BoxRow:
    edges = [float(cells[side]) if cells[side] else None for side in ("xmin", "ymin", "xmax", "ymax")]
    return BoxRow(
        cells["filename"],
        int(cells["width"]),
        int(cells["height"]),
        cells["class"],
        *edges,
        cells["difficult"] == "1",
        cells["truncated"] == "1",
        *(cells[name] for name in ("split", "group", "image", "sha256")),
    )


def _number(value: float) -> str:
    # Shortest text that reads back as the same value; whole numbers as the tutorials have them.
    return str(int(value)) if value % 1 == 0 and abs(value) < 1e15 else repr(float(value))


def _box_text(box: Box) -> str:
    return ",".join(_number(edge) if math.isfinite(edge) else str(edge) for edge in box)
