"""COCO's JSON for object detection: one file that lists images, annotations and categories.

Format: https://cocodataset.org/#format-data, "Object Detection"; `bbox` is [x, y, width, height] in pixels from the
top left corner, continuous.
"""

import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from odtl.annotations.json_file import flag, in_brief, mapping, number, place_of, read_json, sequence, text, unreadable
from odtl.annotations.json_file import whole_number as size
from odtl.annotations.model import Annotation, Origin, Table, TableProblem
from odtl.annotations.outlines import NO_BOX, Box, around_polygons, around_runs
from odtl.annotations.web import is_address
from odtl.errors import Problem

_EXPECTED = 'An object with the lists "images", "annotations" and "categories" is expected.'


# From an image's name, width, height, boxes and labels to what is to stand for it.
Plain = Callable[[str, int | None, int | None, list[Box], list[str]], object]


def read(path: str | os.PathLike, plain: Plain | None = None) -> Table:
    """Read a file, as written: boxes are (xmin, ymin, xmax, ymax) in pixels, in the order of the file.

    An annotation without `bbox` gets the box around its `segmentation`: polygons, or run lengths, packed or not. A
    coordinate that is missing or no number is NaN. `iscrowd` is a crowd. An image is known by its `file_name`, or by
    its address where that is one or is missing; `coco_url` or `flickr_url` is its origin. An image that no annotation
    names is a negative. Problems of an image name entries by id, others by their place, counted from 0.

    Reported are: what names no image that is listed; images that share a name or an id; annotations of a category that
    is not listed, or whose id several have; boxes that are their own outline upside down (they stay as written).

    plain: makes what is in the table for each image with neither crowd nor origin, in place of an `Annotation`: most
           are such, and there may be hundreds of thousands.

    Raises InputError for a file that cannot be read at all: no JSON, no such lists.
    """
    path = os.fspath(path)
    document = read_json(path)
    if not isinstance(document, dict):
        raise unreadable(path, "file", in_brief(document), _EXPECTED)
    for name in ("images", "annotations"):
        if not isinstance(document.get(name), list):
            raise unreadable(path, name, in_brief(document.get(name)), _EXPECTED)
    return _Reader(path, document).table(plain)


class _Image:
    """What is listed of one image, and what has been found to belong to it."""

    __slots__ = ("boxes", "crowd", "height", "labels", "name", "origin", "turned", "width", "wrong")

    def __init__(self, name: str, entry: Mapping, origin: Origin | None) -> None:
        self.name, self.origin = name, origin
        width, height = entry.get("width"), entry.get("height")
        self.width = width if type(width) is int and 0 < width < 2**31 else size(width)
        self.height = height if type(height) is int and 0 < height < 2**31 else size(height)
        self.boxes: list[Box] = []
        self.labels: list[str] = []
        # Positions of the crowds, and (reason, field, found, cure): few images have any, so lists are made for these.
        self.crowd: Sequence[int] = ()
        self.turned = False
        self.wrong: Sequence[tuple[str, str, str, str]] = ()

    def mark_crowd(self) -> None:
        """Say that the box that comes next is a crowd."""
        self.crowd = self.crowd or []
        self.crowd.append(len(self.boxes))

    def tell(self, *wrong: str) -> None:
        """Add a reason, field, found and cure."""
        self.wrong = self.wrong or []
        self.wrong.append(wrong)

    @property
    def place(self) -> str:
        return f"images[{in_brief(self.name)}]"

    def annotation(self, path: str) -> Annotation:
        boxes, labels = tuple(self.boxes), tuple(self.labels)
        none = (False,) * len(boxes)
        annotation = Annotation(path, self.name, self.width, self.height, boxes, labels, none, none)
        if self.origin is None and not self.crowd:
            return annotation
        crowds = frozenset(self.crowd)
        crowd = tuple(index in crowds for index in range(len(boxes))) if crowds else ()
        return annotation._replace(origin=self.origin, crowd=crowd)

    def same_as(self, other: "_Image") -> bool:
        # The numbers first: thousands of entries of one name, one of them with thousands of boxes, must not take hours.
        return len(self.boxes) == len(other.boxes) and repr(self._meaning()) == repr(other._meaning())

    def _meaning(self) -> tuple:
        return self.name, self.width, self.height, self.boxes, self.labels, list(self.crowd)


class _Reader:
    """One file: its images by id, its categories' names by id, and what is wrong without being of one image."""

    def __init__(self, path: str, document: Mapping) -> None:
        self._path = path
        self._document = document
        self._loose: list[TableProblem] = []
        self._listed: list[_Image] = []
        self._images: dict[Hashable, _Image] = {}
        self._labels: dict[Hashable, str] = {}
        self._doubtful: dict[Hashable, str] = {}
        self._nowhere: dict[str, list[int]] = {}

    def table(self, plain: Plain | None) -> Table:
        self._list_categories()
        self._list_images()
        self._place_annotations()
        annotations, problems = {}, []
        for image in self._listed:
            other = annotations.setdefault(image.name, image)
            if other is not image and not other.same_as(image):
                found = "the file name of another image, too, which has another size or other boxes"
                cure = "List each image once, with all its annotations."
                image.tell("annotation_ambiguous", f"{image.place}.file_name", found, cure)
            if image.wrong:
                problems += [self._problem(image.name, *wrong) for wrong in image.wrong]
        if plain is None:
            made = {name: image.annotation(self._path) for name, image in annotations.items()}
        else:
            made = {
                name: image.annotation(self._path)
                if image.origin is not None or image.crowd
                else plain(name, image.width, image.height, image.boxes, image.labels)
                for name, image in annotations.items()
            }
        return Table(made, (*problems, *self._loose, *self._lost()))

    def _problem(self, name: str, reason: str, field: str, found: str, cure: str) -> TableProblem:
        return TableProblem(name, reason, Problem(self._path, field, found, cure))

    def _unreadable(self, field: str, found: str, cure: str) -> None:
        self._loose.append(self._problem("", "row_unreadable", field, found, cure))

    def _list_categories(self) -> None:
        for index, value in enumerate(sequence(self._document.get("categories"))):
            entry = mapping(value)
            number_, name = _id(entry.get("id")), text(entry.get("name"))
            if self._labels.setdefault(number_, name) != name:
                self._doubtful[number_] = f"{self._labels[number_]!r} and {name!r} (categories[{index}])"
        self._labels.pop(None, None)
        for number_ in self._doubtful:
            self._labels.pop(number_, None)

    def _list_images(self) -> None:
        licences = _licences(self._document)
        source = _data_set(self._document)
        images, listed = self._images, self._listed
        for index, value in enumerate(self._document["images"]):
            entry = value if type(value) is dict else mapping(value)
            name, url = entry.get("file_name"), ""
            if type(name) is not str or ":" in name or "coco_url" in entry or "flickr_url" in entry:
                name, url = _name_and_address(entry)
            name = name.strip()
            if not name:
                found = in_brief(entry.get("file_name")) if isinstance(value, dict) else in_brief(value)
                self._unreadable(f"images[{index}].file_name", found, "Say which image it is, or remove the entry.")
                continue
            origin = Origin(url, licences.get(_id(entry.get("license")), ""), source) if url else None
            image = _Image(name, entry, origin)
            key = entry.get("id")
            key = key if type(key) is int else _id(key)
            other = images.setdefault(key, image)
            if other is not image and key is not None and other.same_as(image):
                # The same entry twice, before any annotation is placed.
                continue
            listed.append(image)
            if key is None or other is not image:
                found = in_brief(entry.get("id")) if key is None else f"{key}, which is the id of {other.place}, too"
                wrong = ("annotation_ambiguous", f"{image.place}.id", found, "Give each image an id of its own.")
                for one in {id(image): image, id(other): other}.values():
                    one.tell(*wrong)
        self._images.pop(None, None)

    def _place_annotations(self) -> None:
        images, labels = self._images, self._labels
        for index, entry in enumerate(self._document["annotations"]):
            # Most are as they should be, and there may be millions: the rest goes the long way round.
            try:
                image = images[entry["image_id"]]
                label = labels[entry["category_id"]]
                x, y, width, height = entry["bbox"]
                # Taking away a number fails with whatever is none.
                box = (x, y, x + width - 0, y + height - 0)
                crowd, outline = entry.get("iscrowd"), entry.get("segmentation")
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                self._place(index, entry)
                continue
            if crowd and flag(crowd):
                image.mark_crowd()
            elif outline and _is_upside_down(box, outline, image.height):
                self._turned(image, place_of("annotations", index, entry))
            image.boxes.append(box)
            image.labels.append(label)

    def _place(self, index: int, value: object) -> None:
        """Place an annotation that is not quite as it should be."""
        if not isinstance(value, dict):
            self._unreadable(
                f"annotations[{index}]",
                in_brief(value),
                'An object with "image_id", "category_id" and "bbox" is expected.',
            )
            return
        image = _look_up(self._images, value.get("image_id"))
        if image is None:
            self._nowhere.setdefault(in_brief(value.get("image_id")), []).append(index)
            return
        label = _look_up(self._labels, value.get("category_id"))
        if label is None:
            key = value.get("category_id")
            names = self._doubtful.get(_id(key))
            found = f"{in_brief(key)}, which is no category's id" if names is None else f"{key}, the id of {names}"
            # Without one of its boxes, the image would teach that there is nothing.
            place = place_of("annotations", index, value)
            wrong = ("annotation_unreadable", f"{place}.category_id", found, "Mend the ids of the categories.")
            image.tell(*wrong)
            return
        if flag(value.get("iscrowd")):
            image.mark_crowd()
        image.boxes.append(_box(value))
        image.labels.append(label)

    def _turned(self, image: _Image, place: str) -> None:
        if not image.turned:
            image.turned = True
            found = "the box of its segmentation upside down, as some exporters of Labelbox's data write it"
            cure = "If the outlines are right, remove `bbox` from the file: the boxes are then taken from the outlines."
            image.tell("box_upside_down", f"{place}.bbox", found, cure)

    def _lost(self) -> Iterator[TableProblem]:
        for key, places in self._nowhere.items():
            found = f"{key}, which is no image's id, in {len(places)} annotation(s)"
            cure = "List the image, or remove what belongs to it."
            yield self._problem("", "row_unreadable", f"annotations[{places[0]}].image_id", found, cure)


def _id(value: object) -> Hashable | None:
    """Return an id, or None for what can be none."""
    if type(value) is int:
        return value
    return value if isinstance(value, float | str) and value != "" else None


def _look_up(known: Mapping[Hashable, object], value: object) -> object | None:
    """Return what has an id; some tools write the same id as a number here and as text there."""
    key = _id(value)
    if key is None or key in known:
        return known.get(key)
    if not isinstance(key, str):
        return known.get(str(key))
    return known.get(int(key)) if len(key) < 20 and key.isascii() and key.isdigit() else None


def _name_and_address(entry: Mapping) -> tuple[str, str]:
    """Return what an image is known by, and where it is to be had; "" for what is not stated."""
    name = text(entry.get("file_name"))
    if is_address(name):
        return name, name
    for key in ("coco_url", "flickr_url"):
        if key in entry and is_address(url := text(entry[key])):
            return name or url, url
    return name, ""


def _licences(document: Mapping) -> dict[Hashable, str]:
    licences = {}
    for value in sequence(document.get("licenses")):
        entry = mapping(value)
        name, url = text(entry.get("name")), text(entry.get("url"))
        licences[_id(entry.get("id"))] = f"{name} ({url})" if name and url else name or url
    licences.pop(None, None)
    return licences


def _data_set(document: Mapping) -> str:
    info = mapping(document.get("info"))
    return text(info.get("description")) or text(info.get("url"))


def _box(entry: Mapping) -> Box:
    """Return the box as written, or the one around the outline where there is none."""
    written = entry.get("bbox")
    if written is None or written == []:
        outline = entry.get("segmentation")
        return around_polygons(outline) if isinstance(outline, list) else around_runs(outline)
    if not isinstance(written, list) or len(written) != 4:
        return NO_BOX
    x, y, width, height = map(number, written)
    return x, y, x + width, y + height


def _is_upside_down(box: Box, outline: object, height: int | None) -> bool:
    """Say whether a box is the one around its outline mirrored at half the image's height, within a pixel."""
    if height is None or type(outline) is not list:
        return False
    try:
        top = min([min(polygon[1::2]) for polygon in outline])
        if -1 <= box[1] - top <= 1:
            return False
    except (TypeError, ValueError):
        return False
    xmin, ymin, xmax, ymax = around_polygons(outline)
    mirrored = (xmin, height - ymax, xmax, height - ymin)
    return all(abs(one - other) <= 1 for one, other in zip(box, mirrored, strict=True))
