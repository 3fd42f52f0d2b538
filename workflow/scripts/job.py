"""What every script of the workflow does around its one call: a log, and errors that a person can read."""

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from odtl import devices, disk
from odtl.errors import InputError
from odtl.running_jobs import signed_on

# What a shell says of a process that was ended by Ctrl-C.
INTERRUPTED = 128 + 2

# TensorFlow tells about CPU features and missing CUDA libraries at every start, some of it as errors; what matters is
# raised, too. Set it to 0 to see all.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# official.vision is made with Keras 2; without this, TensorFlow loads Keras 3 as well, with scikit-learn and
# Matplotlib, which is a sixth of the time that it takes to start.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


class Tee:
    """Write to the terminal and to the log; a progress bar's redrawn lines reach the log once, as they ended."""

    def __init__(self, terminal: TextIO, log: TextIO) -> None:
        self.terminal, self.log, self.pending = terminal, log, ""

    def write(self, text: str) -> int:
        self.terminal.write(text)
        *lines, self.pending = (self.pending + text).split("\n")
        # A full disk takes no log; what is told about that must reach the terminal.
        with contextlib.suppress(OSError):
            for line in lines:
                self.log.write(re.sub(r"^.*\r(?=.)", "", line.rstrip("\r")) + "\n")
            self.log.flush()
        # A line that is redrawn for hours must not grow in memory.
        self.pending = self.pending[self.pending.rfind("\r") + 1 :]
        return len(text)

    def flush(self) -> None:
        self.terminal.flush()

    def __getattr__(self, name: str):
        return getattr(self.terminal, name)


@contextlib.contextmanager
def logged(log_path: str, gpus: int | None = None, threads: int | None = None) -> Iterator[None]:
    """Copy what the block prints to `log_path`; end the process with status 1 and a clear message on an error.

    The process also ends when the run that has started it has died.

    gpus, threads: what the job has of them, for a block that computes with TensorFlow, which it must be the first to
    import; None: it may take what there is.
    """
    with _told_clearly(), signed_on(os.fspath(log_path)), _log(log_path) as log:
        out, err = Tee(sys.stdout, log), Tee(sys.stderr, log)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _told_clearly():
            if threads is not None:
                devices.share_threads(threads)
            with _device(gpus, log_path):
                yield


def _device(gpus: int | None, log_path: str) -> contextlib.AbstractContextManager:
    if gpus is None:
        return contextlib.nullcontext()
    return devices.device_for(gpus, os.fspath(log_path), lambda text: print(text, file=sys.stderr, flush=True))


@contextlib.contextmanager
def _log(path: str) -> Iterator[TextIO]:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    log = open(path, "w", encoding="utf-8")  # noqa: SIM115 - to close it can fail
    try:
        yield log
    finally:
        with contextlib.suppress(OSError):
            log.close()


@contextlib.contextmanager
def _told_clearly() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if problem := disk.problem_of(error):
            print(InputError(problem, "The disk refused"), file=sys.stderr)
        else:
            traceback.print_exc()
        sys.exit(1)
