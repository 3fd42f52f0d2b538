"""XML from anywhere, with all that makes XML dangerous switched off or refused: for every format that is XML."""

import os
import re
from collections.abc import Mapping
from typing import Protocol

from lxml import etree

from odtl.annotations.source_file import unreadable
from odtl.errors import InputError, Problem
from odtl.files import open_regular

_OPTIONS = {
    "resolve_entities": False,
    "no_network": True,
    "huge_tree": False,
    "load_dtd": False,
    "dtd_validation": False,
    "attribute_defaults": False,
    "remove_comments": True,
    "remove_pis": True,
}
_CHUNK = 2**16


class UnsafeAnnotationError(InputError):
    """The file declares a document type or entities, through which XML can read other files or fill the memory."""


class Target(Protocol):
    """What `stream` tells of each element, as it comes; `start` and `end` may raise InputError."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None: ...

    def end(self, tag: str) -> None: ...

    def data(self, text: str) -> None: ...


def parse(path: str, data: bytes, root_tag: str, expected: str) -> etree._Element:
    """Return the root element of a document that is held in memory.

    root_tag, expected: what the root must be, and a sentence that says so.

    Raises InputError where it is malformed, wrongly encoded or has another root; UnsafeAnnotationError where it has a
    DOCTYPE or entities.
    """
    try:
        root = etree.fromstring(data, etree.XMLParser(**_OPTIONS))
    except (etree.LxmlError, LookupError, ValueError) as error:
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            raise _unsafe(path) from error
        raise _malformed(path, error) from error
    document = root.getroottree().docinfo
    if document.doctype or document.internalDTD is not None:
        raise _unsafe(path)
    if root.tag != root_tag:
        raise unreadable(path, "root element", f"<{str(root.tag)[:100]}>", expected)
    return root


def stream(path: str, target: Target, root_tag: str, expected: str, max_bytes: int) -> None:
    """Tell a target what a document holds, element by element: the memory needed is that of one.

    root_tag, expected, and what is raised: as in `parse`; also InputError for a file that cannot be opened, is empty or
    larger than `max_bytes`. A DOCTYPE is refused where it begins, before anything it declares is looked at.
    """
    parser = etree.XMLParser(target=_Guard(path, target, root_tag, expected), **_OPTIONS)
    try:
        with open_regular(path, "rb", buffering=0) as source:
            if (size := os.fstat(source.fileno()).st_size) > max_bytes:
                found = f"{size:,} bytes, over the limit of {max_bytes // 2**20:,} MB"
                raise unreadable(path, "file", found, "Export it in several parts.")
            if size == 0:
                raise unreadable(path, "file", "an empty file", "Export it anew, or remove the file.")
            while chunk := source.read(_CHUNK):
                parser.feed(chunk)
        parser.close()
    except (etree.LxmlError, LookupError) as error:
        raise _malformed(path, error) from error
    except (OSError, ValueError) as error:
        raise unreadable(path, "file", str(error), "Make the file readable, or remove it.") from error


class _Guard:
    """Passes on what is below the right root, and nothing of a document that declares its type."""

    def __init__(self, path: str, target: Target, root_tag: str, expected: str) -> None:
        self._path, self._root_tag, self._expected = path, root_tag, expected
        self._target = target
        self._checked = False
        self.end, self.data = target.end, target.data

    def doctype(self, _name: str, _public: str, _system: str) -> None:
        raise _unsafe(self._path)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if not self._checked and tag != self._root_tag:
            raise unreadable(self._path, "root element", f"<{tag[:100]}>", self._expected)
        self._checked = True
        self._target.start(tag, attributes)

    def close(self) -> None:
        pass


def _malformed(path: str, error: Exception) -> InputError:
    line, column = getattr(error, "position", None) or (1, 1)
    what = " ".join(str(getattr(error, "msg", None) or error).split())
    # The place is the problem's field already.
    found = f"malformed XML ({re.sub(r', line [0-9]+, column [0-9]+$', '', what)[:200] or 'none at all'})"
    cure = "Well-formed XML is expected; save the file again in the labelling tool, or restore it."
    if getattr(error, "code", None) == etree.ErrorTypes.ERR_UNSUPPORTED_ENCODING:
        name = re.sub(r", line .*|^[^:]*: *", "", what)[:100]
        found = f"an encoding whose name is unknown: {name}"
        cure = "Write it in the first line as XML has it: UTF-8 or ISO-8859-1, for example, and not latin-1."
    return unreadable(path, f"line {line}, column {column}", found, cure)


def _unsafe(path: str) -> InputError:
    cure = "Remove the <!DOCTYPE ...> and its entities: labelling tools write none, and they can read other files."
    return UnsafeAnnotationError(Problem(path, "DOCTYPE", "a document type or entity declaration", cure))
