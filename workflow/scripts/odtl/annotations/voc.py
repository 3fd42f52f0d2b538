"""PASCAL VOC XML as LabelImg and its relatives write it.

Format: the PASCAL VOC development kit, section "Annotation", http://host.robots.ox.ac.uk/pascal/VOC/; one file per
image, `<annotation>` with `<filename>`, `<size>` and one `<object>` per box.
"""

import os

from lxml import etree

from odtl.annotations import safe_xml
from odtl.annotations.model import Annotation
from odtl.annotations.safe_xml import UnsafeAnnotationError as UnsafeAnnotationError
from odtl.annotations.source_file import read_bytes, unreadable
from odtl.annotations.values import flag, number, whole_number

MAX_BYTES = 16 * 2**20
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read(path: str | os.PathLike) -> Annotation:
    """Read one annotation, as written: nothing is repaired or judged here.

    A coordinate that is missing or no number is NaN, a missing `<name>` is the label "", a missing or senseless
    `<size>` is None. Boxes are (xmin, ymin, xmax, ymax) in pixels as written. `<path>` and `<folder>` are not looked
    at: they say where the file was on another machine.

    Raises InputError (and nothing else) for a file that cannot be read, is empty, over 16 MB, wrongly encoded,
    malformed or not of this format; UnsafeAnnotationError for one with a DOCTYPE or entities.
    """
    path = os.fspath(path)
    data = read_bytes(path, MAX_BYTES)
    if not data or data.isspace():
        raise unreadable(path, "file", "an empty file", "Label the image anew, or remove the file.")
    root = safe_xml.parse(path, data, "annotation", "PASCAL VOC XML, whose root is <annotation>, is expected here.")
    top = _children(root)
    size = _children(top.get("size"))
    objects = [_children(child) for child in root if child.tag == "object"]
    return Annotation(
        file=path,
        filename=_text(top, "filename") or None,
        width=whole_number(_text(size, "width")),
        height=whole_number(_text(size, "height")),
        boxes=tuple(_box(_children(entry.get("bndbox"))) for entry in objects),
        labels=tuple(_text(entry, "name") for entry in objects),
        difficult=tuple(flag(_text(entry, "difficult")) for entry in objects),
        truncated=tuple(flag(_text(entry, "truncated")) for entry in objects),
    )


def _box(entry: dict[str, etree._Element]) -> tuple[float, float, float, float]:
    return tuple([number(_text(entry, side)) for side in _SIDES])


def _children(parent: etree._Element | None) -> dict[str, etree._Element]:
    """Return the first child of each name; one pass over them is several times faster than a search for each."""
    return {} if parent is None else {child.tag: child for child in reversed(parent)}


def _text(children: dict[str, etree._Element], tag: str) -> str:
    child = children.get(tag)
    # Asked for once: lxml makes it anew each time.
    text = None if child is None else child.text
    return "" if text is None else text.strip()
