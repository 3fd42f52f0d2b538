"""Which GPUs a job computes on: each takes as many as it holds, that no other job of its run has, or waits for them.

Snakemake counts GPUs, and tells no job which. So a job that holds some takes them here, before TensorFlow is imported:
it locks (flock) a file that stands for each, and shows TensorFlow these alone. The operating system lets go of the
locks however the job ends.

One job at a time takes devices, and the others wait for their turn, which is a lock, too: of two jobs that each have
one device and want two, neither would go on.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path

from odtl import running_jobs

FOLDER = "devices"
# Ends the name of the file that is locked by who is about to take devices; no device is called so.
TURN = ".turn"
TRY_SECONDS = 0.5
VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
# A driver that does not answer must not keep a job waiting for ever.
_PATIENCE_SECONDS = 60
_ID = re.compile(r"\d+|(GPU|MIG)-[\w/-]+")


def visible_devices(environment: Mapping[str, str]) -> list[str]:
    """Return the ids of the GPUs that a process with this environment may use; none on a machine without any.

    They are those of CUDA_VISIBLE_DEVICES where it is set, which on a cluster is how a job learns of its own, else what
    the NVIDIA driver lists, in the order of the PCI bus.
    """
    if VISIBLE in environment:
        ids = [each.strip() for each in environment[VISIBLE].split(",")]
        # As CUDA reads it: what comes after an id that is none, such as -1, does not count.
        end = next((place for place, each in enumerate(ids) if not _ID.fullmatch(each)), len(ids))
        return list(dict.fromkeys(ids[:end]))
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if _ID.fullmatch(line.strip())]


@contextlib.contextmanager
def device_for(
    gpus: int, what: str, report: Callable[[str], None], environment: MutableMapping[str, str] = os.environ
) -> Iterator[str | None]:
    """Let TensorFlow, imported in the block, see GPUs that no other job of this run has; yield their ids, with commas.

    gpus:        how many the job holds, and takes; all there are where these are fewer. With 0 TensorFlow sees none.
    what:        what a person knows the job by, such as its log.
    report:      called with a line that says what is taken, or waited for.
    environment: altered for good: TensorFlow looks at it once.

    None: there is no GPU, or no run that hands them out, and the environment is left as it is.
    """
    devices, run = visible_devices(environment) if gpus else [], running_jobs.current_run()
    if not devices or run is None:
        if not gpus:
            environment[VISIBLE] = "-1"
        yield None
        return
    if VISIBLE not in environment:
        # Else CUDA counts the fastest card first, and not as the driver lists them.
        environment[ORDER] = "PCI_BUS_ID"
    with _taken(min(gpus, len(devices)), devices, run, what, report) as taken:
        name = f"Device{'s' if len(taken) > 1 else ''} {', '.join(taken)}"
        report(name + (f", of {', '.join(devices)}." if len(devices) > len(taken) else "."))
        environment[VISIBLE] = ",".join(taken)
        yield ",".join(taken)


def share_threads(threads: int, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let TensorFlow, imported hereafter, compute with so many threads, where it would take more: all there are."""
    all_there_are = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if threads < all_there_are:
        for kind in ("INTRAOP", "INTEROP"):
            environment.setdefault(f"TF_NUM_{kind}_THREADS", str(threads))


@contextlib.contextmanager
def _taken(
    count: int, devices: Sequence[str], run: running_jobs.CurrentRun, what: str, report: Callable[[str], None]
) -> Iterator[list[str]]:
    """Hold the locks of so many of the devices while the block runs; wait until they are free."""
    folder = run.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    # A device has the same id on each node of a cluster, and in each job whose own it is there: what is handed out is
    # between the jobs of one Snakemake process. The files are removed by the next run, which waits for all jobs' end.
    mine = hashlib.sha256(run.identity.encode()).hexdigest()[:12]
    paths = {device: folder / f"{mine}.{device.replace('/', '_')}" for device in devices}
    turn, taken, told = None, {}, False
    try:
        while True:
            turn = _lock(folder / f"{mine}{TURN}") if turn is None else turn
            for device, path in paths.items():
                if turn is not None and device not in taken and len(taken) < count:
                    _take(device, path, what, taken)
            if len(taken) == count:
                break
            if not told:
                report(_waiting(count, paths))
                told = True
            time.sleep(TRY_SECONDS)
        running_jobs.close(turn)
        turn = None
        yield [device for device in devices if device in taken]
    finally:
        for descriptor in filter(None, [turn, *taken.values()]):
            running_jobs.close(descriptor)


def _take(device: str, path: Path, what: str, taken: MutableMapping[str, int]) -> None:
    """Add a device and its lock to what is taken, if it is free."""
    if (descriptor := _lock(path)) is not None:
        taken[device] = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, what.encode(), 0)


def _waiting(count: int, paths: Mapping[str, Path]) -> str:
    holders = [f"{device} by {path.read_text(encoding='utf-8')}" for device, path in paths.items() if path.exists()]
    if count == 1:
        return f"Waiting for a device: each is taken, {'; '.join(holders)}."
    return f"Waiting for {count} devices: they were last taken, {'; '.join(holders)}."


def _lock(path: Path) -> int | None:
    """Return the descriptor that holds a file's lock, or None where another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    running_jobs.close_in_forks(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        running_jobs.close(descriptor)
        return None
    except OSError:
        # A file system without locks cannot tell which is taken.
        pass
    return descriptor
