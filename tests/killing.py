"""Runs of the workflow that are disturbed in a stage of choice, and how to tell that their results are right."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from helpers import Project
from odtl.bundle import check_checkpoint
from odtl.files import sha256_of
from odtl.label_map import read_label_map
from odtl.records import read_frames
from odtl.run_lock import UNFINISHED

SHARDS = 2
DATA = {"sources": [{"format": "voc", "images": "images", "split": "by_hash"}], "shards": SHARDS}
# All that is made of the data, before any model.
TARGETS = ["results/dataset/check.html"] + [
    f"results/records/{split}-{index:05}-of-{SHARDS:05}.tfrecord"
    for split in ["train", "val", "test"]
    for index in range(SHARDS)
]
SCAN = "scan"
PATIENCE_SECONDS = 300.0
# What to a stage's name says how it is told in Snakemake's own words.
_EVENT = re.compile(r"^(?:local)?rule (?P<rule>\w+):|^    jobid: (?P<id>\d+)|^Finished jobid: (?P<end>\d+) ")


class Watched:
    """A run of the workflow whose jobs can be followed.

    running: the rules of the jobs that are at work, by job id; begun: whether any was started yet; seconds: how long
    the longest job of each rule took, of those that came to their end.
    """

    def __init__(self, project: Project, *arguments: str) -> None:
        self.running: dict[str, str] = {}
        self.begun = False
        self.seconds: dict[str, float] = {}
        self._starts: dict[str, float] = {}
        self.lines: list[str] = []
        self._rule = ""
        # A session of its own, so that the group can be killed as a terminal would do it.
        self.process = project.start(*arguments, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            event = _EVENT.match(line)
            if event and event["rule"]:
                self._rule = event["rule"]
            elif event and event["id"] and self._rule:
                self.running[event["id"]] = self._rule
                self._starts[event["id"]] = time.monotonic()
                self.begun, self._rule = True, ""
            elif event and event["end"]:
                rule = self.running.pop(event["end"], "")
                taken = time.monotonic() - self._starts.get(event["end"], time.monotonic())
                self.seconds[rule] = max(taken, self.seconds.get(rule, 0.0))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for(self, stage: str) -> bool:
        """Wait until a job of the stage is at work (or, for SCAN, not at all); False if the run ended before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while stage != SCAN and stage not in self.running.values():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def kill(self, how: str) -> str:
        """End the run, or one of its jobs; wait for its end; return the stages that were at work, or "" for none.

        how: "run": SIGKILL to Snakemake alone; "all": to every process; "job": to a job; "interrupt": Ctrl-C.
        """
        hit = " ".join(sorted(set(self.running.values()))) or ("" if self.begun else SCAN)
        if self.process.poll() is None:
            _KILLS[how](self.process.pid)
        else:
            hit = ""
        self.process.wait(PATIENCE_SECONDS)
        self.join()
        return hit

    def join(self) -> None:
        """Read what a run that has ended has said."""
        # A job that outlives its run keeps the pipe: what it still says is of no interest.
        self._reader.join(1)


def _kill_job(pid: int) -> None:
    jobs = [child for child in _children(pid) if ".snakemake/scripts/" in _command(child)]
    for job in jobs[:1] or [pid]:
        os.kill(job, signal.SIGKILL)


_KILLS: dict[str, Callable[[int], None]] = {
    "run": lambda pid: os.kill(pid, signal.SIGKILL),
    "all": lambda pid: os.killpg(pid, signal.SIGKILL),
    "interrupt": lambda pid: os.killpg(pid, signal.SIGINT),
    "job": _kill_job,
}
KILLS = tuple(_KILLS)


def _children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid:
            child = int(status.parent.name)
            found += [child, *_children(child)]
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def check_whole(results: Path) -> None:
    """Check that no file under its own name ends half-way."""
    for path in results.rglob("*"):
        if not path.is_file() or any(UNFINISHED.fullmatch(part) for part in path.relative_to(results).parts):
            continue
        if path.suffix in (".csv", ".jsonl", ".txt", ".svg") and path.stat().st_size:
            assert path.read_bytes().endswith(b"\n"), path
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".tfrecord":
            list(read_frames(path))
        elif path.suffix == ".pbtxt":
            read_label_map(path)
        elif path.name == "ckpt.index":
            check_checkpoint(path.with_suffix(""))


def check_like_clean(folder: Path, clean: Path) -> None:
    """Check that the data files of a project with `DATA` are what a first run in the folder `clean` makes."""
    results = folder / "results"
    # Which id a class has is history: it goes with the data.
    given = [*sorted((folder / "images").iterdir()), results / "dataset/label_map.pbtxt"]
    key = tuple((path.name, sha256_of(path)) for path in given)
    if key not in _clean:
        shutil.copytree(folder / "images", clean / "images")
        (clean / "results/dataset").mkdir(parents=True)
        shutil.copy(given[-1], clean / "results/dataset")
        run = Project(clean, data=DATA).snakemake(*TARGETS)
        assert run.status == 0, run.output
        _clean[key] = _digests(clean / "results")
    found, expected = _digests(results), _clean[key]
    differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    assert not differing, f"not as in a clean build: {', '.join(differing)}"


# What a first run makes of images, annotations and a label map: the same for every test.
_clean: dict[tuple, dict[str, str]] = {}


def _digests(results: Path) -> dict[str, str]:
    """Return the digest of every data file, by its path."""
    folders = ["inventory", "boxes", "hashes", "repairs", "dataset", "records"]
    files = [path for name in folders for path in (results / name).rglob("*") if path.is_file()]
    return {path.relative_to(results).as_posix(): sha256_of(path) for path in files}


def unfinished(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if UNFINISHED.fullmatch(path.name)]
