"""Files that annotate many images, or list them: what they hold, kept from one run to the next; what changed in it."""

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from odtl import scratch
from odtl.annotations.formats import FORMATS
from odtl.errors import InputError, Problem
from odtl.file_cache import Key, is_settled, key_of
from odtl.inventory import reading
from odtl.inventory.folders import File
from odtl.inventory.listing import HEADLINE, Source
from odtl.inventory.paths import root_of, slashes
from odtl.inventory.reading import EXTRA
from odtl.sources import code_digest

_VERSION = "table 2"

# From a file's path to what it holds (see `reading.tabled`).
Tables = Mapping[str, Mapping]


def tables_of(source: Source) -> Iterator[tuple[str, str | None, File]]:
    """Yield (kind, split that the configuration gives, file) of each such file of a source."""
    if not source.per_image:
        for split, files in source.annotations:
            yield from ((source.format, split, file) for file in files)
    yield from (("urls", None, file) for file in source.urls)


def read_tables(sources: Sequence[Source], cache: Path | None, started: int) -> dict[str, Mapping]:
    """Return what all of them hold; each is parsed only where it has changed.

    cache:   folder to keep that in, None for nowhere.
    started: when the sources were listed (ns since the epoch): what a file held that was young then is not kept.

    Raises InputError with all that is wrong with those that cannot be read at all.
    """
    tables: dict[str, Mapping] = {}
    problems: list[Problem] = []
    for source in sources:
        for kind, _, (_, path, key) in tables_of(source):
            keys = _keys(kind, path, key)
            if (kept := _kept(kind, path, keys, cache)) is not None:
                tables[path] = kept
                continue
            try:
                tables[path] = reading.read_table(kind, path)
            except InputError as error:
                problems += error.problems
            else:
                if cache is not None and all(is_settled(each, started) for each in keys if each is not None):
                    scratch.save(_place(cache, kind, path), _version(), [path, keys, tables[path]])
    if problems:
        raise InputError(problems, HEADLINE)
    return tables


def kept_table(kind: str, path: str, key: Key, cache: Path | None) -> Mapping | None:
    """Return what a file held when it had this key, if that is still known."""
    return _kept(kind, path, _keys(kind, path, key), cache)


def changed_names(before: Mapping, now: Mapping) -> set[str]:
    """Return what tells each image that two versions of a file do not say the same of: `root_of` its name, and what it
    is called where it is no file.
    """
    names = set()
    for part in ("annotations", "problems"):
        one, other = before[part], now[part]
        names |= {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    packed = (table["annotations"].get(name) for table in (before, now) for name in names)
    called = {entry[EXTRA]["called"] for entry in packed if entry is not None and "called" in entry[EXTRA]}
    return called | {root_of(slashes(name)) for name in names}


def stated_splits(source: Source, tables: Tables) -> set[str]:
    """Return the splits that the files of a source state for some image."""
    if source.split != "from_folders":
        return set()
    entries = (entry for _, _, file in tables_of(source) for entry in tables[file[1]]["annotations"].values())
    return {entry[EXTRA]["split"] for entry in entries if "split" in entry[EXTRA]}


def _kept(kind: str, path: str, keys: tuple[Key, Key], cache: Path | None) -> Mapping | None:
    content = None if cache is None or keys[0] is None else scratch.load(_place(cache, kind, path), _version())
    return content[2] if content is not None and content[0] == path and content[1] == keys else None


def _keys(kind: str, path: str, key: Key) -> tuple[Key, Key]:
    also = FORMATS[kind].also
    return key, key_of(os.path.join(os.path.dirname(path), also)) if also else None


def _version() -> str:
    return f"{_VERSION} {code_digest('inventory.reading')}"


def _place(cache: Path, kind: str, path: str) -> Path:
    return cache / f"table-{kind}-{zlib.crc32(path.encode('utf-8', 'surrogatepass')):08x}"
