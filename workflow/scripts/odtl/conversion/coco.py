"""COCO: one JSON for the images and boxes of a split, and the images in a folder beside it.

Format: https://cocodataset.org/#format-data (object detection). A box is x, y, width, height in pixels, where x and y
are edges, as in the boxes tables.

An image's id is the number that stands for it in the records and in the detections of an evaluation, so that these can
be loaded as results (`COCO.loadRes`). It depends on the image's name alone. Categories have the ids of the label map.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from typing import IO, Any

from odtl.boxes import BoxRow
from odtl.conversion.labelled import LabelledImage, Paths, check_classes, iterate_images
from odtl.conversion.pictures import place_images
from odtl.files import atomic_folder, atomic_open
from odtl.label_map import read_label_map
from odtl.records import source_id


def convert(
    boxes_csvs: Paths,
    fetched_csvs: Paths,
    label_map_file: str | os.PathLike,
    labels_json: str | os.PathLike,
    images_folder: str | os.PathLike,
    link: bool,
) -> str:
    """Write the boxes of a split as COCO; return what was written, as a text.

    An image without boxes is listed and has no annotation. A crowd has `iscrowd` 1. `difficult` and `truncated` are
    `attributes` of a box that is so. An image that was fetched has its address as `coco_url` and its `license`.
    """
    ids = read_label_map(label_map_file)
    with atomic_folder(images_folder) as folder, atomic_open(labels_json) as stream:
        found = place_images(iterate_images(boxes_csvs, fetched_csvs), folder, link)
        images, boxes = write_json(found, ids, stream)
    return f"{images} images, {boxes} boxes"


def write_json(found: Iterable[tuple[LabelledImage, str]], ids: Mapping[str, int], stream: IO[str]) -> tuple[int, int]:
    """Write images, each with its `file_name`, as a COCO JSON; return how many images and boxes these are.

    In little memory: annotations wait in a file of their own for the images to end. Raises InputError for a class that
    is not among `ids`.
    """
    licences: dict[str, int] = {}
    images = boxes = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as waiting:
        stream.write('{"images": [')
        for image, name in found:
            check_classes(image, ids)
            stream.write(f"{',' if images else ''}\n{_json(_image_entry(image, name, licences))}")
            images += 1
            for row in image.boxes:
                boxes += 1
                waiting.write(f"{',' if boxes > 1 else ''}\n{_json(_box_entry(row, boxes, ids))}")
        stream.write('\n],\n"annotations": [')
        waiting.seek(0)
        while part := waiting.read(1 << 16):
            stream.write(part)
    classes = [{"id": number, "name": name, "supercategory": ""} for name, number in ids.items()]
    stream.write(f'\n],\n"categories": {_json(classes)},\n')
    stream.write(f'"licenses": {_json([{"id": n, "name": name, "url": ""} for name, n in licences.items()])}}}\n')
    return images, boxes


def _image_entry(image: LabelledImage, name: str, licences: dict[str, int]) -> dict[str, Any]:
    entry = {
        "id": source_id(image.id),
        "file_name": name,
        "width": image.first.width,
        "height": image.first.height,
    }
    if image.url:
        entry["coco_url"] = image.url
    if image.licence:
        entry["license"] = licences.setdefault(image.licence, len(licences) + 1)
    return entry


def _box_entry(row: BoxRow, number: int, ids: Mapping[str, int]) -> dict[str, Any]:
    width, height = row.xmax - row.xmin, row.ymax - row.ymin
    entry = {
        "id": number,
        "image_id": source_id(row.filename),
        "category_id": ids[row.label],
        "bbox": [_plain(value) for value in (row.xmin, row.ymin, width, height)],
        "area": _plain(width * height),
        "iscrowd": int(row.crowd),
        "segmentation": [],
    }
    attributes = {name: True for name in ("difficult", "truncated") if getattr(row, name)}
    return {**entry, "attributes": attributes} if attributes else entry


def _plain(value: float) -> int | float:
    return int(value) if value % 1 == 0 else value


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False)
