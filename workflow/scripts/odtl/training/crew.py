"""The other processes of a training that computes in several, on this machine: started, led and ended by the first.

Each reads from its standard input what to do (see `actions`). When that is closed, by the end of the first process,
too, it ends; and when it has ended too early, the first one does. So none is left, and none waits for ever.
"""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from odtl.distribution import Distribution
from odtl.errors import InputError, Problem
from odtl.training.options import Options

HOST = "127.0.0.1"
# TensorFlow fails at once when a process is gone, or, while it still waits for all of them, not at all.
PATIENCE_SECONDS = 30
# What a process has to end by itself, and how long it may take until its end is seen.
ENDING_SECONDS = 20
SEEN_SECONDS = 5
LAST_LINES = 15


class Crew:
    """The other processes of a training; a context, at the end of which all have ended.

    addresses: host:port of each process, the first one's at first; none where there is but one.

    Where one of them has ended before its time, what the block raises becomes an InputError that says so.
    """

    def __init__(self, spread: Distribution) -> None:
        self.addresses: list[str] = _free_addresses(spread.workers) if spread.distribution == "multi_worker" else []
        self._processes: list[subprocess.Popen] = []
        self._told = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed at the end of the block
        self._over = False

    def start(self, config, factory: str, options: Options, first: int, evaluates: bool) -> None:
        """Start them. The arguments are those of `actions.set_up`; factory: the kind of the experiment."""
        task = {
            "experiment": config.as_dict(),
            "factory": factory,
            "options": dataclasses.asdict(options),
            "first": first,
            "evaluates": evaluates,
            "addresses": self.addresses,
        }
        scripts = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [scripts, os.environ.get("PYTHONPATH")]))
        for place in range(1, len(self.addresses)):
            process = subprocess.Popen(
                [sys.executable, "-m", "odtl.training.worker"],
                stdin=subprocess.PIPE,
                stdout=self._told,
                stderr=self._told,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
            )
            self._processes.append(process)
            threading.Thread(target=self._look_after, args=[process], daemon=True).start()
            _write(process, {**task, "place": place})

    def tell(self, name: str, *arguments: Any) -> None:
        """Let all of them do what this process is about to do; see `actions.Actions`."""
        for process in self._processes:
            _write(process, [name, *arguments])

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        lost = self._lost() if isinstance(error, Exception) and not isinstance(error, InputError) else None
        self._over = True
        for process in self._processes:
            with contextlib.suppress(OSError):
                process.stdin.close()
        deadline = time.monotonic() + ENDING_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._told.close()
        if lost:
            raise lost from error

    def _lost(self) -> InputError | None:
        """Return what is to be told of the processes that have ended, or are about to; None where all go on."""
        deadline = time.monotonic() + SEEN_SECONDS
        while not (ended := [place for place, each in enumerate(self._processes, 1) if each.poll() is not None]):
            if not self._processes or time.monotonic() > deadline:
                return None
            time.sleep(0.1)
        self._told.seek(0)
        lines = self._told.read().rstrip().splitlines()[-LAST_LINES:]
        found = f"ended with status {self._processes[ended[0] - 1].returncode}"
        cure = "Run again: the training goes on from its last checkpoint. " + (
            "\n".join(["Its last words:", *lines]) if lines else "It has said nothing."
        )
        return InputError(Problem("training", f"process {ended[0] + 1} of {len(self.addresses)}", found, cure))

    def _look_after(self, process: subprocess.Popen) -> None:
        """End this process, too, where TensorFlow has not noticed that another one has ended."""
        process.wait()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self._over:
                return
            time.sleep(0.2)
        if not self._over:
            print(self._lost(), file=sys.stderr, flush=True)
            os._exit(1)


def _write(process: subprocess.Popen, content: Any) -> None:
    process.stdin.write(json.dumps(content) + "\n")
    process.stdin.flush()


def _free_addresses(count: int) -> list[str]:
    """Return so many addresses of this machine's loopback interface that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [f"{HOST}:{each.getsockname()[1]}" for each in sockets]
