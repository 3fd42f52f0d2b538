"""Runs of the workflow that are killed in a stage of choice, and what they were doing then."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from helpers import Project

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
        # A job that outlives its run keeps the pipe: what it still says is of no interest.
        self._reader.join(0.5)
        return hit


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
