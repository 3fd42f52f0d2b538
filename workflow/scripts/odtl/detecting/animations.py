"""Videos and animated GIFs, seen alike: pictures one after another, in and out."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from odtl.detecting.gifs import Gif, Shown, write_gif
from odtl.detecting.inputs import Kind
from odtl.detecting.pictures import Picture
from odtl.detecting.videos import Video, VideoWriter


class Animation:
    """A video or an animated GIF that is open for reading.

    stated: how many frames it says it has, 0 where it does not. `trouble` is known once it was read to its end.
    """

    def __init__(self, source: Video | Gif) -> None:
        self.source = source
        self.stated = source.stated
        self.milliseconds: list[int] = []

    @property
    def trouble(self) -> str:
        """What is missing at its end, in words; "" for nothing."""
        return self.source.trouble

    def pictures(self, file: str) -> Iterator[Picture]:
        """Yield its frames, as pictures of that file."""
        if isinstance(self.source, Video):
            for frame in self.source.frames():
                yield Picture(file, frame.pixels, frame=frame.number, time=frame.time)
            return
        time = 0
        for number, shown in enumerate(self.source.frames()):
            self.milliseconds.append(shown.milliseconds)
            yield Picture(file, np.asarray(shown.image), frame=number, time=time / 1000)
            time += shown.milliseconds


@contextlib.contextmanager
def open_animation(path: str | os.PathLike, kind: Kind) -> Iterator[Animation]:
    """Open a video or a GIF; VideoError or ImageError where that is not possible."""
    with contextlib.ExitStack() as stack:
        yield Animation(Gif(path) if kind is Kind.GIF else stack.enter_context(Video(path)))


def write_animation(path: Path, animation: Animation, pictures: Iterable[Image.Image]) -> int:
    """Write pictures, one for each frame of an animation, in its times; return how many these are.

    path: what it is written as is said by its ending: a GIF, or a video in the container of that name.
    """
    count = 0
    if isinstance(animation.source, Gif):

        def shown() -> Iterator[Shown]:
            nonlocal count
            for image in pictures:
                yield Shown(image, animation.milliseconds[count])
                count += 1

        write_gif(path, shown(), animation.source.loop)
        return count
    with VideoWriter(path, animation.source.frames_per_second) as writer:
        for image in pictures:
            writer.write(np.asarray(image))
            count += 1
    return count
