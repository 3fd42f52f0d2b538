"""JSON from anywhere, as a document or a line each (NDJSON), and what its values mean where any type may stand.

Format: RFC 8259, https://www.rfc-editor.org/rfc/rfc8259; one document per line: https://github.com/ndjson/ndjson-spec.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping

import orjson

from odtl.annotations.source_file import unreadable as unreadable
from odtl.annotations.values import number as decimal
from odtl.errors import InputError
from odtl.files import open_regular

MAX_BYTES = 2 * 2**30
# The standard library takes several times as long and as much memory.
MAX_SLOW_BYTES = 256 * 2**20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NAN = float("nan")
_LITERAL = re.compile(rb"NaN|Infinity")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CURE = "Well-formed JSON in UTF-8 is expected; export the file again, or restore it."
_EMPTY: Mapping[str, object] = {}


def read_bytes(path: str | os.PathLike, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of a JSON file, without a byte order mark.

    Raises InputError for a file that cannot be opened, is no regular file, is empty or larger than `max_bytes`.
    """
    path = os.fspath(path)
    try:
        with open_regular(path, "rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            data = b"" if size > max_bytes else stream.read()
    except (OSError, ValueError) as error:
        raise unreadable(path, "file", str(error), "Make the file readable, or remove it.") from error
    if size > max_bytes:
        found = f"{size:,} bytes, over the limit of {max_bytes // 2**20:,} MB"
        raise unreadable(path, "file", found, "Export it in several files and name all of them.")
    data = data.removeprefix(_BYTE_ORDER_MARK)
    if not data or data.isspace():
        raise unreadable(path, "file", "an empty file", "Export it anew, or remove the file.")
    return data


def parse(path: str, data: bytes, first_line: int = 1) -> object:
    """Return what a JSON document holds; NaN, Infinity and -Infinity, which Python's json module writes, are numbers.

    path, first_line: where it stands, for what is said of it.

    Raises InputError for one that is malformed, is not UTF-8, or is nested deeper than a parser can follow.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        cause = error
    if len(data) <= MAX_SLOW_BYTES and _LITERAL.search(data):
        try:
            value = json.loads(data.decode("utf-8"), parse_int=_integer)
            if _ESCAPED_SURROGATE.search(data) and _holds_surrogate(value):
                raise ValueError("half of an escaped surrogate pair in a string")
            return value
        except json.JSONDecodeError as error:
            cause = error
        except (ValueError, RecursionError) as error:
            raise unreadable(path, f"line {first_line}", f"malformed JSON ({_message(error)})", _CURE) from error
    place = f"line {cause.lineno + first_line - 1}, column {cause.colno}"
    raise unreadable(path, place, f"malformed JSON ({_message(cause)})", _CURE) from cause


def read_json(path: str | os.PathLike, max_bytes: int = MAX_BYTES) -> object:
    """Return what a JSON file holds; raises InputError as `read_bytes` and `parse` do."""
    return parse(os.fspath(path), read_bytes(path, max_bytes))


def parse_lines(path: str, data: bytes) -> Iterator[tuple[int, object | InputError]]:
    """Yield (number of the line, what it holds) for each line that is not blank; an InputError for a malformed one."""
    for line, text in enumerate(data.split(b"\n"), 1):
        if text and not text.isspace():
            try:
                yield line, parse(path, text, line)
            except InputError as error:
                yield line, error


def mapping(value: object) -> Mapping[str, object]:
    """Return an object, or an empty one where something else stands."""
    return value if isinstance(value, dict) else _EMPTY


def sequence(value: object) -> list:
    """Return a list, or an empty one where something else stands."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """Return a string or a number as text, stripped of outer white space; "" where something else stands."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def number(value: object) -> float:
    """Return a number, or what text says of one, as float; NaN where something else stands or it has no float."""
    if isinstance(value, str):
        return decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NAN
    try:
        return float(value)
    except OverflowError:
        return _NAN


def whole_number(value: object) -> int | None:
    """Return the positive whole number that a value is or says (640, 640.0, "640"), else None."""
    if type(value) is int and 0 < value < 2**31:
        return value
    found = number(value)
    return int(found) if 0 < found < 2**31 and found == int(found) else None


def flag(value: object) -> bool:
    """Return whether a value says yes: true, a number that is not 0, "1", "true" or "yes"."""
    if isinstance(value, str):
        return value.strip().lower() in ("1", "1.0", "true", "yes")
    return isinstance(value, int | float) and value != 0 and not math.isnan(value) if value else False


def place_of(kind: str, index: int, entry: object) -> str:
    """Return where an entry of a list stands, for a person: by its id where it has one.

    Its position is another one whenever an entry is put in front of it, and so would be what is said of its image.
    Where no image is known, only the position tells it from all others.
    """
    name = text(mapping(entry).get("id"))
    return f"{kind}[id {name[:60]}]" if name else f"{kind}[{index}]"


def in_brief(value: object) -> str:
    """Return what stands somewhere, in a few words for a person."""
    match value:
        case dict():
            return f"an object of {len(value)} key(s)"
        case list():
            return f"a list of {len(value)}"
        case str():
            return repr(value if len(value) <= 60 else f"{value[:60]}...")
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
    return str(value)[:60]


def _message(error: Exception) -> str:
    # The place is the problem's field already.
    what = re.sub(r": line [0-9]+ column [0-9]+ \(char [0-9]+\)$", "", " ".join(str(error).split()))
    return what[:200] or type(error).__name__


def _integer(digits: str) -> int:
    number_ = int(digits)
    if len(digits) > 300:
        # As orjson has it.
        raise ValueError("a number that is too large for a float")
    return number_


def _holds_surrogate(value: object) -> bool:
    """Return whether any text in a value cannot be written as UTF-8, as half of an escaped pair cannot."""
    waiting = [value]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            waiting += entry.keys()
            waiting += entry.values()
        elif isinstance(entry, list):
            waiting += entry
        elif isinstance(entry, str) and not entry.isascii() and any("\ud800" <= letter <= "\udfff" for letter in entry):
            return True
    return False
