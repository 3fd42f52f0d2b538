"""A further process of a training: does what the first one tells it to, and ends with it. See `crew`."""

import json
import os
import queue
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import TextIO

from odtl.training.crew import free_port

# How long what is being done may take to come to its end when the first process is gone: it waits for that one.
ENDING_SECONDS = 10


def work(stream: TextIO) -> None:
    """Take part in a training. The first line of the stream says in which, each further one what to do."""
    from odtl.experiment import experiment_of
    from odtl.training import runtime
    from odtl.training.actions import Actions, set_up
    from odtl.training.options import Options

    runtime.quiet()
    task = json.loads(stream.readline())
    commands = _commands_of(stream)
    options = Options(**task["options"])
    config = experiment_of(task["experiment"], task["factory"], "training")
    strategy = runtime.strategy(options.spread, task["addresses"], task["place"], task["apart"])
    actions = Actions(set_up(config, options, strategy, task["first"], task["evaluates"]))
    with tempfile.TemporaryDirectory() as folder, strategy.scope():
        # TensorFlow reads weights in all processes to write them in one, so that each has to write them somewhere.
        writing = {"save", "keep"}
        for name, *arguments in commands:
            if name in writing:
                arguments = [lambda checkpoint: checkpoint.write(f"{folder}/ckpt")]
            getattr(actions, name)(*arguments)


def _commands_of(stream: TextIO) -> Iterator[list]:
    """Return what the further lines hold; when there are no more, the process ends, whatever it is about."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in stream:
            lines.put(line)
        lines.put("")
        ending = threading.Timer(ENDING_SECONDS, os._exit, [1])
        ending.daemon = True
        ending.start()

    threading.Thread(target=read, daemon=True).start()
    return (json.loads(line) for line in iter(lines.get, ""))


if __name__ == "__main__":
    # Ctrl-C reaches all processes at once; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(free_port(), flush=True)
    # What libraries print is for the first process's log.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    work(sys.stdin)
    # TensorFlow waits for the others when it ends, and these may be gone.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
