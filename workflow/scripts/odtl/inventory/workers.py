"""Processes that work off pieces: parsing XML holds Python's lock, so threads would wait for one another."""

import contextlib
import marshal
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from odtl.inventory.pieces import Done, Piece, work

# Starting processes takes longer than to look at fewer files than these.
FEW = 4000
_LIBRARY = Path(__file__).parents[2]
_SERVE = "from odtl.inventory.workers import serve; serve()"


def work_off(pieces: Sequence[Piece]) -> Iterator[Done]:
    """Yield what comes of each piece, in order."""
    count = sum(len(piece["units"]) + len(piece["files"]) for piece in pieces)
    if count < FEW or len(pieces) < 2:
        yield from map(work, pieces)
        return
    # More than there are cores: on a network's file system most of the time is spent waiting.
    processes = [_start() for _ in range(min(len(pieces), max(4, os.cpu_count() or 1)))]
    idle: queue.SimpleQueue[subprocess.Popen] = queue.SimpleQueue()
    for process in processes:
        idle.put(process)

    def hand_over(piece: Piece) -> Done:
        process = idle.get()
        try:
            with contextlib.suppress(BrokenPipeError):
                _write(process.stdin, piece)
            done = _read(process.stdout)
            if done is None:
                raise RuntimeError(f"a process that reads the sources ended with status {process.wait()}")
            return done
        finally:
            # Also a dead one: else the next piece would wait for ever.
            idle.put(process)

    try:
        with ThreadPoolExecutor(len(processes)) as pool:
            try:
                yield from pool.map(hand_over, pieces)
            except BaseException:
                # Else the pool would wait for all pieces.
                pool.shutdown(wait=False, cancel_futures=True)
                for process in processes:
                    process.kill()
                raise
    finally:
        for process in processes:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
            process.stdout.close()


def serve() -> None:
    """Work off the pieces that come through standard input, until it ends: as soon as the main process does."""
    # Ctrl-C reaches all processes; the main one sees to the end of these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (piece := _read(sys.stdin.buffer)) is not None:
        _write(sys.stdout.buffer, work(piece))


def _start() -> subprocess.Popen:
    path = os.pathsep.join(filter(None, [str(_LIBRARY), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", _SERVE]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _write(stream: BinaryIO, content: object) -> None:
    data = marshal.dumps(content)
    stream.write(len(data).to_bytes(8, "big"))
    stream.write(data)
    stream.flush()


def _read(stream: BinaryIO) -> object:
    head = stream.read(8)
    return marshal.loads(stream.read(int.from_bytes(head, "big"))) if len(head) == 8 else None
