"""TFRecords of labelled images, in the fields of the TF Object Detection API, written without TensorFlow.

Formats: TFRecord framing, length and data each with a masked CRC32C (tensorflow/core/lib/io/record_writer.h);
tf.train.Example (tensorflow/core/example/example.proto and feature.proto); the names of the fields as
object_detection/dataset_tools/create_pascal_tf_record.py writes them.

| field | content |
|---|---|
| image/height, image/width | upright pixels |
| image/filename | the image's id |
| image/source_id | see `source_id` |
| image/key/sha256 | hex SHA-256 of image/encoded |
| image/encoded, image/format | upright 8-bit RGB; "jpeg" or "png" |
| image/object/bbox/{xmin,xmax,ymin,ymax} | edges as shares of the upright width or height, 0 to 1, float32 |
| image/object/class/text, image/object/class/label | name, and id in the label map |
| image/object/difficult, image/object/truncated, image/object/is_crowd | 0 or 1 |
| image/object/view | "Unspecified", as labelling tools leave it |

The lists under image/object are empty in a negative, an image that was annotated as holding no object.
"""

import hashlib
import itertools
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from odtl import images
from odtl.boxes import BoxRow, read_boxes
from odtl.bundle import masked_crc
from odtl.errors import InputError, Problem
from odtl.files import atomic_open
from odtl.label_map import read_label_map
from odtl.sidecars import write_sidecar
from odtl.tf_example import Features, frame, parse_example, serialize

_SOURCE_ID_BITS = 53


def source_id(image_id: str) -> int:
    """Return the number, at least 1 and under 2**53, that stands for an image in evaluation.

    It depends on the image's id alone, so that it stays the same when images come and go. official.vision parses
    `image/source_id` as an int64 (dataloaders/utils.process_source_id) and carries it so into pycocotools; JSON and
    other readers hold numbers as doubles, which are exact up to 2**53. The 22 bits that official.vision itself hashes
    to are too few: among 3,000 images two share a number more often than not. With 53 bits that happens once in two
    million data sets of 100,000 images.
    """
    digest = hashlib.sha256(_encode(image_id)).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SOURCE_ID_BITS) or 1


def write_records(
    boxes_csv: str | os.PathLike,
    label_map: str | os.PathLike | Mapping[str, int],
    out: str | os.PathLike,
    sidecar_path: str | os.PathLike | None = None,
    boxes_sha256: str | None = None,
) -> tuple[int, int]:
    """Write one shard's TFRecord, one Example per image in the order of its boxes table; return (images, boxes).

    The same input gives the same bytes. Images are read one at a time. No image gives a valid empty file.
    label_map:    the file, or class -> id for the classes that occur here.
    sidecar_path: where to write these counts and the record's digest (see `sidecars`); None: nowhere.
    boxes_sha256: what the digest of the boxes table must be; None: whatever it is.
    Raises InputError with every image that is missing or no longer what the boxes table was made from, and every
    class that is not in the label map.
    """
    ids = label_map if isinstance(label_map, Mapping) else read_label_map(label_map)
    rows = read_boxes(boxes_csv, boxes_sha256)
    _check_classes(rows, ids, boxes_csv)
    count, problems = 0, []
    with atomic_open(out, "wb") as stream:
        for _, group in itertools.groupby(rows, key=lambda row: row.filename):
            image_rows = list(group)
            try:
                data = images.read_listed(image_rows[0].image, image_rows[0].sha256)
                if problems:
                    continue  # Nothing is kept any more; only what else is wrong is of interest.
                stream.write(frame(serialize(image_features(image_rows, data, ids))))
                count += 1
            except images.ImageError as error:
                cure = "It is not what it was when the boxes were checked: run again."
                problems.append(Problem(image_rows[0].image, "image", error.found, cure))
        if problems:
            raise InputError(problems, f"{len(problems)} image(s) changed while the workflow ran")
    boxes = sum(not row.is_negative for row in rows)
    if sidecar_path is not None:
        write_sidecar(sidecar_path, {"records": out}, images=count, boxes=boxes)
    return count, boxes


def image_features(rows: list[BoxRow], data: bytes, label_map: Mapping[str, int]) -> Features:
    """Return the fields of one image's Example.

    rows: the image's rows of the boxes table; data: its file's bytes, found to be whole when that was made. Raises
    images.ImageError where they are no image, or one of another size than the rows say.
    """
    image = rows[0]
    encoded, kind, width, height = images.to_record_bytes(data, images.probe(data, whole=False))
    if (width, height) != (image.width, image.height):
        raise images.ImageError("image_damaged", f"{width} x {height} pixels, not {image.width} x {image.height}")
    boxes = [row for row in rows if not row.is_negative]
    return {
        "image/encoded": [encoded],
        "image/filename": [_encode(image.filename)],
        "image/format": [kind.encode("ascii")],
        "image/height": [height],
        "image/key/sha256": [hashlib.sha256(encoded).hexdigest().encode("ascii")],
        "image/object/bbox/xmax": [float(row.xmax / width) for row in boxes],
        "image/object/bbox/xmin": [float(row.xmin / width) for row in boxes],
        "image/object/bbox/ymax": [float(row.ymax / height) for row in boxes],
        "image/object/bbox/ymin": [float(row.ymin / height) for row in boxes],
        "image/object/class/label": [label_map[row.label] for row in boxes],
        "image/object/class/text": [row.label.encode("utf-8") for row in boxes],
        "image/object/difficult": [int(row.difficult) for row in boxes],
        "image/object/is_crowd": [int(row.crowd) for row in boxes],
        "image/object/truncated": [int(row.truncated) for row in boxes],
        "image/object/view": [b"Unspecified" for _ in boxes],
        "image/source_id": [str(source_id(image.filename)).encode("ascii")],
        "image/width": [width],
    }


def read_records(path: str | os.PathLike) -> Iterator[Features]:
    """Yield each Example of a TFRecord as field name -> list of values, one at a time.

    Raises InputError where the file ends within a record, or a checksum is wrong.
    """
    yield from map(parse_example, read_frames(path))


def read_frames(path: str | os.PathLike) -> Iterator[bytes]:
    """Yield each message of a TFRecord file; InputError where it ends within one, or a checksum is wrong."""
    path = Path(path)
    left = path.stat().st_size
    with open(path, "rb") as stream:
        for number in itertools.count(1):
            head = stream.read(12)
            if not head:
                return
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            left -= 12 + length + 4
            # What a damaged length asks for must not be allocated.
            if len(head) < 12 or left < 0:
                raise _damaged(path, number, "a file that ends within it")
            message, tail = stream.read(length), stream.read(4)
            if head[8:] != struct.pack("<I", masked_crc(head[:8])) or tail != struct.pack("<I", masked_crc(message)):
                raise _damaged(path, number, "a wrong checksum")
            yield message


def _encode(image_id: str) -> bytes:
    # A file's name may hold bytes that are no UTF-8; Python then has surrogates in their place.
    return image_id.encode("utf-8", "surrogatepass")


def _check_classes(rows: list[BoxRow], ids: Mapping[str, int], boxes_csv: str | os.PathLike) -> None:
    unknown = sorted({row.label for row in rows if not row.is_negative} - set(ids))
    if unknown:
        cure = "It has no id in the label map: run again to make that anew."
        raise InputError(Problem(str(boxes_csv), "class", repr(name), cure) for name in unknown)


def _damaged(path: Path, number: int, found: str) -> InputError:
    return InputError(Problem(str(path), f"record {number}", found, "Delete the file and make it again."))
