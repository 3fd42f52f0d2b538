"""PASCAL VOC XML as LabelImg and its relatives write it.

Format: the PASCAL VOC development kit, section "Annotation", http://host.robots.ox.ac.uk/pascal/VOC/; one file per
image, `<annotation>` with `<filename>`, `<size>` and one `<object>` per box.
"""

import os
import re

from lxml import etree

from odtl.annotations.model import Annotation
from odtl.errors import InputError, Problem
from odtl.files import open_regular

MAX_BYTES = 16 * 2**20
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NAN = float("nan")


class UnsafeAnnotationError(InputError):
    """The file declares a document type or entities, through which XML can read other files or fill the memory."""


def read(path: str | os.PathLike) -> Annotation:
    """Read one annotation, as written: nothing is repaired or judged here.

    A coordinate that is missing or no number is NaN, a missing `<name>` is the label "", a missing or senseless
    `<size>` is None. Boxes are (xmin, ymin, xmax, ymax) in pixels as written. `<path>` and `<folder>` are not looked
    at: they say where the file was on another machine.

    Raises InputError (and nothing else) for a file that cannot be read, is empty, over 16 MB, wrongly encoded,
    malformed or not of this format; UnsafeAnnotationError for one with a DOCTYPE or entities.
    """
    path = os.fspath(path)
    root = _parse(path, _read_bytes(path))
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


def number(text: str) -> float:
    """Return the decimal number that `text` is, else NaN."""
    text = text.strip()
    if len(text) < 16 and text.isascii() and text.isdigit():
        return float(text)
    # float() alone would also take "1_000", "nan" and "infinity".
    return float(text) if len(text) <= 400 and _NUMBER.fullmatch(text) else _NAN


def whole_number(text: str) -> int | None:
    """Return the positive whole number that `text` is ("640", "640.0"), else None."""
    value = number(text)
    return int(value) if 0 < value < 2**31 and value == int(value) else None


def flag(text: str) -> bool:
    """Return whether `text` says yes ("1", "true", "yes")."""
    return text.strip().lower() in ("1", "1.0", "true", "yes")


def _read_bytes(path: str) -> bytes:
    try:
        with open_regular(path, "rb", buffering=0) as stream:
            # A limit given to read() would be set aside in memory each time.
            too_large = os.fstat(stream.fileno()).st_size > MAX_BYTES
            data = b"" if too_large else stream.read()
    except (OSError, ValueError) as error:
        raise _error(path, "file", str(error), "Make the file readable, or remove it.") from error
    if not too_large and (not data or data.isspace()):
        raise _error(path, "file", "an empty file", "Label the image anew, or remove the file.")
    if too_large:
        raise _error(path, "file", f"more than {MAX_BYTES // 2**20} MB", "One annotation per image is expected.")
    return data


def _parse(path: str, data: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, LookupError, ValueError) as error:
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            raise _unsafe(path) from error
        line, column = getattr(error, "position", None) or (1, 1)
        what = " ".join(str(getattr(error, "msg", None) or error).split())
        # The place is the problem's field already.
        found = f"malformed XML ({re.sub(r', line [0-9]+, column [0-9]+$', '', what)[:200] or 'none at all'})"
        cure = "Well-formed XML is expected; save the file again in the labelling tool, or restore it."
        raise _error(path, f"line {line}, column {column}", found, cure) from error
    document = root.getroottree().docinfo
    if document.doctype or document.internalDTD is not None:
        raise _unsafe(path)
    if root.tag != "annotation":
        found = f"<{str(root.tag)[:100]}>"
        raise _error(path, "root element", found, "PASCAL VOC XML, whose root is <annotation>, is expected here.")
    return root


def _box(entry: dict[str, etree._Element]) -> tuple[float, float, float, float]:
    return tuple(number(_text(entry, side)) for side in ("xmin", "ymin", "xmax", "ymax"))


def _children(parent: etree._Element | None) -> dict[str, etree._Element]:
    """Return the first child of each name; one pass over them is several times faster than a search for each."""
    return {} if parent is None else {child.tag: child for child in reversed(parent)}


def _text(children: dict[str, etree._Element], tag: str) -> str:
    child = children.get(tag)
    return "" if child is None or child.text is None else child.text.strip()


def _error(path: str, field: str, found: str, cure: str) -> InputError:
    return InputError(Problem(path, field, found, cure), "an annotation cannot be read")


def _unsafe(path: str) -> InputError:
    cure = "Remove the <!DOCTYPE ...> and its entities: labelling tools write none, and they can read other files."
    return UnsafeAnnotationError(Problem(path, "DOCTYPE", "a document type or entity declaration", cure))
