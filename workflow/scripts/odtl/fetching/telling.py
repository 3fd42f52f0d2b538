"""How far a fetch has come: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

from odtl.progress import SECONDS_BETWEEN_LINES


class Telling:
    """Counts images and tells how many of `total` are done, on `stream`; clock: seconds that never go back."""

    def __init__(self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._stream = sys.stderr if stream is None else stream
        self._done = self._failed = 0
        self._began = self._told = clock()
        terminal = self._stream.isatty()
        self._bar = tqdm(total=total, file=self._stream, unit=" images", dynamic_ncols=True) if terminal else None

    def say(self, line: str) -> None:
        """Write one line at once."""
        if self._bar is None:
            print(line, file=self._stream, flush=True)
        else:
            self._bar.write(line, file=self._stream)

    def count(self, images: int, failed: bool) -> None:
        """Say that so many more images are done, or have failed."""
        self._done += images
        self._failed += images if failed else 0
        if self._bar is not None:
            if failed:
                self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
            self._bar.update(images)
        elif self._done == self._total or self._clock() - self._told >= SECONDS_BETWEEN_LINES:
            self._told = self._clock()
            speed = self._done / max(self._told - self._began, 1e-3)
            self.say(f"{self._done}/{self._total} images, {speed:.1f} images/s, {self._failed} failed")

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
