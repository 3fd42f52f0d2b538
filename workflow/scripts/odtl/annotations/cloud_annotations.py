"""IBM Cloud Annotations' `_annotations.json`: boxes by the name of the image, as shares of its size.

Format: https://github.com/cloud-annotations/cloud-annotations; {"version": "1.0", "type": "localization",
"labels": [...], "annotations": {"a.jpg": [{"x", "y", "x2", "y2", "id", "label"}, ...]}}, from the top left corner.
"""

import os

from odtl.annotations.json_file import in_brief, number, read_json, text, unreadable
from odtl.annotations.model import Annotation, Table, TableProblem
from odtl.annotations.outlines import Box
from odtl.errors import Problem

_EXPECTED = 'An object with "type": "localization" and "annotations" by file name is expected.'
_LIST = 'A list of objects with "x", "y", "x2", "y2" and "label" is expected.'


def read(path: str | os.PathLike) -> Table:
    """Read a file, as written: boxes are (xmin, ymin, xmax, ymax) as shares (0 to 1) of the image's width and height.

    A coordinate that is missing or no number is NaN. An image with an empty list is a negative. An entry that is no
    list of objects is reported, and its image left out.

    Raises InputError for a file that cannot be read at all: no JSON, not of this format, or of whole images' classes
    (`"type": "classification"`), where there are no boxes to learn from.
    """
    path = os.fspath(path)
    document = read_json(path)
    if not isinstance(document, dict):
        raise unreadable(path, "file", in_brief(document), _EXPECTED)
    kind, entries = text(document.get("type")).lower(), document.get("annotations")
    if kind == "classification":
        cure = "It gives each image a class and no boxes, so no detector can learn from it: label with boxes."
        raise unreadable(path, "type", "'classification'", cure)
    if kind not in ("", "localization"):
        raise unreadable(path, "type", in_brief(document["type"]), _EXPECTED)
    if not isinstance(entries, dict):
        raise unreadable(path, "annotations", in_brief(entries), _EXPECTED)
    annotations, problems = {}, []
    for index, (name, objects) in enumerate(entries.items()):
        field = f"annotations[{in_brief(name)}]"
        strange = [entry for entry in objects if type(entry) is not dict] if isinstance(objects, list) else [objects]
        if not name.strip():
            problem = Problem(
                path,
                f"annotations, entry {index}",
                "no file name",
                "Say which image the boxes belong to, or remove them.",
            )
            problems.append(TableProblem("", "row_unreadable", problem))
        elif strange:
            problem = Problem(path, field, in_brief(strange[0]), _LIST)
            problems.append(TableProblem(name, "annotation_unreadable", problem))
        else:
            annotations[name] = _annotation(path, name, objects)
    return Table(annotations, tuple(problems))


def _annotation(path: str, name: str, objects: list[dict]) -> Annotation:
    none = (False,) * len(objects)
    boxes, labels = tuple(map(_box, objects)), tuple(text(entry.get("label")) for entry in objects)
    return Annotation(path, name, None, None, boxes, labels, none, none, normalised=True)


def _box(entry: dict) -> Box:
    return number(entry.get("x")), number(entry.get("y")), number(entry.get("x2")), number(entry.get("y2"))
