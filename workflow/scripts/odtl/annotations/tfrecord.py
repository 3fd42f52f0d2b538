"""Existing TFRecords in the fields of the TF Object Detection API, read without TensorFlow.

Formats: those of `odtl.records`; the names of the fields as object_detection/data_decoders/tf_example_decoder.py reads
them. The images are in the records: they are made files as if they came from the network.
"""

import functools
import hashlib
import os
import re
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError

from odtl import label_map
from odtl.annotations.model import Annotation, Origin, Table, TableProblem
from odtl.annotations.source_file import unreadable
from odtl.bundle import masked_crc
from odtl.errors import Problem
from odtl.file_cache import Key, stat_key
from odtl.files import open_regular
from odtl.tf_example import Features, parse_example

LABEL_MAP = "label_map.pbtxt"
# Larger than any image that can be used, and what one record may take of the memory.
MAX_RECORD_BYTES = 2**29
_URL = re.compile(r"tfrecord:(.+)#(\d{1,18})", re.DOTALL)
_HEAD, _TAIL = 12, 4
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_CURE = "Restore the file, or write it anew."
_NAN = float("nan")


def read(path: str | os.PathLike) -> Table:
    """Read a file of records, as written: boxes are (xmin, ymin, xmax, ymax) in shares of the image's sides.

    An image is known by its `image/filename`, else `image/source_id`, else by its address; so is the second of two
    images of one name. Its origin is `tfrecord:{path}#{number}`: `path` as given here, the number of the record in it,
    from 1; so a box more in one record does not change what is said of others. `read_image` gives the image.
    `Origin.sha256` is of the encoded image; a record without one has no origin and belongs to an image file of its
    name. A record without boxes is a negative.

    Labels are `image/object/class/text`; where a box has none, the name that its `image/object/class/label` has in
    `label_map_of(path)`, or else this number as text. `difficult`, `truncated`, and `is_crowd` or `group_of` are flags.

    One record is in the memory at a time. A record with a wrong checksum, over 512 MB, or that is no tf.train.Example
    is left out and reported, as is an image whose fields have different numbers of boxes. Where a record's length is
    damaged or the file ends within one, what was before it is kept, and the rest is reported as one problem.

    Raises InputError for a file that cannot be opened or does not begin with a record, and a label map that cannot be
    read.
    """
    path = os.fspath(path)
    names = _names(path)
    annotations: dict[str, Annotation] = {}
    problems: list[TableProblem] = []
    for record in _records(path):
        if isinstance(record, Problem):
            problems.append(TableProblem("", "row_unreadable", record))
            continue
        try:
            annotation, wrong = _annotation(path, record, names)
        except (DecodeError, ValueError) as error:
            found = f"no tf.train.Example ({error})"[:200]
            problems.append(TableProblem("", "row_unreadable", Problem(path, record.field, found, _CURE)))
            continue
        name = annotation.filename or record.url(path)
        name = record.url(path) if name in annotations else name
        annotations[name] = annotation
        problems += [TableProblem(name, "annotation_unreadable", Problem(path, *each)) for each in wrong]
    return Table(annotations, tuple(problems))


def read_image(url: str) -> bytes:
    """Return the encoded image that an address as `read` gives it stands for; its record's checksums are checked.

    Raises InputError where the address is none of these, or there is no such record (any more), or no image in it.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise unreadable(url[:200], "address", "no place in a file of records", "tfrecord:{path}#{number} is expected.")
    path, where = match[1], f"record {match[2]}"
    message = _message(path, int(match[2]), where)
    try:
        (encoded,) = parse_example(message).get("image/encoded", ())
    except (DecodeError, ValueError) as error:
        raise unreadable(path, where, "a record without an encoded image", _CURE) from error
    if not isinstance(encoded, bytes):
        raise unreadable(path, where, "a record whose image is a number", _CURE)
    return encoded


def _message(path: str, number: int, where: str) -> bytes:
    try:
        with open_regular(path, "rb") as stream:
            places = _places(path, stat_key(os.fstat(stream.fileno())))
            if not 0 < number < len(places):
                raise unreadable(path, where, f"{len(places) - 1} record(s) that can be read", _CURE)
            stream.seek(places[number - 1])
            data = stream.read(min(places[number] - places[number - 1], MAX_RECORD_BYTES + _HEAD + _TAIL))
    except (OSError, ValueError) as error:
        raise unreadable(path, "file", str(error), "Make the file readable.") from error
    message = data[_HEAD:-_TAIL]
    if _length(data[:_HEAD]) != len(message) or data[-_TAIL:] != struct.pack("<I", masked_crc(message)):
        raise unreadable(path, where, "no record, or one with a wrong checksum", _CURE)
    return message


@functools.lru_cache(maxsize=4)
def _places(path: str, _key: Key) -> Sequence[int]:
    """Return where each record of a file begins, in bytes, and where the last one ends; only their heads are read.

    _key: of the file as it is now.
    """
    places = array("Q", [0])
    with open_regular(path, "rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        while (length := _length(os.pread(stream.fileno(), _HEAD, places[-1]))) is not None:
            if (end := places[-1] + _HEAD + length + _TAIL) > size:
                break
            places.append(end)
    return places


def label_map_of(path: str | os.PathLike) -> Path | None:
    """Return the label map that names a file's classes: `label_map.pbtxt` beside it, if there is one."""
    beside = Path(path).parent / LABEL_MAP
    return beside if beside.is_file() else None


@dataclass(frozen=True)
class _Record:
    """A record: its number from 1, and its message."""

    number: int
    message: bytes

    @property
    def field(self) -> str:
        return f"record {self.number}"

    def url(self, path: str) -> str:
        return f"tfrecord:{path}#{self.number}"


def _records(path: str) -> Iterator[_Record | Problem]:
    """Yield each record, or what is wrong with it; one whose length cannot be believed is the last."""
    try:
        with open_regular(path, "rb") as stream:
            yield from _records_of(stream, path, os.fstat(stream.fileno()).st_size)
    except (OSError, ValueError) as error:
        raise unreadable(path, "file", str(error), "Make the file readable, or remove it.") from error


def _records_of(stream: BinaryIO, path: str, size: int) -> Iterator[_Record | Problem]:
    offset = number = 0
    while offset < size:
        number += 1
        head = stream.read(_HEAD)
        length = _length(head)
        if length is None and offset == 0:
            found = "a gzip file" if head.startswith(b"\x1f\x8b") else "no record at its beginning"
            raise unreadable(path, "file", found, "A TFRecord file, not compressed, is expected here.")
        end = offset + _HEAD + (length or 0) + _TAIL
        if length is None or end > size:
            what = "a damaged length" if length is None and len(head) == _HEAD else "a file that ends within it"
            rest = f"{size - offset:,} bytes from there on cannot be read"
            yield Problem(path, f"record {number}", f"{what}; {rest}", _CURE)
            return
        if length > MAX_RECORD_BYTES:
            yield Problem(path, f"record {number}", f"{length:,} bytes", "One image per record is expected.")
            stream.seek(end)
        else:
            message, tail = stream.read(length), stream.read(_TAIL)
            if tail != struct.pack("<I", masked_crc(message)):
                yield Problem(path, f"record {number}", "a wrong checksum", _CURE)
            else:
                yield _Record(number, message)
        offset = end


def _length(head: bytes) -> int | None:
    """Return the length that a record's head states; None where its checksum does not hold."""
    if len(head) != _HEAD or head[8:] != struct.pack("<I", masked_crc(head[:8])):
        return None
    return struct.unpack("<Q", head[:8])[0]


def _names(path: str) -> dict[int, str]:
    beside = label_map_of(path)
    if beside is None:
        return {}
    try:
        return {number: name for name, number in label_map.read_label_map(beside).items()}
    except (OSError, ValueError) as error:
        raise unreadable(str(beside), "file", str(error), "Correct it, or remove it.") from error


def _annotation(path: str, record: _Record, names: Mapping[int, str]) -> tuple[Annotation, list[tuple[str, str, str]]]:
    """Return what a record says of its image, and (field, found, cure) of what is wrong with it."""
    features = parse_example(record.message)
    sides = {side: features.get(f"image/object/bbox/{side}", []) for side in _SIDES}
    count = len(sides["xmin"])
    columns: dict[str, Sequence] = {f"bbox/{side}": values for side, values in sides.items()}
    optional = ("class/text", "class/label", "difficult", "truncated", "is_crowd", "group_of")
    columns |= {name: values for name in optional if (values := features.get(f"image/object/{name}"))}
    wrong = [
        (f"{record.field}, image/object/{name}", f"{len(values)} values for {count} boxes", _CURE)
        for name, values in columns.items()
        if len(values) != count
    ]
    if wrong:
        count, columns = 0, {}
    flags = {name: tuple(value == 1 for value in columns.get(name, [0] * count)) for name in optional[2:]}
    crowd = tuple(map(any, zip(flags["is_crowd"], flags["group_of"], strict=True)))
    boxes = zip(*(map(_share, columns[f"bbox/{side}"]) for side in _SIDES), strict=True) if count else ()
    annotation = Annotation(
        file=path,
        filename=_text(features, "image/filename") or _text(features, "image/source_id") or None,
        width=_side(features, "image/width"),
        height=_side(features, "image/height"),
        boxes=tuple(boxes),
        labels=_labels(columns, count, names),
        difficult=flags["difficult"],
        truncated=flags["truncated"],
        crowd=crowd if any(crowd) else (),
        normalised=True,
        origin=_origin(path, record, features),
    )
    return annotation, wrong


def _labels(columns: Mapping[str, Sequence], count: int, names: Mapping[int, str]) -> tuple[str, ...]:
    texts, numbers = columns.get("class/text", [b""] * count), columns.get("class/label", [None] * count)
    labels = []
    for text, number in zip(texts, numbers, strict=True):
        label = text.decode("utf-8", "replace").strip() if isinstance(text, bytes) else ""
        if not label and isinstance(number, int):
            label = names.get(number, str(number))
        labels.append(label)
    return tuple(labels)


def _origin(path: str, record: _Record, features: Features) -> Origin | None:
    encoded = features.get("image/encoded", [])
    if len(encoded) != 1 or not isinstance(encoded[0], bytes) or not encoded[0]:
        return None
    return Origin(record.url(path), source=path, sha256=hashlib.sha256(encoded[0]).hexdigest())


def _share(value: object) -> float:
    return _NAN if isinstance(value, bytes) else float(value)


def _text(features: Features, name: str) -> str:
    values = features.get(name, [])
    return values[0].decode("utf-8", "replace").strip() if values and isinstance(values[0], bytes) else ""


def _side(features: Features, name: str) -> int | None:
    values = features.get(name, [])
    whole = values and isinstance(values[0], int) and 0 < values[0] < 2**31
    return values[0] if whole else None
