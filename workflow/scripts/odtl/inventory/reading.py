"""What each file of the sources holds, by format: an image's digest, an annotation's content, a table's rows."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from odtl.annotations.model import Annotation
from odtl.errors import InputError, Problem
from odtl.file_cache import FileCache, Key, Report, read_files
from odtl.files import sha256_of
from odtl.sources import code_digest

_HASH_AT_ONCE = 16 * 2**20


def read_table(path: str, key: Key, cache_path: Path | None, report: Report | None) -> Mapping[str, object]:
    """Return what a table holds; it is parsed only when it has changed.

    Raises InputError for a table that cannot be read at all.
    """
    version = code_digest("inventory.reading")
    return read_files([("csv", path, key)], READERS, FileCache(cache_path, version, "inventory", report))[path]


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
    except InputError as error:
        reason = "annotation_unsafe" if isinstance(error, voc.UnsafeAnnotationError) else "annotation_unreadable"
        return {"problems": [[reason, problem.field, problem.found, _left_out(problem)] for problem in error.problems]}


def _read_csv(path: str, _key: Key) -> object:
    from odtl.annotations import csv_table

    try:
        table = csv_table.read(path)
    except InputError as error:
        return error
    problems = [
        [entry.filename, entry.reason, entry.problem.field, entry.problem.found, _left_out(entry.problem)]
        for entry in table.problems
    ]
    return {"annotations": {name: _pack(entry) for name, entry in table.annotations.items()}, "rows": problems}


def _left_out(problem: Problem) -> str:
    return f"left out. {problem.cure}"


# From a file's path and key to what it holds, by kind.
#
# image: the SHA-256 (hex) of its bytes.
# voc:   [filename, width, height, boxes, labels, difficult, truncated] as in `Annotation`.
# csv:   {"annotations": {filename: such a list}, "rows": [[filename, reason, field, found, done], ...]}.
# What cannot be read is {"problems": [[reason, field, found, done], ...]}.
READERS = {"image": _read_image, "voc": _read_voc, "csv": _read_csv}


def _pack(annotation: Annotation) -> list:
    boxes = [[int(edge) if edge % 1 == 0 and abs(edge) < 1e15 else edge for edge in box] for box in annotation.boxes]
    flags = [list(annotation.difficult), list(annotation.truncated)]
    return [annotation.filename, annotation.width, annotation.height, boxes, list(annotation.labels), *flags]
