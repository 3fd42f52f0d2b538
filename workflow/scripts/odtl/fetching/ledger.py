"""The ledger of a shard's images from the network: one row for each, fetched or not."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from odtl.errors import InputError, Problem
from odtl.files import CHANGED_MEANWHILE, write_csv
from odtl.manifest import Line, LineProblem

FETCHED = "fetched"
FAILED = "failed"
# So many may fail whatever share of a job's images that is: a small shard must not stop a run over two dead links.
ALWAYS_BEARABLE = 3
_MOST_TOLD = 12


@dataclass(frozen=True)
class Row:
    """What became of one image.

    image:     its id.
    url:       where it was to be had; final_url: where it came from in the end. Both without name and password.
    status:    "fetched" or "failed".
    path:      its file; sha256 (hex), bytes, format: what that holds. "" and 0 where it failed.
    licence, source: as stated where the URL was; label: what the image was looked for as, likewise.
    error:     why it failed.
    same_as:   the first image of this ledger with the same bytes, or "".
    """

    image: str
    url: str
    status: str
    final_url: str = ""
    path: str = ""
    sha256: str = ""
    bytes: int = 0
    format: str = ""
    licence: str = ""
    source: str = ""
    error: str = ""
    same_as: str = ""
    label: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def write_ledger(path: str | os.PathLike, rows: Iterable[Row]) -> None:
    """Write a ledger as CSV, with its header even when it is empty."""
    write_csv(path, COLUMNS, ({**asdict(row), "bytes": row.bytes or None} for row in rows))


def read_ledger(path: str | os.PathLike) -> dict[str, Row]:
    """Return the rows of a ledger that `write_ledger` wrote, by image."""
    with open(path, encoding="utf-8", newline="") as stream:
        rows = (Row(**{**cells, "bytes": int(cells["bytes"] or 0)}) for cells in csv.DictReader(stream))
        return {row.image: row for row in rows}


def read_ledgers(paths: Iterable[str | os.PathLike]) -> dict[str, Row]:
    """Return the rows of several ledgers, by image."""
    return {image: row for path in paths for image, row in read_ledger(path).items()}


def as_fetched(line: Line, rows: Mapping[str, Row]) -> Line:
    """Return a manifest's line with what was fetched for it; a line of an image that is a file anyway as it is.

    Raises InputError where the ledger says nothing of an image: it is another data set's, or an older one.
    """
    if line.origin is None or line.image is not None:
        return line
    row = rows.get(line.id)
    if row is None:
        found = "no row in the ledger of what was fetched"
        raise InputError(Problem(line.id, "image", found, CHANGED_MEANWHILE), "An image was not asked for")
    if row.status == FETCHED:
        return line._replace(image=row.path, sha256=row.sha256)
    done = "left out. See docs/fetching.md for how to try again."
    problem = LineProblem("image_not_fetched", row.url, "image", row.error, done)
    return line._replace(problems=(*line.problems, problem))


def files_are_there(path: str | os.PathLike) -> bool:
    """Return whether each file that a ledger names is there with the size that it records: a look at each, no more."""
    with open(path, encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader)
        file, size = header.index("path"), header.index("bytes")
        try:
            return all(os.stat(cells[file]).st_size == int(cells[size]) for cells in reader if cells[file])
        except OSError:
            return False


def bearable(count: int, max_failed: float) -> float:
    """Return how many of so many images may fail: the share `max_failed`, but of few images up to three, if that is
    not more than half of them; none where the share is 0.
    """
    return max(max_failed * count, min(ALWAYS_BEARABLE, count // 2)) if max_failed else 0


def check_failures(rows: Sequence[Row], max_failed: float, failures_path: str | os.PathLike | None = None) -> None:
    """Raise InputError where more images have failed than is `bearable`.

    failures_path: where the rows of those that failed are then written, for a look; it is removed where all is well.
    """
    failed = [row for row in rows if row.status == FAILED]
    if len(failed) <= bearable(len(rows), max_failed):
        if failures_path is not None:
            Path(failures_path).unlink(missing_ok=True)
        return
    where_they_are = ""
    if failures_path is not None:
        write_ledger(failures_path, failed)
        where_they_are = f"{failures_path} has a row for each. "
    counts = Counter((_host(row.url), row.error) for row in failed).most_common()
    told = [f"{host}: {error} ({count} times)" for (host, error), count in counts[:_MOST_TOLD]]
    if left := sum(count for _, count in counts[_MOST_TOLD:]):
        told.append(f"others ({left} times)")
    cure = (
        f"{where_they_are}What was fetched is kept. Put right what is wrong, or wait, then run again: only what failed "
        "is asked for. "
        f"fetch.max_failed, {max_failed:g} now, is the share that a run goes on without."
    )
    where = f"{len(failed)} of {len(rows)} images"
    raise InputError(
        Problem("downloads", where, "\n      ".join(["", *told]), cure), "Too many images cannot be fetched"
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url[:100]
    except ValueError:
        return url[:100]
