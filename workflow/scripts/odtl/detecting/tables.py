"""What was found, as tables: CSV, and COCO's results with the images they speak of.

COCO results: https://cocodataset.org/#format-results (object detection): a list of `image_id`, `category_id`, `bbox`
(x, y, width, height in pixels) and `score`, which `pycocotools.coco.COCO.loadRes` reads. It says nothing of the images
themselves: these, and the categories, are in a file of their own in COCO's data format, without annotations.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from odtl.detecting.names import class_name, frame_name
from odtl.detecting.pictures import Picture
from odtl.detections import Detections
from odtl.records import source_id

CSV_COLUMNS = ("filename", "width", "height", "class", "score", "xmin", "ymin", "xmax", "ymax", "frame", "time")
UNREADABLE_COLUMNS = ("filename", "reason")
DETECTIONS, UNREADABLE = "detections.csv", "unreadable.csv"
COCO_RESULTS, COCO_IMAGES = "detections_coco.json", "images_coco.json"


class Tables:
    """The tables of a folder while they are written, row by row: a video can have more than fit into memory.

    names: id -> name of the classes. Files may come in any order, and are written in that of their index.
    """

    def __init__(self, folder: Path, names: Mapping[int, str]) -> None:
        self._names = names
        self._csv = open(folder / DETECTIONS, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed by `close`
        self._rows = csv.writer(self._csv, lineterminator="\n")
        self._rows.writerow(CSV_COLUMNS)
        self._results = _JsonList(folder / COCO_RESULTS, "[", "\n]\n")
        classes = [{"id": number, "name": name, "supercategory": ""} for number, name in names.items()]
        self._images = _JsonList(
            folder / COCO_IMAGES, '{"images": [', f'\n],\n"annotations": [],\n"categories": {_json(classes)}}}\n'
        )
        self._waiting: dict[int, tuple[Picture, Detections] | None] = {}
        self._next = 0
        self.detections = 0

    def add(self, picture: Picture, found: Detections) -> None:
        """Add an image with what was found in it, best score first."""
        self._waiting[picture.index] = _without_pixels(picture), found
        self._write_on()

    def leave_out(self, index: int) -> None:
        """Add nothing for a file."""
        self._waiting[index] = None
        self._write_on()

    def add_frame(self, picture: Picture, found: Detections) -> None:
        """Add a frame of the file whose turn it is."""
        self._write(picture, found)

    def close(self) -> None:
        """End the tables."""
        self._csv.close()
        self._results.close()
        self._images.close()

    def _write_on(self) -> None:
        while self._next in self._waiting:
            entry = self._waiting.pop(self._next)
            self._next += 1
            if entry:
                self._write(*entry)

    def _write(self, picture: Picture, found: Detections) -> None:
        number = source_id(_id(picture))
        self._images.add(_image(picture, number))
        self.detections += len(found)
        place = ("", "") if picture.frame is None else (picture.frame, f"{picture.time:.3f}")
        for box, score, class_id in zip(found.boxes.tolist(), found.scores.tolist(), found.classes, strict=True):
            edges = (f"{edge:.2f}" for edge in box)
            name = class_name(self._names, class_id)
            self._rows.writerow((picture.file, *picture.size, name, f"{score:.4f}", *edges, *place))
            self._results.add(_result(number, int(class_id), box, score))


class _JsonList:
    """A JSON file with a list in it that is written entry by entry."""

    def __init__(self, path: Path, before: str, after: str) -> None:
        self._stream: IO[str] = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed by `close`
        self._separator, self._after = "\n", after
        self._stream.write(before)

    def add(self, entry: Mapping[str, Any]) -> None:
        self._stream.write(self._separator + _json(entry))
        self._separator = ",\n"

    def close(self) -> None:
        self._stream.write(self._after)
        self._stream.close()


def _id(picture: Picture) -> str:
    return picture.file if picture.frame is None else frame_name(picture.file, picture.frame)


def _image(picture: Picture, number: int) -> dict[str, Any]:
    width, height = picture.size
    entry = {"id": number, "file_name": _id(picture), "width": width, "height": height}
    if picture.frame is None:
        return entry
    return {**entry, "video": picture.file, "frame": picture.frame, "time": round(picture.time, 3)}


def _result(image_id: int, category_id: int, box: list[float], score: float) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = box
    sides = [round(value, 2) for value in (xmin, ymin, xmax - xmin, ymax - ymin)]
    return {"image_id": image_id, "category_id": category_id, "bbox": sides, "score": round(score, 4)}


def _without_pixels(picture: Picture) -> Picture:
    """Return what tables need of an image: a view of one pixel that has its shape."""
    import numpy as np

    return Picture(picture.file, np.broadcast_to(np.uint8(0), picture.pixels.shape), picture.index)


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def unreadable_rows(unreadable: tuple[tuple[str, str], ...]) -> Iterator[dict[str, str]]:
    """Yield the rows of the table of what could not be read, from (file, reason)."""
    for entry in unreadable:
        yield dict(zip(UNREADABLE_COLUMNS, entry, strict=True))
