"""Detections as annotations to correct: each image with a Pascal VOC XML beside it, as LabelImg opens them."""

from collections.abc import Mapping
from pathlib import Path

from odtl.boxes import BoxRow
from odtl.conversion.labelled import LabelledImage
from odtl.conversion.pictures import names_of, place
from odtl.conversion.voc import xml
from odtl.detecting.names import class_name, frame_name
from odtl.detecting.pictures import Picture, encoded_upright
from odtl.detections import Detections


class Drafts:
    """A folder of drafts that is being written.

    names: id -> name of the classes. An image in which nothing was found has no XML: as an annotation, that would say
    that there is nothing in it.
    """

    def __init__(self, folder: Path, names: Mapping[int, str]) -> None:
        self._folder, self._names = folder, names
        self._empty: list[Path] = []
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, picture: Picture, found: Detections) -> None:
        """Write an image, its own file where that is an upright RGB JPEG or PNG, and what was found in it."""
        data, kind = encoded_upright(picture.data, picture.pixels)
        file = picture.file if picture.frame is None else frame_name(picture.file, picture.frame)
        name = place(names_of(file, kind, False), self._folder, data, None, self._label_of)
        rows = tuple(
            _row(picture, box, class_name(self._names, number))
            for box, number in zip(found.boxes, found.classes, strict=True)
        )
        if rows:
            self._label_of(name).write_text(xml(LabelledImage(rows[0], rows), name), encoding="utf-8")
        else:
            self._empty.append(self._label_of(name))

    def close(self) -> None:
        """Remove the files that only kept a name free: a.jpg and a.png cannot both have a.xml."""
        for path in self._empty:
            path.unlink()

    def _label_of(self, name: str) -> Path:
        return (self._folder / name).with_suffix(".xml")


def _row(picture: Picture, box, label: str) -> BoxRow:
    width, height = picture.size
    xmin, ymin, xmax, ymax = (float(round(edge)) for edge in box)
    # LabelImg has whole pixels, and so has who corrects them; a box keeps at least one.
    xmin, ymin = min(max(xmin, 0.0), width - 1.0), min(max(ymin, 0.0), height - 1.0)
    xmax, ymax = min(max(xmax, xmin + 1), float(width)), min(max(ymax, ymin + 1), float(height))
    flags = {"difficult": False, "truncated": False, "crowd": False}
    edges = {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
    return BoxRow(picture.file, width, height, label, **edges, **flags, split="", group="", image="", sha256="")
