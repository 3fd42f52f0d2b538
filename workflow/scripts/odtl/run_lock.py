"""One run at a time in a folder, and a way to tell a living run from one that was killed.

A run holds an exclusive lock (flock) on one file for as long as its process lives; the operating system lets go of it
however the process ends. So whoever gets the lock knows that the run before it is dead, and may clear away what that
has left: its lock files, and its files that were never finished. What the lock cannot tell is what goes on at another
machine whose file system keeps locks to itself: there, nothing is cleared away.

POSIX only: there is no flock on Windows.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from odtl import devices, running_jobs
from odtl.errors import InputError, Problem
from odtl.files import atomic_open
from odtl.running_jobs import LOCK_FILE, TRY_SECONDS, machine

# A first look at a large data set on a slow disk takes minutes.
PATIENCE_SECONDS = 600.0
# As `files.atomic_open`, `files.atomic_folder`, `download.download`, `fetching.storing` and TensorFlow's checkpoints
# name what is not finished yet.
UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}\.(tmp|part)|ckpt(-\d+)?_temp")
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}

Report = Callable[[str], None]


@dataclass(frozen=True)
class Owner:
    """Who took the lock: process id, host name, the machine as `running_jobs.machine` tells it, and since when."""

    pid: int
    host: str
    machine: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, started {self.since}"


@dataclass(frozen=True)
class RunLock:
    """What came of taking the lock.

    held:  whether this process has the folder to itself, for as long as it lives or until `release`.
    owner: who has it, or may have it, if this process has not; None where that cannot be told.
    """

    held: bool
    owner: Owner | None = None
    descriptor: int | None = None

    def release(self) -> None:
        """Let go of the folder."""
        if self.descriptor is not None:
            running_jobs.close(self.descriptor)

    def check(self) -> None:
        """Raise InputError unless this process has the folder to itself."""
        if not self.held:
            cure = "Two runs would overwrite each other's files: wait until it has ended, or end it; then run again."
            raise InputError(Problem(os.getcwd(), "run", f"another one: {_name(self.owner)}", cure), "Not started")


def take(
    folder: str | os.PathLike,
    scheduler: str | os.PathLike,
    results: str | os.PathLike,
    patience: float = PATIENCE_SECONDS,
    report: Report | None = None,
) -> RunLock:
    """Take the lock for the life of this process, and clear away what a killed run has left.

    folder:    where the lock and the signs of running jobs are kept.
    scheduler: Snakemake's own folder. A file `locks/*.lock` in it says that a run has got to its jobs; a dead run's are
               removed. What lies in `backups` is a copy, under the same path, of a file that a job was to extend.
    results:   what is searched for files that a killed job did not finish; they are removed.
    patience:  how long to wait, in seconds, for another process that only looks at the data, and for jobs that have
               outlived their run.
    report:    called with a line on what is waited for or cleared away; by default it is printed to stderr.

    Where another run has the folder, this returns at once, with a word: there is nothing to wait for but its end.
    Raises InputError where the other process, or jobs of a killed run, do not end in time.
    """
    report = report or _print
    folder, scheduler = Path(folder), Path(scheduler)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    running_jobs.close_in_forks(descriptor)
    lock = None
    try:
        lock = _decide(descriptor, folder, scheduler / "locks", patience, report)
        if lock.descriptor is not None:
            _clear(folder, Path(results), scheduler)
        return lock
    finally:
        if lock is None or lock.descriptor is None:
            running_jobs.close(descriptor)


def _decide(descriptor: int, folder: Path, locks: Path, patience: float, report: Report) -> RunLock:
    """Get the lock and the end of all jobs that are left from a dead run, or say who else has the folder."""
    try:
        got = _wait(descriptor, folder / LOCK_FILE, locks, patience, report)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        report(f"{folder}: this file system cannot lock files, so two runs at once in this folder go unnoticed.")
        if held := not _started(locks):
            # Jobs of an earlier run go by it (`running_jobs`), without any lock.
            _write(descriptor)
        return RunLock(held)
    before = _read(descriptor)
    if not got:
        report(
            f"Another run is at work in this folder: {_name(before)}. Two at once would overwrite each other's files: "
            "wait until it has ended, or end it (Ctrl-C where it runs); it is alive, so do not unlock."
        )
        return RunLock(False, before)
    if _started(locks) and not _can_be_seen(before):
        report(
            f"The last run in this folder has left its lock: {_name(before)}. Whether it still runs cannot be seen "
            "from here. If you are sure that it does not: snakemake --unlock"
        )
        return RunLock(False, before)
    if _started(locks):
        report(f"The last run was cut short ({_name(before)}): this one goes on from there.")
    _write(descriptor)
    running_jobs.wait_for_all(folder, patience, report)
    return RunLock(True, descriptor=descriptor)


def _can_be_seen(owner: Owner | None) -> bool:
    """Say whether a lock of this owner would be seen here: one of this kernel, or of this host before it booted."""
    return owner is not None and (owner.machine == machine() or owner.host == socket.gethostname())


def _wait(descriptor: int, path: Path, locks: Path, patience: float, report: Report) -> bool:
    """Wait for the lock; say whether it was got (else a run that has started jobs has it)."""
    deadline, told = time.monotonic() + patience, False
    while not _try(descriptor):
        if _started(locks):
            return False
        if time.monotonic() > deadline:
            cure = f"It has been at work for more than {patience:.0f} s: wait until it has ended, or end it."
            raise InputError(Problem(str(path), "lock", _name(_read(descriptor)), cure), "Not started")
        if not told:
            report(f"Waiting for {_name(_read(descriptor))}, which is at work in this folder.")
            told = True
        time.sleep(TRY_SECONDS)
    return True


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _started(locks: Path) -> bool:
    return any(locks.glob("*.lock"))


def _read(descriptor: int) -> Owner | None:
    with contextlib.suppress(ValueError, TypeError):
        return Owner(**json.loads(os.pread(descriptor, 10_000, 0)))
    return None


def _write(descriptor: int) -> None:
    owner = Owner(os.getpid(), socket.gethostname(), machine(), time.strftime("%Y-%m-%d %H:%M:%S"))
    # Blanks, so that a longer text from before has no end that is left over.
    os.pwrite(descriptor, json.dumps(asdict(owner)).ljust(1000).encode(), 0)


def _name(owner: Owner | None) -> str:
    return str(owner) if owner else "a process that has not told its name"


def _clear(folder: Path, results: Path, scheduler: Path) -> None:
    for path in (scheduler / "locks").glob("*.lock"):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / devices.FOLDER, ignore_errors=True)
    for copy in (scheduler / "backups").rglob("*"):
        if copy.is_file():
            _mend(copy.relative_to(scheduler / "backups"), copy)
    for path in [*_unfinished(results), *_unfinished(folder)]:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _mend(path: Path, copy: Path) -> None:
    """Put a copy back in the place of a file that is the beginning of it: a kill cut short the putting back."""
    if path.is_file():
        now, before = path.read_bytes(), copy.read_bytes()
        if len(now) < len(before) and before.startswith(now):
            with atomic_open(path, "wb") as stream:
                stream.write(before)


def _unfinished(folder: Path) -> list[Path]:
    found = []
    for parent, folders, files in os.walk(folder):
        here = [name for name in [*folders, *files] if UNFINISHED.fullmatch(name)]
        found += [Path(parent) / name for name in here]
        folders[:] = [name for name in folders if name not in here]
    return found


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
