"""CVAT for images 1.1: one XML for many images, as the labelling tool CVAT exports it.

Format: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/ and, for the attributes of each shape,
https://docs.cvat.ai/docs/manual/advanced/xml_format/ (annotation file, for images).
"""

import math
import os
from collections.abc import Callable, Mapping

from odtl.annotations import safe_xml
from odtl.annotations.model import Annotation, Table, TableProblem
from odtl.annotations.source_file import unreadable
from odtl.annotations.values import flag, number, whole_number
from odtl.errors import Problem
from odtl.split import split_named

MAX_BYTES = 2**30
_EXPECTED = "CVAT's XML 1.1, whose root is <annotations>, is expected here: export as `CVAT for images 1.1`."
_NOWHERE = (math.nan,) * 4
_FLAGS = ("difficult", "truncated")
Box = tuple[float, float, float, float]


def read(path: str | os.PathLike) -> Table:
    """Read an export, as written: boxes are (xmin, ymin, xmax, ymax) in pixels, in the order of the file.

    A turned box is the upright one around it, and so are a polygon, an ellipse, a mask and a cuboid. A shape that has
    no extent of its own (polyline, points, skeleton) is left out and reported; where an image has no other ones, it is
    rejected, for it would be taught as empty. Tags, which are of a whole image, are not looked at. A coordinate that is
    missing or no number is NaN. The attributes of a shape that are called `difficult` and `truncated` are its flags.

    CVAT lists all images of a task, so one without shapes is a negative. `subset` is the image's split where it means
    one ("Train", "validation"). Two images of one name are told apart by their subset, or else reported if they differ.

    Raises InputError for a file that cannot be read at all: malformed, over 1 GB, not of this format, or with the
    tracks of a video, whose frames are no files; UnsafeAnnotationError for one with a DOCTYPE or entities.
    """
    path = os.fspath(path)
    reader = _Reader(path)
    safe_xml.stream(path, reader, "annotations", _EXPECTED, MAX_BYTES)
    return Table(reader.annotations, tuple(reader.problems))


class _Reader:
    """Takes the elements of an export as they come."""

    def __init__(self, path: str) -> None:
        self.annotations: dict[str, Annotation] = {}
        self.problems: list[TableProblem] = []
        self._path = path
        self._depth = 0
        self._images = 0
        self._image: _Image | None = None
        self._flag: str | None = None
        self._text: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth == 2 and tag == "image":
            self._images += 1
            self._image = _Image(attributes, self._images)
        elif self._depth == 2 and tag == "track":
            cure = "Export as `CVAT for images 1.1`, with the images: frames of a video have no files of their own."
            raise unreadable(self._path, "track", "the tracks of a video", cure)
        elif self._image is not None and self._depth == 3:
            self._image.add(tag, attributes)
        elif self._image is not None and self._depth == 4 and tag == "attribute":
            self._flag = attributes.get("name", "").strip().lower()
            self._text = []

    def data(self, text: str) -> None:
        if self._flag in _FLAGS and len(self._text) < 10:
            self._text.append(text)

    def end(self, tag: str) -> None:
        if self._depth == 4 and self._flag in _FLAGS:
            self._image.mark(self._flag, flag("".join(self._text)))
        self._flag = None
        if self._depth == 2 and self._image is not None:
            self._finish(self._image)
            self._image = None
        self._depth -= 1

    def _finish(self, image: "_Image") -> None:
        if not image.name:
            cure = "Say which image it is, or remove the element."
            problem = Problem(self._path, f"image {image.number}", "no name", cure)
            self.problems.append(TableProblem("", "row_unreadable", problem))
            return
        annotation, name = image.annotation(self._path), image.name
        known = self.annotations.get(name)
        if known is not None and known.split != annotation.split:
            name = f"{image.subset}/{name}"
            known = self.annotations.get(name)
        if known is not None:
            # As text: NaN equals NaN there.
            if repr(known) != repr(annotation):
                found = "a second image of that name, with other boxes or of another size"
                cure = "Name each image once, or export the tasks into files of their own."
                problem = Problem(self._path, f"image {image.number} ({name!r})", found, cure)
                self.problems.append(TableProblem(name, "annotation_ambiguous", problem))
            return
        self.annotations[name] = annotation
        self.problems += image.problems(self._path, name)


class _Image:
    """One image in the making."""

    def __init__(self, attributes: Mapping[str, str], number_: int) -> None:
        self.number = number_
        self.name = attributes.get("name", "").strip()
        self.subset = attributes.get("subset", "").strip()
        self._size = tuple(whole_number(attributes.get(side, "")) for side in ("width", "height"))
        self._boxes: list[Box] = []
        self._labels: list[str] = []
        self._marks: dict[str, list[bool]] = {name: [] for name in _FLAGS}
        self._left_out: list[tuple[int, str]] = []
        self._shapes = 0
        self._open = False

    def add(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._open = tag in _BOXES
        if self._open:
            self._shapes += 1
            self._boxes.append(_BOXES[tag](attributes))
            self._labels.append(attributes.get("label", "").strip())
            for marks in self._marks.values():
                marks.append(False)
        elif tag in _WITHOUT_BOX:
            self._shapes += 1
            self._left_out.append((self._shapes, tag))

    def mark(self, name: str, value: bool) -> None:
        # The attributes of a shape without a box are not those of the last one with one.
        if self._open:
            self._marks[name][-1] = value

    def annotation(self, path: str) -> Annotation:
        return Annotation(
            file=path,
            filename=self.name,
            width=self._size[0],
            height=self._size[1],
            boxes=tuple(self._boxes),
            labels=tuple(self._labels),
            difficult=tuple(self._marks["difficult"]),
            truncated=tuple(self._marks["truncated"]),
            split=split_named(self.subset),
        )

    def problems(self, path: str, name: str) -> list[TableProblem]:
        where = f"image {self.number}"
        cure = "Draw a box or an outline around the object."
        problems = [
            TableProblem(name, "shape_without_box", Problem(path, f"{where}, shape {number_}", f"<{tag}>", cure))
            for number_, tag in self._left_out
        ]
        if problems and not self._boxes:
            found = f"{len(problems)} shape(s), none with a box"
            problems.append(TableProblem(name, "all_boxes_unusable", Problem(path, where, found, cure)))
        return problems


def _of_box(attributes: Mapping[str, str]) -> Box:
    box = tuple(number(attributes.get(side, "")) for side in ("xtl", "ytl", "xbr", "ybr"))
    angle = _angle(attributes)
    if not angle:
        return box
    # An upright box whose centre is that of the turned one.
    half_width, half_height = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    return _around(
        (box[0] + box[2]) / 2,
        (box[1] + box[3]) / 2,
        half_width * cos + half_height * sin,
        half_width * sin + half_height * cos,
    )


def _of_ellipse(attributes: Mapping[str, str]) -> Box:
    x, y, x_radius, y_radius = (number(attributes.get(name, "")) for name in ("cx", "cy", "rx", "ry"))
    angle = _angle(attributes)
    cos, sin = math.cos(angle), math.sin(angle)
    return _around(x, y, math.hypot(x_radius * cos, y_radius * sin), math.hypot(x_radius * sin, y_radius * cos))


def _of_polygon(attributes: Mapping[str, str]) -> Box:
    points = [point.split(",") for point in attributes.get("points", "").split(";") if point.strip()]
    if any(len(point) != 2 for point in points):
        return _NOWHERE
    return _around_points([number(x) for x, _ in points], [number(y) for _, y in points])


def _of_mask(attributes: Mapping[str, str]) -> Box:
    left, top, width, height = (number(attributes.get(name, "")) for name in ("left", "top", "width", "height"))
    return left, top, left + width, top + height


def _of_cuboid(attributes: Mapping[str, str]) -> Box:
    # Eight corners in the picture: x and y, top or bottom, left or right, front or back.
    corners = [f"{vertical}{side}{face}" for vertical in "tb" for side in "lr" for face in "12"]
    xs, ys = ([number(attributes.get(axis + corner, "")) for corner in corners] for axis in "xy")
    return _around_points(xs, ys)


_BOXES: Mapping[str, Callable[[Mapping[str, str]], Box]] = {
    **{"box": _of_box, "ellipse": _of_ellipse, "polygon": _of_polygon, "mask": _of_mask, "cuboid": _of_cuboid},
}
_WITHOUT_BOX = frozenset(("polyline", "points", "skeleton"))


def _angle(attributes: Mapping[str, str]) -> float:
    """Return by how much a shape is turned about its centre, clockwise, in radians; NaN if that is no number."""
    stated = attributes.get("rotation")
    angle = 0.0 if stated is None else number(stated)
    return math.radians(math.fmod(angle, 360)) if math.isfinite(angle) else math.nan


def _around(x: float, y: float, half_width: float, half_height: float) -> Box:
    return x - half_width, y - half_height, x + half_width, y + half_height


def _around_points(xs: list[float], ys: list[float]) -> Box:
    if not xs or not all(map(math.isfinite, [*xs, *ys])):
        return _NOWHERE
    return min(xs), min(ys), max(xs), max(ys)
