"""The state of a training: what a killed run goes on from. It is no result.

In its folder:
    fingerprint.json       what the state belongs to; another fingerprint starts anew
    checkpoints/ckpt-{step}.*    weights, optimizer, step; the last two
    kept/{step}/ckpt.*     weights to export: those with the best validation AP so far, and the last evaluated ones
    running                there while a run is at work, and after one that was ended from outside
    history.jsonl          loss, learning rate and AP over the steps
    events/                the same for TensorBoard
    last/                  the last finished training's model, for a warm start (see `last_model`); it stays
    lock                   locked (flock) by who is at work
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from odtl import running_jobs
from odtl.checkpoints import is_whole
from odtl.errors import InputError, Problem
from odtl.files import atomic_folder, atomic_open

KEPT_CHECKPOINTS = 2


@contextlib.contextmanager
def alone_in(folder: str | os.PathLike) -> Iterator[None]:
    """Have a state folder for the block alone. Raises InputError where another process is at work in it.

    Where a run's own lock does its part, nobody is; but a job may be where that cannot be seen, on Kubernetes say.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(Path(folder) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    running_jobs.close_in_forks(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        running_jobs.close(descriptor)
        cure = "It would overwrite this one's checkpoints, and this one its: end it, or wait for it; then run again."
        raise InputError(Problem(os.fspath(folder), "training", "another process that trains here", cure)) from None
    except OSError:
        # A file system without locks cannot tell.
        pass
    try:
        yield
    finally:
        running_jobs.close(descriptor)


class State:
    """The state folder: what a run leaves for the next one."""

    def __init__(self, folder: str | os.PathLike, fingerprint: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.last = self.last_in(self.folder)
        self.events = self.folder / "events"
        self._checkpoints = self.folder / "checkpoints"
        self._kept = self.folder / "kept"
        self._history = self.folder / "history.jsonl"
        self._fingerprint = self.folder / "fingerprint.json"
        self._running = self.folder / "running"
        if self.fingerprint_in(self.folder) != json.loads(json.dumps(fingerprint)):
            self.clear()
            with atomic_open(self._fingerprint) as file:
                json.dump(fingerprint, file, indent=2, sort_keys=True)
        self.was_cut_off = self._running.exists()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Mark the state for as long as the block takes: the next run's `was_cut_off` tells that it never ended."""
        self._running.touch()
        try:
            yield
        finally:
            self._running.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all that a run has left but the last finished one's model; files of others in the folder stay, too."""
        # The fingerprint first: what is left if this is cut short belongs to nothing.
        for path in (self._fingerprint, self._checkpoints, self._kept, self._history, self._running, self.events):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def latest(self) -> tuple[int, str] | None:
        """Return (step, prefix) of the newest whole checkpoint, or None; half-written ones are passed over."""
        for step in sorted(self._steps(), reverse=True):
            if is_whole(self._checkpoints / f"ckpt-{step}"):
                return step, str(self._checkpoints / f"ckpt-{step}")
        return None

    def save(self, checkpoint, step: int) -> None:
        """Write a checkpoint and remove all but the last ones."""
        checkpoint.write(str(self._checkpoints / f"ckpt-{step}"))
        for old in sorted(self._steps())[:-KEPT_CHECKPOINTS]:
            self._remove(old)

    def keep(self, weights, step: int) -> str:
        """Keep the weights of this step and return their prefix."""
        with atomic_folder(self._kept / str(step)) as folder:
            weights.write(str(folder / "ckpt"))
        return self.kept(step)

    def keep_only(self, steps: Collection[int]) -> None:
        """Remove the kept weights of all other steps."""
        for step in set(self.kept_steps()) - set(steps):
            shutil.rmtree(self._kept / str(step), ignore_errors=True)

    def kept(self, step: int) -> str:
        """Return the prefix of the weights that were kept at `step`."""
        return self.kept_in(self.folder, step)

    def kept_steps(self) -> list[int]:
        """Return the steps whose weights are kept."""
        return sorted(int(path.name) for path in self._kept.glob("*") if path.name.isdecimal())

    def rewind(self, step: int) -> None:
        """Forget what came after `step`: a run that goes on from there does it again."""
        for later in self._steps():
            if later > step:
                self._remove(later)
        self.keep_only([kept for kept in self.kept_steps() if kept <= step])
        with atomic_open(self._history) as file:
            file.writelines(json.dumps(entry) + "\n" for entry in self.history() if entry["step"] <= step)

    def record(self, step: int, **values: Any) -> None:
        """Add an entry to the history."""
        with open(self._history, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """Return the history's entries; a last line that a kill cut short is left out."""
        if not self._history.exists():
            return []
        entries = []
        for line in self._history.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entries.append(json.loads(line))
        return entries

    @staticmethod
    def fingerprint_in(folder: str | os.PathLike) -> Any:
        """Return the fingerprint of the run that a state folder is of, or None where there is none."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads((Path(folder) / "fingerprint.json").read_text(encoding="utf-8"))
        return None

    @staticmethod
    def kept_in(folder: str | os.PathLike, step: int) -> str:
        """Return the prefix under which a state folder holds the weights of a step, if it has kept them."""
        return str(Path(folder) / "kept" / str(step) / "ckpt")

    @staticmethod
    def last_in(folder: str | os.PathLike) -> Path:
        """Return where a state folder holds the last finished training's model."""
        return Path(folder) / "last"

    def _steps(self) -> list[int]:
        names = [path.name for path in self._checkpoints.glob("ckpt-*.index")]
        return [int(match[1]) for name in names if (match := re.fullmatch(r"ckpt-(\d+)\.index", name))]

    def _remove(self, step: int) -> None:
        # The index first: without it, the rest is no checkpoint.
        for path in sorted(self._checkpoints.glob(f"ckpt-{step}.*"), key=lambda path: path.suffix != ".index"):
            path.unlink(missing_ok=True)
