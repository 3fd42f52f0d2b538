"""What every script of the workflow does around its one call: a log, and errors that a person can read."""

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from odtl.errors import InputError

# TensorFlow tells about CPU features and missing CUDA libraries at every start, some of it as errors; what matters is
# raised, too. Set it to 0 to see all.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Tee:
    """Write to the terminal and to the log; a progress bar's redrawn lines reach the log once, as they ended."""

    def __init__(self, terminal: TextIO, log: TextIO) -> None:
        self.terminal, self.log, self.pending = terminal, log, ""

    def write(self, text: str) -> int:
        self.terminal.write(text)
        *lines, self.pending = (self.pending + text).split("\n")
        for line in lines:
            self.log.write(re.sub(r"^.*\r(?=.)", "", line.rstrip("\r")) + "\n")
        # A line that is redrawn for hours must not grow in memory.
        self.pending = self.pending[self.pending.rfind("\r") + 1 :]
        self.log.flush()
        return len(text)

    def flush(self) -> None:
        self.terminal.flush()

    def __getattr__(self, name: str):
        return getattr(self.terminal, name)


@contextlib.contextmanager
def logged(log_path: str) -> Iterator[None]:
    """Copy what the block prints to `log_path`; end the process with status 1 and a clear message on an error."""
    Path(log_path).parent.mkdir(parents=True, exist_ok=True)
    with open(log_path, "w", encoding="utf-8") as log:
        out, err = Tee(sys.stdout, log), Tee(sys.stderr, log)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                yield
            except InputError as error:
                print(error, file=sys.stderr)
                sys.exit(1)
            except Exception:
                traceback.print_exc()
                sys.exit(1)
