"""Label Studio's exports JSON (tasks with all that was said of them) and JSON_MIN (what is used of it, flat).

Formats: https://labelstud.io/guide/export#Label-Studio-JSON-format-of-annotated-tasks and
https://labelstud.io/guide/export#JSON-MIN; shapes: https://labelstud.io/tags/rectanglelabels (x, y: the top left corner
before the rotation, which is clockwise around it; all in percent of the image's sides), polygonlabels, ellipselabels.
"""

import math
import os
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from odtl.annotations.gathering import Gathering, Said, without_box
from odtl.annotations.json_file import flag, in_brief, mapping, number, place_of, read_json, sequence, text, unreadable
from odtl.annotations.json_file import whole_number as size
from odtl.annotations.model import Annotation, Origin, Table
from odtl.annotations.outlines import NO_BOX, Box, around_points
from odtl.annotations.web import is_address

_EXPECTED = 'A list of tasks is expected: the export "JSON" or "JSON-MIN".'
_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_MASKS = ("brushlabels", "brush", "bitmasklabels", "bitmask", "videorectangle")
_MARKS = ("keypointlabels", "keypoint", "vectorlabels", "vector")


def read(path: str | os.PathLike) -> Table:
    """Read an export, as written: boxes are (xmin, ymin, xmax, ymax) as shares (0 to 1) of the image's sides.

    A turned rectangle, a polygon and an ellipse get the upright box around them. A region with several labels is one
    object of each. An image is known by its file name or path, or by its address, which is its origin.

    Of several annotations of an image, one marked as ground truth is used, else the last changed; cancelled ones are
    not. Tasks without annotation are reported and are no negatives; one whose annotation is empty is.

    Raises InputError for a file that cannot be read at all: no JSON, or not of this format.
    """
    path = os.fspath(path)
    document = read_json(path)
    if not isinstance(document, list):
        raise unreadable(path, "file", in_brief(document), _EXPECTED)
    if document and not any(isinstance(task, dict) for task in document):
        raise unreadable(path, "file", f"a list that begins with {in_brief(document[0])}", _EXPECTED)
    found = Gathering(path)
    for index, task in enumerate(document):
        place, data = place_of("tasks", index, task), mapping(mapping(task).get("data"))
        written = _image_of(data or mapping(task))
        if not written:
            found.refuse(
                "", "row_unreadable", f"tasks[{index}]", in_brief(task), "Say which image it is, or remove the task."
            )
        elif data:
            _add_task(path, found, place, task, *_name_and_origin(written))
        else:
            _add_flat(path, found, place, task, *_name_and_origin(written))
    return found.table()


def _add_task(path: str, found: Gathering, place: str, task: Mapping, name: str, origin: Origin | None) -> None:
    field = "completions" if "completions" in task and "annotations" not in task else "annotations"
    several, skipped = sequence(task.get(field)), False
    for index, value in enumerate(several):
        where, entry = f"{place}.{place_of(field, index, value)}", mapping(value)
        if flag(entry.get("was_cancelled")) or flag(entry.get("skipped")):
            skipped = True
        elif not isinstance(entry.get("result"), list):
            found.refuse(name, "annotation_unreadable", where, in_brief(value), 'A list "result" is expected.')
        else:
            rank = (flag(entry.get("ground_truth")), text(entry.get("updated_at")) or text(entry.get("created_at")))
            found.add(name, _said(path, where, name, origin, entry["result"], rank))
    if skipped:
        found.skip(name, f"{place}.{field}", "cancelled by who labelled")
    elif not several:
        found.skip(name, f"{place}.{field}", "nothing: nobody has labelled it")


def _add_flat(path: str, found: Gathering, place: str, task: Mapping, name: str, origin: Origin | None) -> None:
    results = [
        {"value": entry, "type": _kind_of(entry), **mapping(entry)}
        for value in task.values()
        for entry in sequence(value)
        if isinstance(entry, dict) and _kind_of(entry)
    ]
    if results or task.get("annotation_id") is not None or task.get("annotator") is not None:
        rank = (False, text(task.get("updated_at")) or text(task.get("created_at")))
        found.add(name, _said(path, place, name, origin, results, rank))
    else:
        found.skip(name, place, "no annotation: nobody has labelled it")


def _kind_of(value: Mapping) -> str:
    """Return what a shape of JSON_MIN is, by the key of its labels; "" for what is no shape."""
    kinds = [key for key in value if key.endswith("labels")]
    return kinds[0] if kinds else "rectangle" if "x" in value and "width" in value else ""


def _said(path: str, place: str, name: str, origin: Origin | None, results: Iterable, rank: tuple) -> Said:
    regions = [mapping(entry) for entry in results]
    named = {text(entry.get("id")) for entry in regions if _labels(entry)} - {""}
    # Where tool and labels are two tags, there are two results of one id, and one of them has the labels.
    regions = [entry for entry in regions if _labels(entry) or text(entry.get("id")) not in named]
    kinds = [text(entry.get("type")) for entry in regions]
    masks, marks = sum(kind in _MASKS for kind in kinds), sum(kind in _MARKS for kind in kinds)
    boxes, labels, sizes = [], [], []
    for kind, entry in zip(kinds, regions, strict=True):
        value = mapping(entry.get("value"))
        if kind not in _MASKS and kind not in _MARKS and _is_shape(value):
            sizes.append((size(entry.get("original_width")), size(entry.get("original_height"))))
            for label in _labels(entry) or [""]:
                boxes.append(_box(value, *sizes[-1]))
                labels.append(label)
    wrong = without_box(masks, marks, len(boxes), place)
    if any(number(entry.get("image_rotation") or 0) % 360 for entry in regions):
        cure = "Draw on the image as it is stored: it is not documented which way such boxes stand."
        wrong += (("annotation_ambiguous", place, "boxes drawn on an image that was turned in the tool", cure),)
    none = (False,) * len(boxes)
    width, height = sizes[0] if sizes else (None, None)
    annotation = Annotation(
        path, name, width, height, tuple(boxes), tuple(labels), none, none, normalised=True, origin=origin
    )
    return Said(place, annotation, rank, wrong)


def _is_shape(value: Mapping) -> bool:
    return isinstance(value.get("points"), list) or ("x" in value and ("width" in value or "radiusX" in value))


def _labels(entry: Mapping) -> list[str]:
    """Return a region's labels."""
    value = mapping(entry.get("value"))
    for key, names in value.items():
        if key.endswith("labels") and isinstance(names, list):
            return [label for label in map(text, names) if label]
    return []


def _box(value: Mapping, width: int | None, height: int | None) -> Box:
    """Return the upright box around a region, in shares; width, height: of the image, for what is turned."""
    if isinstance(value.get("points"), list):
        points = [sequence(point) for point in value["points"]]
        if any(len(point) != 2 for point in points):
            return NO_BOX
        return _shares(around_points([point[0] for point in points], [point[1] for point in points]))
    x, y, angle = number(value.get("x")), number(value.get("y")), number(value.get("rotation") or 0) % 360
    if angle and None in (width, height):
        # Percents of different sides cannot be turned into each other.
        return NO_BOX
    turn = (math.cos(math.radians(angle)), math.sin(math.radians(angle)), (height or 1) / (width or 1))
    if "radiusX" in value:
        return _shares(_around_ellipse(x, y, number(value.get("radiusX")), number(value.get("radiusY")), turn))
    across, down = number(value.get("width")), number(value.get("height"))
    if not angle:
        return _shares((x, y, x + across, y + down))
    return _shares(_around_turned(x, y, across, down, turn))


def _around_turned(x: float, y: float, across: float, down: float, turn: tuple[float, float, float]) -> Box:
    """Return the box around a rectangle turned around its corner x, y; turn: cosine, sine, height / width of the image.

    A percent across and one down are of different lengths: what turns from one into the other is scaled.
    """
    cosine, sine, ratio = turn
    corners = [(0.0, 0.0), (across, 0.0), (across, down), (0.0, down)]
    columns = [x + right * cosine - below * sine * ratio for right, below in corners]
    return around_points(columns, [y + right * sine / ratio + below * cosine for right, below in corners])


def _around_ellipse(x: float, y: float, across: float, down: float, turn: tuple[float, float, float]) -> Box:
    """Return the box around an ellipse turned around its centre x, y; across, down: its radii; turn: as above."""
    cosine, sine, ratio = turn
    half_width = math.hypot(across * cosine, down * sine * ratio)
    half_height = math.hypot(across * sine / ratio, down * cosine)
    return x - half_width, y - half_height, x + half_width, y + half_height


def _shares(percents: Box) -> Box:
    return tuple(edge / 100 for edge in percents)


def _image_of(data: Mapping) -> str:
    """Return what a task says of its image: the value of `image`, or the first that looks like one."""
    texts = {key: value.strip() for key, value in data.items() if isinstance(value, str)}
    if texts.get("image"):
        return texts["image"]
    likely = (value for value in texts.values() if _without_query(value).lower().endswith(_IMAGE_ENDINGS))
    return next(likely, "")


def _without_query(address: str) -> str:
    """Return an address without its query, or all of what is none."""
    return address.partition("?")[0] if is_address(address) else address


def _name_and_origin(written: str) -> tuple[str, Origin | None]:
    """Return what an image is known by, and where it is to be had if that is on the web.

    What was uploaded, or lies in a folder that Label Studio serves, is a file of the user's: its name, or its path
    in that folder, is told.
    """
    try:
        parts = urlsplit(written)
        query = parse_qs(parts.query)
    except ValueError:
        return written, None
    if parts.path.startswith("/data/local-files") and query.get("d"):
        return query["d"][0], None
    if "/data/upload/" in parts.path:
        return unquote(parts.path.rpartition("/")[2]) or written, None
    return written, Origin(written) if is_address(written) else None
