"""How far it is, while it detects, and how fast it was."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

# Plain lines go into logs: often enough to see that it lives, seldom enough to read.
SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class Summary:
    """What was done.

    images, frames, videos: how many were looked at; an animated GIF counts as a video.
    detections: how many were written. unreadable: (file, reason) of what could not be read, or not to its end.
    image_seconds, frame_seconds: how long the images and the videos took, with reading, drawing and writing.
    """

    images: int
    detections: int
    unreadable: tuple[tuple[str, str], ...]
    frames: int = 0
    videos: int = 0
    image_seconds: float = 0.0
    frame_seconds: float = 0.0


def tell(summary: Summary, thresholds: object, stream: TextIO | None = None) -> None:
    """Say in a few lines what was found, how fast, and what was skipped."""
    stream = sys.stderr if stream is None else stream
    places = []
    if summary.images or not summary.frames:
        places.append(f"{summary.images} image(s){_speed(summary.images, summary.image_seconds, 'images')}")
    if summary.frames:
        frames = f"{summary.frames} frame(s) of {summary.videos} video(s)"
        places.append(f"{frames}{_speed(summary.frames, summary.frame_seconds, 'frames')}")
    found = f"{summary.detections} detection(s) with a score of at least {thresholds}"
    print(f"{found} in {' and '.join(places)}.", file=stream)
    for file, reason in summary.unreadable:
        print(f"Skipped, cannot be read: {file}: {reason}", file=stream)


class Progress:
    """Tells how many images and frames are done: a bar on a terminal, a plain line now and then elsewhere.

    total: how many there are, as far as videos say. clock: seconds that never go back.
    """

    def __init__(self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._done, self._clock = total, 0, clock
        self._stream = sys.stderr if stream is None else stream
        self._began = self._line_at = clock()
        self._bar = None
        if self._stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, file=self._stream, dynamic_ncols=True, unit="image", desc="Detecting")

    def grow(self, count: int) -> None:
        """Say that there are so many more."""
        self._total += count
        if self._bar is not None:
            self._bar.total = self._total

    def step(self) -> None:
        """Say that one more is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(1)
            return
        now = self._clock()
        if now - self._line_at >= SECONDS_BETWEEN_LINES:
            self._line_at = now
            rate = self._done / (now - self._began)
            # A video may have more frames than it says.
            total = max(self._total, self._done)
            print(f"Detecting: {self._done} of {total} images, {rate:.1f} a second", file=self._stream, flush=True)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()


def _speed(count: int, seconds: float, what: str) -> str:
    return f" ({count / seconds:.1f} {what} a second)" if count and seconds > 0 else ""
