"""A clock that can be put forward, and that stamps files in coarse ticks: hours of edits in a moment, without sleeping.

Not simulated are the stamps themselves: which operation changes which of a file's times is for the real file system to
say. Its stamps are only read through this clock, and so is the time of day.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

NS = 10**9
_time_ns, _scandir = time.time_ns, os.scandir


class Clock:
    """The real clock with leaps.

    tick: seconds; stamps of files are rounded down to it. Linux has 1 to 10 ms, some file systems a second.
    """

    def __init__(self, scratch: Path, tick: float) -> None:
        self._scratch = scratch / "tick"
        self._tick = max(1, int(tick * NS))
        self._leaps: list[tuple[int, int]] = []

    def leap(self, seconds: float) -> None:
        """Put the clock forward: what is done from now on is so much later than what was done before."""
        now = _time_ns()
        self._leaps.append((now, int(seconds * NS)))
        # The kernel's stamps lag behind its clock: wait for those after the leap.
        while self._scratch.write_bytes(b"") is None or os.stat(self._scratch).st_ctime_ns <= now:
            pass

    def virtual(self, real: int) -> int:
        """Return what this clock said at a time of the real one; both in nanoseconds since the epoch."""
        return real + sum(seconds for at, seconds in self._leaps if at < real)

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Let the block see the time of day and the stamps of files by this clock."""
        patches = {name: self._stamped(getattr(os, name)) for name in ("stat", "lstat", "fstat")}
        with (
            mock.patch.object(time, "time_ns", lambda: self.virtual(_time_ns())),
            mock.patch.object(time, "time", lambda: self.virtual(_time_ns()) / NS),
            mock.patch.multiple(os, **patches, scandir=lambda *arguments: _Entries(self, _scandir(*arguments))),
        ):
            yield

    def _stamped(self, stat):
        return lambda *arguments, **options: self.stamped(stat(*arguments, **options))

    def stamped(self, status: os.stat_result) -> os.stat_result:
        """Return a status with its stamps by this clock."""
        modified, changed = (
            self.virtual(stamp) // self._tick * self._tick for stamp in (status.st_mtime_ns, status.st_ctime_ns)
        )
        stamps = {"st_mtime_ns": modified, "st_ctime_ns": changed, "st_mtime": modified / NS, "st_ctime": changed / NS}
        return os.stat_result(
            (*status[:8], modified // NS, changed // NS), {"st_atime_ns": status.st_atime_ns, **stamps}
        )


class _Entries:
    def __init__(self, clock: Clock, entries) -> None:
        self._clock, self._entries = clock, entries

    def __iter__(self):
        return self

    def __next__(self):
        return _Entry(self._clock, next(self._entries))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self._entries.close()


class _Entry:
    def __init__(self, clock: Clock, entry: os.DirEntry) -> None:
        self._clock, self._entry = clock, entry

    def __getattr__(self, name: str):
        return getattr(self._entry, name)

    def __fspath__(self) -> str:
        return self._entry.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return self._clock.stamped(self._entry.stat(follow_symlinks=follow_symlinks))
