"""Animated GIFs as the pictures a viewer shows, and pictures as a GIF that is shown in the same time.

Format: https://www.w3.org/Graphics/GIF/spec-gif89a.txt. Pillow puts the pictures together: what a frame leaves of the
one before it, by its disposal method, is part of what is yielded here.
"""

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from odtl import images
from odtl.errors import said_by


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture of an animation, RGB, and for how many milliseconds it is shown."""

    image: Image.Image
    milliseconds: int


class Gif:
    """An animated GIF that is open for reading.

    stated:  how many pictures it has, 0 where that is not known.
    loop:    how often it is shown again, 0 for ever; None: it is shown once.
    trouble: once it was read to its end, what is missing, in words; "" for nothing.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        """Open a GIF; ImageError if it is none or too large."""
        data = images.read_bytes(path)
        images.probe(data, whole=False)
        self._image = Image.open(io.BytesIO(data), formats=["GIF"])
        self.loop: int | None = self._image.info.get("loop")
        self.stated = _count(self._image)
        self.trouble = ""

    def frames(self) -> Iterator[Shown]:
        """Yield the pictures in order, what is transparent laid on white; ImageError if the first one is damaged."""
        number = 0
        while True:
            try:
                self._image.seek(number)
                # A copy: converting in place would spoil what the next frame is put upon.
                picture = self._image.convert("RGBA")
            except EOFError:
                return
            except Exception as error:
                if not number:
                    raise images.ImageError(
                        "image_damaged", f"GIF that is cut off or damaged ({said_by(error)})"[:200]
                    ) from error
                self.trouble = f"unreadable from frame {number} on: cut off or damaged"
                return
            white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
            flat = Image.alpha_composite(white, picture).convert("RGB")
            yield Shown(flat, int(self._image.info.get("duration", 0)))
            number += 1


def write_gif(path: Path, frames: Iterable[Shown], loop: int | None) -> None:
    """Write pictures as an animation; those that look the same, one after another, become one of their time together.

    frames: at least one. loop: see `Gif`. Each has the 256 colours that suit it best.
    """
    times: list[int] = []

    def pictures() -> Iterator[Image.Image]:
        for frame in frames:
            times.append(frame.milliseconds)
            yield frame.image.quantize(256, dither=Image.Dither.NONE)

    # All of them are needed before the first is written, since Pillow wants their times then: a byte a pixel.
    first, *others = list(pictures())
    looping = {} if loop is None else {"loop": loop}
    # Whole pictures, one over the other: nothing is disposed of, nothing is transparent.
    first.save(path, "GIF", save_all=True, append_images=others, duration=times, disposal=1, optimize=False, **looping)


def _count(image: Image.Image) -> int:
    # Its blocks are walked through; what is cut off or damaged is told where its pictures are decoded.
    try:
        return image.n_frames
    except Exception:
        return 0
