"""What files held when they were last read, so that only a new or changed one is read again.

A file counts as unchanged while its size, its times of modification and of status change, and its inode are the same. A
file may change twice within the resolution of its time stamps: what a young one held is not kept.
"""

import contextlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from odtl.errors import InputError, Problem
from odtl.files import atomic_open

YOUNG_NS = 2 * 10**9
PROGRESS_SECONDS = 5.0
CHUNK = 128

# size, mtime_ns, ctime_ns, inode; None for what is no regular file or cannot be looked at.
Key = tuple[int, int, int, int] | None
# From a file's path and key to what it holds, as JSON can keep it; or an InputError, which ends the reading.
Reader = Callable[[str, Key], object]
Report = Callable[[str], None]


@dataclass(frozen=True)
class FileCache:
    """Where to keep what files held.

    path:    the cache's file; None keeps nothing. A damaged one counts as empty.
    version: of the readers; what another version read is read anew.
    subject: what the files are for, as the lines of progress say it.
    report:  called with a line of progress now and then; None prints to stderr.
    """

    path: str | os.PathLike | None
    version: str
    subject: str
    report: Report | None = None


def stat_key(status: os.stat_result) -> Key:
    """Return the key of a file that was looked at; None if it is no regular file."""
    if not stat.S_ISREG(status.st_mode):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def key_of(path: str | os.PathLike) -> Key:
    """Return the key of a file as it is now; None if it is no regular file or cannot be looked at."""
    try:
        return stat_key(os.stat(path))
    except OSError:
        return None


def is_settled(key: Key, at: int) -> bool:
    """Say whether a file with this key was no longer young at a time (ns since the epoch)."""
    return key is not None and key[2] < at - YOUNG_NS


def read_files(
    files: Iterable[tuple[str, str, Key]], readers: Mapping[str, Reader], cache: FileCache
) -> dict[str, object]:
    """Return what each file holds, by path: read anew where the cache does not know it as it is now.

    files:   (kind, path, key as of now).
    readers: kind -> reader. They are called in threads.

    Afterwards the cache holds these files and no other. InputError: all that readers returned, of all files.
    """
    started = time.time_ns()
    old = _load(cache)
    entries: dict[str, list] = {}
    changed: list[tuple[str, str, Key]] = []
    for kind, path, key in files:
        entry = old.get(path)
        if entry is not None and entry[0] == key and key is not None:
            entries[path] = entry
        else:
            changed.append((kind, path, key))
    for path, key, value in _read_all(changed, readers, cache):
        entries[path] = [key, value]
    if changed or len(old) != len(entries):
        _save(cache, {path: entry for path, entry in entries.items() if is_settled(entry[0], started)})
    return {path: entry[1] for path, entry in entries.items()}


def _read_all(
    changed: Sequence[tuple[str, str, Key]], readers: Mapping[str, Reader], cache: FileCache
) -> Iterator[tuple[str, Key, object]]:
    def read_chunk(chunk: Sequence[tuple[str, str, Key]]) -> list[tuple[str, Key, object]]:
        return [(path, key, readers[kind](path, key)) for kind, path, key in chunk]

    if not changed:
        return
    report = cache.report or print_progress
    chunks = [changed[start : start + CHUNK] for start in range(0, len(changed), CHUNK)]
    begun = told = time.monotonic()
    done = 0
    problems: list[Problem] = []
    with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
        for results in pool.map(read_chunk, chunks):
            for path, key, value in results:
                if isinstance(value, InputError):
                    problems += value.problems
                else:
                    yield path, key, value
            done += len(results)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                left = (told - begun) / done * (len(changed) - done)
                report(
                    f"{cache.subject}: {done:,} of {len(changed):,} new or changed files read, about {left:.0f} s left"
                )
    if problems:
        raise InputError(problems, f"{cache.subject}: files that cannot be used as they are")


def _load(cache: FileCache) -> dict[str, list]:
    if cache.path is None:
        return {}
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        with open(cache.path, encoding="utf-8") as stream:
            content = json.load(stream)
        if content["version"] == cache.version:
            return {path: [tuple(key), value] for path, (key, value) in content["files"].items()}
    return {}


def _save(cache: FileCache, entries: Mapping[str, list]) -> None:
    if cache.path is not None:
        with atomic_open(cache.path) as stream:
            stream.write(json.dumps({"version": cache.version, "files": entries}, separators=(",", ":")))


def print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
