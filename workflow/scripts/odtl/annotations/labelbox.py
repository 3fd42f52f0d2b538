"""Labelbox's exports: the legacy JSON, a list of records, and the newer NDJSON, one data row per line.

Formats: https://docs.labelbox.com/docs/exports-v2-glossary and
https://docs.labelbox.com/reference/export-image-annotations; the oldest JSON as Labelbox's own converter takes it,
https://github.com/Labelbox/labelbox-python (labelbox/exporters/coco_exporter.py). See docs/formats/labelbox.md for
which way the y axis of each goes.
"""

import os
import re
from collections.abc import Iterator, Mapping

from odtl.annotations.gathering import Gathering, Said, without_box
from odtl.annotations.json_file import (
    flag,
    in_brief,
    mapping,
    number,
    parse,
    parse_lines,
    read_bytes,
    sequence,
    text,
    unreadable,
    whole_number,
)
from odtl.annotations.model import Annotation, Origin, Table
from odtl.annotations.outlines import NO_BOX, Box, around_points
from odtl.annotations.web import is_address
from odtl.errors import InputError

_EXPECTED = 'Records with "Labeled Data" and "Label", or lines with "data_row" and "projects", are expected.'
_RECORD = 'An object with "Labeled Data" and "Label", or with "data_row" and "projects", is expected.'
# An outline in parentheses of its own opens each polygon; holes follow without.
_OUTLINE = re.compile(r"\(\s*\(([^()]*)\)")
_POLYGON = re.compile(r"\s*(MULTI)?POLYGON\b", re.IGNORECASE)
_MARK = re.compile(r"\s*(MULTI)?(POINT|LINESTRING)\b", re.IGNORECASE)


def read(path: str | os.PathLike) -> Table:
    """Read an export, as written: boxes are (xmin, ymin, xmax, ymax) in pixels, around polygons where there are such.

    An image is known by its external ID, else by its global key, else by its address, which is its origin. Those that
    were skipped or have no label are reported, and are no negatives; one whose label has no object is. Of several
    labels the last changed is used. In the oldest form y counts upwards from the lower edge (`upward`).

    Raises InputError for a file that cannot be read at all: no JSON, or not of this format.
    """
    path = os.fspath(path)
    found = Gathering(path)
    known = total = 0
    first: InputError | None = None
    for place, record in _records(path):
        total += 1
        if isinstance(record, InputError):
            first = first or record
            problem = record.problems[0]
            found.refuse("", "row_unreadable", problem.field, problem.found, problem.cure)
        elif isinstance(record, dict) and isinstance(record.get("data_row"), dict):
            known += 1
            _add_row(path, found, place, record)
        elif isinstance(record, dict) and "Labeled Data" in record:
            known += 1
            _add_record(path, found, place, record)
        else:
            found.refuse("", "row_unreadable", place, in_brief(record), _RECORD)
    if total and not known:
        raise first or unreadable(path, "file", "no record of Labelbox", _EXPECTED)
    return found.table()


def _records(path: str) -> Iterator[tuple[str, object]]:
    data = read_bytes(path)
    try:
        document = parse(path, data)
    except InputError:
        if not data.lstrip().startswith(b"{"):
            raise
        for line, record in parse_lines(path, data):
            yield f"line {line}", record
        return
    if not isinstance(document, dict | list):
        raise unreadable(path, "file", in_brief(document), _EXPECTED)
    for number_, record in enumerate([document] if isinstance(document, dict) else document, 1):
        yield f"record {number_}", record


def _place(place: str, record: Mapping) -> str:
    """Return which record of an image it is, by its id where it has one (see `place_of`)."""
    name = text(record.get("ID")) or text(mapping(record.get("data_row")).get("id"))
    return f"record {name[:60]}" if name else place


def _add_record(path: str, found: Gathering, place: str, record: Mapping) -> None:
    """Add a record of the legacy export."""
    url, label = text(record.get("Labeled Data")), record.get("Label")
    name = text(record.get("External ID")) or url
    if not name:
        found.refuse("", "row_unreadable", place, "neither address nor external ID", "Say which image it is.")
        return
    place = _place(place, record)
    if flag(record.get("Skipped")) or (isinstance(label, str) and label.strip().lower() in ("skip", "skipped", "")):
        found.skip(name, f"{place}, Label", "skipped by who labelled")
    elif label is None or label == {}:
        found.skip(name, f"{place}, Label", "nothing: nobody has labelled it")
    elif not isinstance(label, dict):
        cure = "An object with a list of shapes for each class is expected."
        found.refuse(name, "annotation_unreadable", f"{place}, Label", in_brief(label), cure)
    else:
        shapes = _Shapes(f"{place}, Label")
        upward = not isinstance(label.get("objects"), list)
        if upward:
            for name_of_class, value in label.items():
                _add_class(shapes, text(name_of_class), value)
        else:
            for entry in label["objects"]:
                shapes.add_object(mapping(entry))
        source = text(record.get("Dataset Name")) or text(record.get("Project Name"))
        origin = Origin(url, "", source) if is_address(url) else None
        annotation = shapes.annotation(path, name, {}, origin, upward and bool(shapes.boxes))
        rank = (text(record.get("Updated At")) or text(record.get("Created At")),)
        found.add(name, Said(place, annotation, rank, shapes.wrong()))


def _add_class(shapes: "_Shapes", name: str, value: object) -> None:
    """Add a class of the oldest form: WKT, or a list of shapes; any other text is the answer to a question."""
    if isinstance(value, str):
        shapes.add_wkt(name, value)
        return
    for entry in sequence(value):
        geometry = entry.get("geometry") if isinstance(entry, dict) else entry
        if isinstance(geometry, str):
            shapes.add_wkt(name, geometry)
        elif isinstance(geometry, list) and geometry:
            shapes.add_points(name, geometry)
        elif isinstance(entry, dict) and ("x" in entry or isinstance(geometry, dict)):
            shapes.marks += 1


def _add_row(path: str, found: Gathering, place: str, record: Mapping) -> None:
    """Add a data row of the newer export."""
    row = mapping(record["data_row"])
    url = text(row.get("row_data"))
    name = text(row.get("external_id")) or text(row.get("global_key")) or url
    if not name:
        found.refuse("", "row_unreadable", place, "neither address nor external ID", "Say which image it is.")
        return
    place = _place(place, record)
    details = mapping(row.get("details"))
    origin = Origin(url, _licence(record), text(details.get("dataset_name"))) if is_address(url) else None
    said = False
    for project in mapping(record.get("projects")).values():
        for index, label in enumerate(sequence(mapping(project).get("labels"))):
            said = True
            where, entry = f"{place}, label {index + 1}", mapping(label)
            annotations = entry.get("annotations")
            if flag(mapping(entry.get("performance_details")).get("skipped")) or flag(entry.get("is_skipped")):
                found.skip(name, where, "skipped by who labelled")
            elif not isinstance(annotations, dict) or not isinstance(annotations.get("objects"), list):
                cure = 'Annotations of an image, with a list of "objects", are expected.'
                found.refuse(name, "annotation_unreadable", where, in_brief(annotations), cure)
            else:
                shapes = _Shapes(where)
                for thing in annotations["objects"]:
                    shapes.add_object(mapping(thing))
                annotation = shapes.annotation(path, name, mapping(record.get("media_attributes")), origin, False)
                found.add(name, Said(where, annotation, (_changed(entry),), shapes.wrong()))
    if not said:
        found.skip(name, place, "no label: nobody has labelled it")


def _changed(label: Mapping) -> str:
    """Return when a label was last changed, as it is written: times in one form sort as text."""
    details = mapping(label.get("label_details"))
    times = (text(details.get(name)) for name in ("content_last_updated_at", "updated_at", "created_at"))
    return next(filter(None, times), "")


def _licence(record: Mapping) -> str:
    for value in sequence(record.get("metadata_fields")):
        entry = mapping(value)
        if (text(entry.get("schema_name")) or text(entry.get("name"))).lower() in ("licence", "license"):
            return text(entry.get("value"))
    return ""


class _Shapes:
    """The shapes of one label, and the boxes around them."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.boxes: list[Box] = []
        self.labels: list[str] = []
        self.masks = self.marks = 0

    def _add(self, name: str, box: Box) -> None:
        self.boxes.append(box)
        self.labels.append(name)

    def add_wkt(self, name: str, shape: str) -> None:
        """Add the polygons of a well-known text, one object each."""
        if _POLYGON.match(shape):
            outlines = _OUTLINE.findall(shape)
            if not outlines and "EMPTY" not in shape.upper():
                self._add(name, NO_BOX)
            for outline in outlines:
                points = [point.split()[:2] for point in outline.split(",")]
                usable = all(len(point) == 2 for point in points)
                self._add(name, around_points(*zip(*points, strict=True)) if usable else NO_BOX)
        elif _MARK.match(shape):
            self.marks += 1

    def add_points(self, name: str, points: list) -> None:
        """Add a polygon whose points are objects with x and y."""
        entries = [mapping(point) for point in points]
        self._add(name, around_points([entry.get("x") for entry in entries], [entry.get("y") for entry in entries]))

    def add_object(self, entry: Mapping) -> None:
        """Add an object that is a box, a polygon, or something else."""
        # In the older of the two forms `title` is what the tool is called, and `value` is made from it.
        name = text(entry.get("name")) or text(entry.get("title")) or text(entry.get("value"))
        sides = entry.get("bounding_box") if "bounding_box" in entry else entry.get("bbox")
        polygon = entry.get("polygon")
        if isinstance(sides, dict):
            left, top, width, height = (number(sides.get(side)) for side in ("left", "top", "width", "height"))
            self._add(name, (left, top, left + width, top + height))
        elif isinstance(polygon, list):
            self.add_points(name, polygon)
        elif any(kind in entry for kind in ("point", "line")):
            self.marks += 1
        elif any(kind in entry for kind in ("mask", "composite_mask", "instanceURI")):
            self.masks += 1
        else:
            self._add(name, NO_BOX)

    def annotation(self, path: str, name: str, size: Mapping, origin: Origin | None, upward: bool) -> Annotation:
        none = (False,) * len(self.boxes)
        width, height = whole_number(size.get("width")), whole_number(size.get("height"))
        boxes, labels = tuple(self.boxes), tuple(self.labels)
        return Annotation(path, name, width, height, boxes, labels, none, none, origin=origin, upward=upward)

    def wrong(self) -> tuple[tuple[str, str, str, str], ...]:
        return without_box(self.masks, self.marks, len(self.boxes), self._place)
