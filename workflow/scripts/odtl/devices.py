"""Which GPU a job computes on: each takes one that no other job of its run has, or waits for it.

Snakemake counts GPUs, and tells no job which. So a job that holds one takes it here, before TensorFlow is imported: it
locks (flock) a file that stands for the device, and shows TensorFlow that device alone. The operating system lets go of
the lock however the job ends.
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
    """Let TensorFlow, imported in the block, see one GPU that no other job of this run has; yield its id.

    gpus:        how many the job holds; of more than one, too, one is taken, and with 0 TensorFlow sees none.
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
    with _taken(devices, run, what, report) as device:
        report(f"Device {device}" + (f", of {', '.join(devices)}." if len(devices) > 1 else "."))
        environment[VISIBLE] = device
        yield device


def share_threads(threads: int, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let TensorFlow, imported hereafter, compute with so many threads, where it would take more: all there are."""
    all_there_are = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if threads < all_there_are:
        for kind in ("INTRAOP", "INTEROP"):
            environment.setdefault(f"TF_NUM_{kind}_THREADS", str(threads))


@contextlib.contextmanager
def _taken(
    devices: Sequence[str], run: running_jobs.CurrentRun, what: str, report: Callable[[str], None]
) -> Iterator[str]:
    """Hold the lock of one of the devices while the block runs; wait until one is free."""
    folder = run.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    # A device has the same id on each node of a cluster, and in each job whose own it is there: what is handed out is
    # between the jobs of one Snakemake process. The files are removed by the next run, which waits for all jobs' end.
    mine = hashlib.sha256(run.identity.encode()).hexdigest()[:12]
    paths = {device: folder / f"{mine}.{device.replace('/', '_')}" for device in devices}
    told = False
    while (found := _first_free(paths)) is None:
        if not told:
            holders = [f"{device} by {path.read_text(encoding='utf-8')}" for device, path in paths.items()]
            report(f"Waiting for a device: each is taken, {'; '.join(holders)}.")
            told = True
        time.sleep(TRY_SECONDS)
    device, descriptor = found
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, what.encode(), 0)
        yield device
    finally:
        running_jobs.close(descriptor)


def _first_free(paths: Mapping[str, Path]) -> tuple[str, int] | None:
    for device, path in paths.items():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        running_jobs.close_in_forks(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running_jobs.close(descriptor)
            continue
        except OSError:
            # A file system without locks cannot tell which is taken.
            pass
        return device, descriptor
    return None
