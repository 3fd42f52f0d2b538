"""Jobs that end with their run: none works on when its run has been killed, and the next run can tell that.

A run announces itself to the jobs that it starts. Each job holds a lock (flock) on a file of its own, its sign, and
ends itself when its run has died. The operating system lets go of the lock however the job ends; so the next run knows
when all jobs of the last one are gone.

On a cluster, a job runs or waits on when the process that has submitted it dies, and cannot see that. What it can see
is the file in the shared folder that says which process has taken it: when that is another one, the job is of a run
that is no more, and ends itself, or does not begin.
"""

import contextlib
import fcntl
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from odtl.errors import InputError, Problem

JOBS = "jobs"
# In it, who has taken the folder: see `run_lock`.
LOCK_FILE = "run.lock"
TRY_SECONDS = 0.2
# How soon a job ends after its run; TensorFlow may keep Python waiting for some seconds more.
WATCH_SECONDS = 0.5
# How soon a job on another machine ends after the next run has begun: to look takes a request to the file server.
OWNER_SECONDS = 5.0
# What a shell says of a process that was killed: nobody is left to read it.
KILLED = 128 + 9
_RUN, _OWNER = "ODTL_RUN", "ODTL_OWNER"
_not_inherited: set[int] = set()


def machine() -> str:
    """Return what tells where process ids and locks mean the same: the boot of a kernel, or else the host's name."""
    # Containers come and go with host names of their own; their locks are those of the one kernel.
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return socket.gethostname()


def announce(folder: str | os.PathLike) -> None:
    """Tell the jobs that this process will start, by its environment, whose they are and where to sign on."""
    os.environ[_RUN] = "\n".join([str(os.getpid()), _process_ids(), os.path.abspath(folder)])


def announce_owner(folder: str | os.PathLike, held: bool) -> None:
    """Tell the jobs, wherever they are, by their environment, which run's they are: the one that has taken `folder`.

    held: whether this process has; else, nothing tells.
    """
    os.environ.pop(_OWNER, None)
    if held:
        os.environ[_OWNER] = _read(Path(folder) / LOCK_FILE)


def check_run() -> None:
    """Raise InputError in a job that was submitted by a run that is no more: another has taken the folder since."""
    run = current_run()
    if run and run.is_over():
        cure = "The run that has submitted it is no more, and a later one makes its files: nothing is to be done."
        raise InputError(Problem(os.fspath(run.folder), "job", "of an earlier run", cure), "Not started")


@dataclass(frozen=True)
class CurrentRun:
    """The process that has started a job, and the run that it is part of.

    pid, process_ids: its id, and what tells where that id means the same; folder: where its jobs sign on.
    owner: what was in the lock file as that run took the folder; empty where nothing tells.
    """

    pid: int
    process_ids: str
    folder: Path
    owner: str = ""

    def is_over(self) -> bool:
        """Say whether another run has taken the folder since."""
        now = _read(self.folder / LOCK_FILE)
        return bool(self.owner and now) and now != self.owner

    @property
    def identity(self) -> str:
        """What no other process has that starts jobs in this folder."""
        return f"{self.pid} {self.process_ids}"


def current_run() -> CurrentRun | None:
    """Return the run that has started this process as a job; None where none has announced itself."""
    run = os.environ.get(_RUN)
    if run is None:
        return None
    pid, process_ids, folder = run.split("\n", 2)
    return CurrentRun(int(pid), process_ids, Path(folder), os.environ.get(_OWNER, ""))


@contextlib.contextmanager
def signed_on(what: str) -> Iterator[None]:
    """Hold this job's sign while the block runs, and end the process when its run has died.

    what: what a person knows the job by, such as its log. Without a run that has announced itself, this does nothing.
    """
    run = current_run()
    if run is None:
        yield
        return
    # In a container of its own, a job cannot see its run.
    seen = run.process_ids == _process_ids()
    with _sign(run.folder / JOBS, what):
        # Only now: a run that comes after a dead one waits for this sign from here on.
        check_run()
        if seen and _ended(run.pid, 0):
            sys.exit(KILLED)
        threading.Thread(target=_watch, args=[run, seen], daemon=True).start()
        yield


def wait_for_all(folder: str | os.PathLike, patience: float, report: Callable[[str], None]) -> None:
    """Wait until no job is left that has signed on in `folder`; to be called by who has the run's lock.

    patience: in seconds; report: called with a line that says what is waited for.
    Raises InputError that names the jobs which have not ended in time.
    """
    deadline, told = time.monotonic() + patience, False
    while jobs := _living(Path(folder) / JOBS):
        if time.monotonic() > deadline:
            cure = "It belongs to a run that is no more, and would overwrite newer files: end it, then run again."
            raise InputError([Problem(folder, "running job", job, cure) for job in jobs], "Not started")
        if not told:
            report(f"Waiting for {len(jobs)} job(s) of the last run to end: {'; '.join(jobs)}")
            told = True
        time.sleep(TRY_SECONDS)


def close_in_forks(descriptor: int) -> None:
    """Close a descriptor in every process that is forked from here on.

    A lock goes with the last copy of its descriptor: a forked worker that outlives its process must not keep one.
    """
    _not_inherited.add(descriptor)


def close(descriptor: int) -> None:
    """Close a descriptor that `close_in_forks` was told of."""
    _not_inherited.discard(descriptor)
    os.close(descriptor)


def _close_inherited() -> None:
    for descriptor in _not_inherited:
        with contextlib.suppress(OSError):
            os.close(descriptor)


os.register_at_fork(after_in_child=_close_inherited)


@contextlib.contextmanager
def _sign(folder: Path, what: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{socket.gethostname()}.{os.getpid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    close_in_forks(descriptor)
    try:
        # A file system without locks has no way to tell: then it is as if there were no sign.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        slurm = os.environ.get("SLURM_JOB_ID")
        known_as = f", Slurm job {slurm}" if slurm else ""
        _write(descriptor, f"{what} (process {os.getpid()} on {socket.gethostname()}{known_as})", path)
        yield
    finally:
        path.unlink(missing_ok=True)
        close(descriptor)


def _write(descriptor: int, text: str, path: Path) -> None:
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        # A full disk does not say which file it was.
        error.filename = os.fspath(path)
        raise


def _living(folder: Path) -> list[str]:
    """Return what the jobs that still run are known by; the signs of others are removed."""
    living = []
    for path in sorted(folder.glob("*")):
        with contextlib.suppress(FileNotFoundError), open(path, "r+", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                living.append(stream.read() or path.name)
            else:
                path.unlink()
    return living


def _process_ids() -> str:
    """Return what tells where process ids mean the same."""
    with contextlib.suppress(OSError):
        return f"{machine()} {os.readlink('/proc/self/ns/pid')}"
    return machine()


def _ended(pid: int, seconds: float) -> bool:
    """Say whether a process has ended, or ends within this time."""
    try:
        # A killed process that its parent has not asked about yet keeps its id; this tells that it has ended.
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):
        # Not Linux, or an old one.
        time.sleep(seconds)
        return not _has_id(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(1000 * seconds))
    finally:
        os.close(descriptor)


def _has_id(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(path: Path) -> str:
    """Return what a file holds; nothing where it cannot be read, or not now."""
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8").strip()
    return ""


def _watch(run: CurrentRun, seen: bool) -> None:
    looked = time.monotonic()
    while not _died(run.pid, seen):
        if time.monotonic() - looked > OWNER_SECONDS:
            if run.is_over():
                break
            looked = time.monotonic()
    # Not an exception: nothing of this job may happen any more, not even its end.
    os._exit(KILLED)


def _died(pid: int, seen: bool) -> bool:
    if seen:
        return _ended(pid, WATCH_SECONDS)
    time.sleep(WATCH_SECONDS)
    return False
