"""What each file of the sources holds, by format: an image's digest, an annotation's content, a table's rows."""

import hashlib
from collections.abc import Sequence
from types import ModuleType

from odtl.annotations.model import Annotation, Table, TableProblem
from odtl.errors import InputError, Problem
from odtl.file_cache import Key
from odtl.files import sha256_of
from odtl.inventory.origins import name_of_origin
from odtl.repairs import REJECTED, STATUS_OF

_HASH_AT_ONCE = 16 * 2**20


# Places in the list that an annotation is packed into.
LABELS, EXTRA = 4, 7


def read_table(kind: str, path: str) -> dict[str, object]:
    """Return what a file that annotates many images holds, as `tabled` has it; `kind` is its format.

    Raises InputError for a file that cannot be read at all.
    """
    module = _table_module(kind)
    # The largest files are COCO's: without a detour for each image, that takes a quarter less.
    return tabled(module.read(path, _pack_plain) if kind == "coco" else module.read(path))


def tabled(table: Table) -> dict[str, object]:
    """Return what such a file holds as plain values.

    annotations: name of an image, as written -> what is said of it (see `READERS`).
    problems:    name of an image -> [[reason, field, found, done], ...].
    loose:       such lists for what belongs to no image.
    """
    problems: dict[str, list] = {}
    for entry in table.problems:
        row = [entry.reason, entry.problem.field, entry.problem.found, _done(entry)]
        problems.setdefault(entry.filename, []).append(row)
    loose = problems.pop("", [])
    annotations = {
        name: entry if type(entry) is list else _pack(entry, name) for name, entry in table.annotations.items()
    }
    return {"annotations": annotations, "problems": problems, "loose": loose}


def _table_module(kind: str) -> ModuleType:
    """Return the module whose `read(path)` returns what a file of this format holds as a `Table`."""
    # One at a time: what a format needs is loaded for its own sources only.
    match kind:
        case "coco":
            from odtl.annotations import coco as module
        case "csv":
            from odtl.annotations import csv_table as module
        case "labelbox":
            from odtl.annotations import labelbox as module
        case "cloud_annotations":
            from odtl.annotations import cloud_annotations as module
        case "label_studio":
            from odtl.annotations import label_studio as module
        case "cvat":
            from odtl.annotations import cvat as module
        case "tfrecord":
            from odtl.annotations import tfrecord as module
        case "urls":
            # A table whose annotations say where each image is to be had, and nothing else of it.
            from odtl.annotations import url_list as module
        case _:
            raise ValueError(f"no reader for files of format {kind}")
    return module


def _read_image(path: str, key: Key) -> object:
    try:
        if key is None:
            # Opening a pipe or a device that has been named .jpg would wait for ever.
            raise FileNotFoundError("no regular file, or a link to nothing")
        if key[0] > _HASH_AT_ONCE:
            return sha256_of(path)
        with open(path, "rb", buffering=0) as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError as error:
        return {"problems": [["image_unreadable", "image", str(error.strerror or error), "left out"]]}


def _read_voc(path: str, _key: Key) -> object:
    from odtl.annotations import voc

    try:
        return _pack(voc.read(path))
    except voc.UnsafeAnnotationError as error:
        return _unusable("annotation_unsafe", error)
    except InputError as error:
        return _unusable("annotation_unreadable", error)


def _read_yolo(path: str, _key: Key) -> object:
    from odtl.annotations import yolo

    try:
        return _pack(yolo.read(path))
    except InputError as error:
        return _unusable("annotation_unreadable", error)


def _unusable(reason: str, error: InputError) -> dict[str, list]:
    return {"problems": [[reason, problem.field, problem.found, _left_out(problem)] for problem in error.problems]}


def _done(entry: TableProblem) -> str:
    return _left_out(entry.problem) if STATUS_OF[entry.reason] == REJECTED else entry.problem.cure


def _left_out(problem: Problem) -> str:
    return f"left out. {problem.cure}"


# From a file's path and key to what it holds, by kind.
#
# image: the SHA-256 (hex) of its bytes.
# voc, yolo: [filename, width, height, boxes, labels, difficult, truncated, extra] as in `Annotation`, with the rest of
#        it, where there is any, in the mapping `extra`.
# What cannot be read is {"problems": [[reason, field, found, done], ...]}.
READERS = {"image": _read_image, "voc": _read_voc, "yolo": _read_yolo}


def _pack(annotation: Annotation, name: str = "") -> list:
    extra = {} if annotation[8:] == _NOTHING_ELSE else _extra(annotation, name)
    return [*annotation[1:4], _shortened(annotation.boxes), *annotation[5:8], extra]


def _pack_plain(name: str, width: int | None, height: int | None, boxes: list, labels: list[str]) -> list:
    """Pack what is said of an image that has nothing else and no flags; as `_pack` does."""
    count = len(boxes)
    # Most images share their flags.
    none = _NONE[count] if count < _MOST_SHARED else (False,) * count
    return [name, width, height, _shortened(boxes), tuple(labels), none, none, {}]


_MOST_SHARED = 20
_NONE = tuple((False,) * count for count in range(_MOST_SHARED))


def _shortened(boxes: Sequence[tuple[float, ...]]) -> tuple[tuple[float, ...], ...]:
    """Return boxes whose whole edges are integers."""
    # Most have nothing to be made shorter, and there may be millions.
    for xmin, ymin, xmax, ymax in boxes:
        if not (type(xmin) is type(ymin) is type(xmax) is type(ymax) is int):
            return tuple([_short(box) for box in boxes])
    return tuple(boxes)


def _short(box: tuple[float, ...]) -> tuple[float, ...]:
    """Return a box whose whole edges are integers, so that 5 and 5.0 make the same line."""
    xmin, ymin, xmax, ymax = box
    if xmin % 1 and ymin % 1 and xmax % 1 and ymax % 1:
        return box
    return tuple([int(edge) if edge % 1 == 0 and abs(edge) < 1e15 else edge for edge in box])


_NOTHING_ELSE = Annotation("")[8:]


def _extra(annotation: Annotation, name: str) -> dict[str, object]:
    extra: dict[str, object] = {}
    if any(annotation.crowd):
        extra["crowd"] = list(annotation.crowd)
    if annotation.normalised:
        extra["normalised"] = True
    if annotation.upward:
        extra["upward"] = True
    if annotation.split is not None:
        extra["split"] = annotation.split
    if annotation.origin is not None:
        origin = annotation.origin
        # Few have one.
        extra["origin"] = {
            name: value for name, value in vars(origin).items() if value or name not in ("label", "etag")
        }
        # Of two images of one name in a file of records, the second is known by its address there.
        extra["called"] = name_of_origin(origin.url, annotation.filename or name, origin.sha256)
    return extra
