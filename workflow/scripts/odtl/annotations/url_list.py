"""Lists of images' addresses: a CSV with one URL per row, as image searches and people write it.

The header names the columns, in any order and case: `url` (or `Image_Urls`, as a widespread search script has it), and
where they are there `license` (or `licence`), `source`, `split` and `class`. The last is of the whole image, and goes
into the ledger of what was fetched: what is in an image is what its annotation says. Other columns are for people. A
plain list of URLs needs no header.
"""

import csv
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from odtl.annotations.model import Annotation, Origin, Table, TableProblem
from odtl.errors import InputError, Problem
from odtl.files import open_regular
from odtl.origins import shown_url
from odtl.split import split_named

_URL_COLUMNS = ("url", "image_urls")
_SAME_AS = {"licence": "license"}
_HEADER_CURE = "A UTF-8 table with a column `url` is expected, one address per row."
_URL_CURE = "Give the address of an image, such as https://example.org/a.jpg, or remove the row."


def read(path: str | os.PathLike) -> Table:
    """Read a list: for each address an annotation without boxes, with `origin` and `split`, in the order of the rows.

    A row without an http or https address, or with a split that is none, is left out and reported; so is one whose
    address stands in an earlier row. Row numbers in problems are lines of the file, the first being row 1. Empty rows
    are no rows.

    Raises InputError for a table that cannot be read at all: no such file, no such column, wrong encoding.
    """
    path = os.fspath(path)
    annotations: dict[str, Annotation] = {}
    problems: list[TableProblem] = []
    first_rows: dict[str, int] = {}

    def leave_out(line: int, reason: str, found: str, cure: str) -> None:
        problems.append(TableProblem("", reason, Problem(path, f"row {line}", found, cure)))

    for line, row in _rows(path):
        url, split = row.get("url", ""), row.get("split", "")
        if None in row:
            leave_out(line, "row_unreadable", "more columns than the header has", "Quote a value that holds a comma.")
        elif wrong := _what_is_wrong(url):
            leave_out(line, "row_unreadable", wrong, _URL_CURE)
        elif split and split_named(split) is None:
            leave_out(line, "row_unreadable", f"the split {split[:40]!r}", "A split is train, val or test, or empty.")
        elif url in annotations:
            found = f"an address that row {first_rows[url]} has, too"
            leave_out(line, "row_repeated", found, "The image is used once, as that row says.")
        else:
            first_rows[url] = line
            origin = Origin(url, row.get("license", ""), row.get("source", ""), label=row.get("class", ""))
            annotations[url] = Annotation(path, split=split_named(split), origin=origin)
    return Table(annotations, tuple(problems))


def _rows(path: str) -> Iterator[tuple[int, dict[str | None, str]]]:
    """Yield line number and cells of each row that is not empty, by column; what has no column is under None."""
    line, names = 1, None
    try:
        # utf-8-sig: spreadsheet programs put a byte order mark in front.
        with open_regular(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True, skipinitialspace=True)
            for cells in reader:
                line = reader.line_num
                cells = [cell.strip() for cell in cells]
                if not any(cells):
                    continue
                if names is None:
                    names = _columns(path, cells)
                    if names is not None:
                        continue
                    names = ["url"]
                if len(names) == 1:
                    # A comma in an address, which nobody has quoted.
                    cells = [",".join(cells).rstrip(",")]
                row: dict[str | None, str] = dict(zip(names, cells, strict=False))
                yield line, row | {None: extra} if (extra := "".join(cells[len(names) :])) else row
        if names is None:
            raise InputError(Problem(path, "header", "nothing", _HEADER_CURE), "a list of addresses cannot be read")
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"after row {line}", f"bytes that are no UTF-8 ({error.reason})") from error
    except csv.Error as error:
        raise _unreadable(path, f"after row {line}", str(error)) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, "file", str(error)) from error


def _columns(path: str, cells: list[str]) -> list[str] | None:
    """Return the columns that a header names; None where the first row is an address already."""
    names = [_SAME_AS.get(cell.lower(), cell.lower()) for cell in cells]
    urls = [name for name in names if name in _URL_COLUMNS]
    if not urls and len(cells) == 1 and not _what_is_wrong(cells[0]):
        return None
    known = [name for name in names if name in (*_URL_COLUMNS, "license", "source", "split", "class")]
    if len(urls) != 1 or len(set(known)) != len(known):
        raise _unreadable(path, "header", ",".join(cells)[:200])
    return ["url" if name == urls[0] else name for name in names]


def _what_is_wrong(url: str) -> str:
    """Return why an image cannot be fetched from this address, or ""."""
    if not url:
        return "no address"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
        parts = None
    if parts is not None and parts.scheme and parts.scheme not in ("http", "https") and ":" in url:
        return f"an address of the scheme {parts.scheme[:20]!r}"
    if not host or parts.scheme == "" or any(ord(letter) < 32 for letter in url):
        return f"no web address ({shown_url(url)[:100]!r})"
    return ""


def _unreadable(path: str, field: str, found: str) -> InputError:
    return InputError(Problem(path, field, found, _HEADER_CURE), "a list of addresses cannot be read")
