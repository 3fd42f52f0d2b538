"""Which images a stage looks at: a small CSV, so that a changed, added or removed image makes the stage run again."""

import csv
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TypeVar

from odtl import scratch
from odtl.detecting.inputs import Inputs, find_inputs, is_video, read_cached
from odtl.fetching.ledger import read_ledgers
from odtl.file_cache import key_of
from odtl.files import CHANGED_MEANWHILE, read_checked, sha256_of, write_text_if_changed
from odtl.manifest import iterate_manifest
from odtl.sources import code_digest

COLUMNS = ("name", "path", "sha256")
T = TypeVar("T")


@dataclass(frozen=True)
class Listed:
    """One image: what it is called in results, where it is, and the SHA-256 (hex) of its bytes ("": unreadable)."""

    name: str
    path: str
    sha256: str


def list_inputs(inputs: Inputs, limit: int | None = None, cache_path: str | os.PathLike | None = None) -> list[Listed]:
    """List the images and videos that inputs stand for (see `find_inputs`); at most `limit` images.

    cache_path: where to keep what was read, so that only new and changed files are read the next time; None: nowhere.
                What is known of files without a known ending is beside it, in `{cache_path}.kinds`.

    Raises InputError if one of the inputs is not there.
    """
    found = find_inputs(inputs, cache_path=cache_path and f"{os.fspath(cache_path)}.kinds")
    files = limited(found, limit)
    digests = read_cached(files.values(), _digest, cache_path)
    return [Listed(name, path.as_posix(), digests[os.fspath(path)]) for name, path in files.items()]


def list_manifests(manifests: Sequence[str | os.PathLike], limit: int | None = None) -> list[Listed]:
    """List the images of an inventory's manifests, by id; at most `limit`, evenly spread.

    An image that is to be fetched has neither path nor sum yet: see `with_fetched`.
    """
    lines = [
        line for path in manifests for line in iterate_manifest(path) if (line.image and line.sha256) or line.origin
    ]
    listed = [Listed(line.id, line.image or "", line.sha256 or "") for line in lines]
    return spread(sorted(listed, key=lambda entry: entry.name), limit)


def write_listing(entries: Sequence[Listed], path: str | os.PathLike) -> None:
    """Write a listing; a file that holds just that already is left alone."""
    rows = [COLUMNS, *map(astuple, entries)]
    text = "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in rows)
    write_text_if_changed(path, text)


def refresh_listing(
    path: str | os.PathLike, mark: object, make: Callable[[], Sequence[Listed]], cache_path: str | os.PathLike
) -> None:
    """Write the listing that `make` returns, unless the one that is there was made under the same mark.

    mark:       of all that the listing depends on: numbers, strings, and lists, tuples and dicts of these.
    cache_path: where to keep the mark.
    """
    version, known = code_digest("listing"), scratch.load(cache_path, "listing 1")
    if known is not None and known == (version, mark, key_of(path)):
        return
    write_listing(make(), path)
    scratch.save(cache_path, "listing 1", (version, mark, key_of(path)))


def read_listing(path: str | os.PathLike, sha256: str | None = None) -> dict[str, str]:
    """Return name -> path of a listing, in its order.

    sha256: what the digest of its bytes must be, else InputError; None: whatever it is.
    """
    with io.StringIO(read_checked(path, sha256, CHANGED_MEANWHILE), newline="") as stream:
        return {row["name"]: row["path"] for row in csv.DictReader(stream)}


def with_fetched(listing: Mapping[str, str], ledgers: Iterable[str | os.PathLike]) -> dict[str, str]:
    """Return a listing (name -> path) with the paths of what was fetched; images that could not be are left out.

    ledgers: of the shards that the images belong to.
    """
    rows = read_ledgers(ledgers)
    paths = {name: path or (rows[name].path if name in rows else "") for name, path in listing.items()}
    return {name: path for name, path in paths.items() if path}


def limited(files: Mapping[str, T], limit: int | None) -> dict[str, T]:
    """Return files (by name) with at most `limit` images, evenly spread, and all videos: who names one means it."""
    kept = set(spread([name for name in files if not is_video(name)], limit))
    return {name: path for name, path in files.items() if name in kept or is_video(name)}


def spread(entries: Sequence[T], limit: int | None) -> list[T]:
    """Return at most `limit` of the entries, evenly spread: the first ones alone are often all of one kind."""
    if limit is None or len(entries) <= limit:
        return list(entries)
    return [entries[index * len(entries) // limit] for index in range(limit)]


def _digest(path: str, _key: object) -> str:
    try:
        return sha256_of(path)
    except OSError:
        # One bad file must not cost all others: the detector skips it, with a word about it.
        return ""
