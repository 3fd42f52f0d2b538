"""Videos as frames, and frames as videos, by the FFmpeg that OpenCV brings along (LGPL, without x264 and x265).

It reads what FFmpeg reads, H.264, H.265, VP9 and AV1 among it. It writes MPEG-4 Part 2 ("mp4v"), which VLC, mpv,
QuickTime and Windows Media Player play and browsers do not; an H.264 encoder is none of its parts. Sound is left out.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from odtl.errors import InputError, Problem

# Where a container states no rate that can be one.
_USUAL_RATE = 25.0
_HIGHEST_RATE = 1000.0
# Containers with an index of all frames; others state a length, from which the number of frames is guessed.
_COUNTED = (".mp4", ".m4v", ".mov", ".avi")


class VideoError(Exception):
    """A video that cannot be read at all; the text says why."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: its number from 0, the second it is shown at, its pixels, uint8 (H, W, 3), RGB, upright."""

    number: int
    time: float
    pixels: np.ndarray


class Video:
    """A video that is open for reading.

    frames_per_second: the mean rate. stated: how many frames its container says it has; 0 where it does not.
    trouble:           once it was read to its end, what is missing, in words; "" for nothing.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        """Open a video; VideoError if it is none, or so damaged that nothing of it can be read."""
        cv2 = _opencv()
        self.path = Path(path)
        self.trouble = ""
        if not self.path.is_file():
            raise VideoError("no such file, or not a regular file")
        self._capture = cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise VideoError(_why_closed(self.path))
        rate, stated = self._capture.get(cv2.CAP_PROP_FPS), self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frames_per_second = rate if math.isfinite(rate) and 0 < rate <= _HIGHEST_RATE else _USUAL_RATE
        self.stated = int(stated) if math.isfinite(stated) and stated > 0 else 0

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order, turned upright; VideoError if there is not even one."""
        cv2 = _opencv()
        number, time, size = 0, 0.0, None
        while True:
            whole, pixels = self._capture.read()
            if not whole:
                break
            # What a file says of its times may be nonsense: they never go back.
            stated = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            time = max(time, stated) if math.isfinite(stated) else number / self.frames_per_second
            size = size or pixels.shape
            if pixels.shape != size:
                self.trouble = (
                    f"frame {number} and what follows have another size, {pixels.shape[1]} x {pixels.shape[0]}"
                )
                return
            yield Frame(number, time, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
            number += 1
        if not number:
            raise VideoError("not one frame can be decoded: the file is damaged, or its codec is not known")
        guessed = 0 if self.path.suffix.lower() in _COUNTED else max(2, self.stated // 100)
        if number < self.stated - guessed:
            self.trouble = f"unreadable from frame {number} ({time:.2f} s) on, of {self.stated}: cut off or damaged"


class VideoWriter:
    """A video that frames are written to, as MPEG-4 in an .mp4, .mov or .avi, by the name's ending.

    An odd width or height, which such a video cannot have, grows by one pixel: the last column or row twice.
    """

    def __init__(self, path: Path, frames_per_second: float) -> None:
        self._path, self._rate = path, frames_per_second
        self._writer = None
        self._count = 0

    def write(self, pixels: np.ndarray) -> None:
        """Add a frame, uint8 (H, W, 3), RGB; all of one size."""
        cv2 = _opencv()
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            height, width = pixels.shape[:2]
        if self._writer is None:
            codec = cv2.VideoWriter_fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(os.fspath(self._path), cv2.CAP_FFMPEG, codec, self._rate, (width, height))
            if not self._writer.isOpened():
                raise self._unwritable(f"{width} x {height} pixels at {self._rate:g} frames per second")
        self._writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        self._count += 1

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """End the video; InputError if not all of it is on the disk: OpenCV itself says nothing of a full one."""
        if self._writer is None:
            return
        self._writer.release()
        if kind is None:
            self._check()

    def _check(self) -> None:
        cv2 = _opencv()
        written = cv2.VideoCapture(os.fspath(self._path), cv2.CAP_FFMPEG)
        count = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
        written.release()
        if count != self._count:
            raise self._unwritable(f"{count} of {self._count} frames")

    def _unwritable(self, found: str) -> InputError:
        cure = "The video cannot be written: look whether the disk is full."
        return InputError(Problem(str(self._path), "video", found, cure))


def _why_closed(path: Path) -> str:
    if path.stat().st_size == 0:
        return "a file of zero bytes"
    if path.suffix.lower() in (".mp4", ".m4v", ".mov") and b"moov" not in _ends(path):
        return "no video, or one that was cut off: its index, which stands at the end, is missing"
    return "no video that FFmpeg can open"


def _ends(path: Path, length: int = 2**20) -> bytes:
    with open(path, "rb") as stream:
        first = stream.read(length)
        stream.seek(max(0, path.stat().st_size - length))
        return first + stream.read(length)


def _opencv():
    # FFmpeg tells of each damaged block, thousands of them, and OpenCV of each file that is no video: we do, once.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    import cv2

    return cv2
