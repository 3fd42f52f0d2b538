"""Show all trainings in TensorBoard: for as long as a command runs, or until Ctrl-C.

python workflow/scripts/watch.py
python workflow/scripts/watch.py snakemake --cores all --resources gpu=1
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from odtl import board
from odtl.errors import InputError

RESULTS = "results"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="whom to serve: 0.0.0.0 for all that reach this machine")
    parser.add_argument("--port", type=int, help="6006, or the next one that is free")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run meanwhile")
    given = parser.parse_args()
    if not given.command and not board.trained(RESULTS):
        print("Nothing has been trained here yet. `make watch` trains and shows it meanwhile.", file=sys.stderr)
        return 1
    try:
        with board.serve(RESULTS, given.host, given.port) as address:
            print(f"TensorBoard: {address} (Ctrl-C ends it)" if not given.command else f"TensorBoard: {address}")
            sys.stdout.flush()
            return run(given.command) if given.command else wait()
    except InputError as error:
        print(error, file=sys.stderr)
        return 1


def run(command: Sequence[str]) -> int:
    """Run a command to its end and return its status; Ctrl-C and SIGTERM are for it to end by."""
    # From a terminal, Ctrl-C reaches it as well; ending first would leave it without its TensorBoard, and the shell
    # without its end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    status = process.wait()
    return 128 - status if status < 0 else status


def wait() -> int:
    """Wait for Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
