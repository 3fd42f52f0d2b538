"""The other processes of a training that computes in several: started, led and ended by the first.

They are on this machine, or each on a node of its own of the cluster's job. Each says on its standard output at which
port it will be, and reads from its standard input what to do (see `actions`). When that is closed, by the end of the
first process, too, it ends; and when it has ended too early, the first one does. So none is left, and none waits for
ever.
"""

import contextlib
import dataclasses
import json
import os
import select
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
from odtl.training.memory import is_exhausted, tells_exhausted
from odtl.training.nodes import Nodes
from odtl.training.options import Options

HOST = "127.0.0.1"
# Until a process that was started says its port: Python on a slow file system, a node that is not quite ready.
STARTING_SECONDS = 180
# TensorFlow fails at once when a process is gone, or, while it still waits for all of them, not at all.
PATIENCE_SECONDS = 30
# What a process has to end by itself, and how long it may take until its end is seen.
ENDING_SECONDS = 20
SEEN_SECONDS = 5
LAST_LINES = 15


class Crew:
    """The other processes of a training; a context, at the end of which all have ended.

    nodes:     where they are to be, a node for each; None: all are here.
    addresses: host:port of each process, the first one's at first, once they are started; none where there is but one.
    apart:     whether each has its machine, with the job's GPUs there, for itself.

    Where one of them has ended before its time, what the block raises becomes an InputError that says so; a MemoryError
    where that process has told of a lack of memory.
    """

    def __init__(self, spread: Distribution, nodes: Nodes | None = None) -> None:
        self.count = spread.workers if spread.distribution == "multi_worker" else 1
        self.addresses: list[str] = []
        self.apart = nodes is not None
        self._nodes = nodes
        self._processes: list[subprocess.Popen] = []
        self._told = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed at the end of the block
        self._over = False

    @property
    def names(self) -> list[str]:
        """The names of the nodes that the processes are on; none where all are here."""
        return [node.name for node in self._nodes.nodes] if self._nodes else []

    def start(self, config, factory: str, options: Options, first: int, evaluates: bool) -> None:
        """Start them. The arguments are those of `actions.set_up`; factory: the kind of the experiment."""
        if self.count == 1:
            return
        scripts = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [scripts, os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "odtl.training.worker"]
        for place in range(1, self.count):
            process = subprocess.Popen(
                self._nodes.command(place, command) if self._nodes else command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._told,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
            )
            self._processes.append(process)
            threading.Thread(target=self._look_after, args=[process], daemon=True).start()
        hosts = [node.address for node in self._nodes.nodes] if self._nodes else [HOST] * self.count
        ports = [free_port(), *map(self._port_of, range(1, self.count))]
        self.addresses = [f"{host}:{port}" for host, port in zip(hosts, ports, strict=True)]
        task = {
            "experiment": config.as_dict(),
            "factory": factory,
            "options": dataclasses.asdict(options),
            "first": first,
            "evaluates": evaluates,
            "addresses": self.addresses,
            "apart": self.apart,
        }
        for place, process in enumerate(self._processes, 1):
            _write(process, {**task, "place": place})

    def tell(self, name: str, *arguments: Any) -> None:
        """Let all of them do what this process is about to do; see `actions.Actions`."""
        for process in self._processes:
            _write(process, [name, *arguments])

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        telling = isinstance(error, InputError) or (error is not None and is_exhausted(error))
        lost = self._lost() if isinstance(error, Exception) and not telling else None
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

    def _lost(self) -> InputError | MemoryError | None:
        """Return what is to be told of the processes that have ended, or are about to; None where all go on."""
        deadline = time.monotonic() + SEEN_SECONDS
        while not (ended := [place for place, each in enumerate(self._processes, 1) if each.poll() is not None]):
            if not self._processes or time.monotonic() > deadline:
                return None
            time.sleep(0.1)
        return self._gone(ended[0], f"ended with status {self._processes[ended[0] - 1].returncode}")

    def _gone(self, place: int, found: str) -> InputError | MemoryError:
        """Return what is to be told of a process that is of no use: what it has said is why."""
        self._told.seek(0)
        lines = self._told.read().rstrip().splitlines()[-LAST_LINES:]
        if out_of_memory := next(filter(tells_exhausted, lines), None):
            return MemoryError(f"process {place + 1} of {self.count}: {out_of_memory}")
        cure = "Run again: the training goes on from its last checkpoint. " + (
            "\n".join(["Its last words:", *lines]) if lines else "It has said nothing."
        )
        return InputError(Problem("training", f"process {place + 1} of {self.count}", found, cure))

    def _port_of(self, place: int) -> int:
        """Return the port that a process has found for itself."""
        process = self._processes[place - 1]
        ready, _, _ = select.select([process.stdout], [], [], STARTING_SECONDS)
        said = process.stdout.readline() if ready else ""
        if said.strip().isdecimal():
            return int(said)
        # One that has ended is told of with its status.
        raise self._lost() or self._gone(place, f"not ready after {STARTING_SECONDS} s")

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


def free_port() -> int:
    """Return a port of this machine that is free now."""
    with socket.socket() as found:
        found.bind(("", 0))
        return found.getsockname()[1]
