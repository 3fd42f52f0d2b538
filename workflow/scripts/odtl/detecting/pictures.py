"""The images a detector is tried on, as it sees them: upright, 8-bit RGB."""

import io
import os
import warnings
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageOps

from odtl import images


@dataclass(frozen=True, eq=False)
class Picture:
    """One image, or one frame of a video or an animated GIF.

    file:   its name in the results. pixels: uint8 (H, W, 3), RGB, upright.
    index:  its place among the files. data: the bytes of the file it was read from; b"" for a frame.
    frame:  its number in the video, from 0; None for an image.
    time:   seconds from the video's start.
    """

    file: str
    pixels: np.ndarray = field(repr=False)
    index: int = 0
    data: bytes = field(default=b"", repr=False)
    frame: int | None = None
    time: float = 0.0

    @classmethod
    def of(cls, file: str, image: Image.Image, index: int, data: bytes) -> "Picture":
        """Return an image file as it was read."""
        return cls(file, np.asarray(image), index, data)

    @property
    def image(self) -> Image.Image:
        """A copy of it that can be drawn on."""
        return Image.fromarray(self.pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_upright(path: str | os.PathLike) -> Image.Image:
    """Return an image as 8-bit RGB, upright; the first frame of several. Any format that Pillow reads.

    What training reads is treated as training treats it (`images.upright_rgb`): pixels must mean the same.
    Raises ImageError, or what Pillow raises, where the file is no image or is damaged.
    """
    return upright(images.read_bytes(path))


def upright(data: bytes) -> Image.Image:
    """Return what `read_upright` does of a file's bytes."""
    with warnings.catch_warnings():
        # A large photograph is no attack; the limit that decides is ours.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as error:
            raise images.ImageError("image_too_large", str(error)) from error
        except Exception:
            # It says what the file seems to be instead.
            return images.upright_rgb(data)
        with image:
            if image.format in images.FORMATS:
                return images.upright_rgb(data)
            if image.width * image.height > images.MAX_PIXELS:
                found = f"{image.width} x {image.height} pixels, over the limit of {images.MAX_PIXELS:,}"
                raise images.ImageError("image_too_large", found)
            return ImageOps.exif_transpose(image).convert("RGB")


def encoded_upright(data: bytes, pixels: np.ndarray) -> tuple[bytes, str]:
    """Return (bytes, "jpeg" or "png") of an image as a labelling tool can open it: as it was, if that is upright RGB.

    data: its file's bytes; b"" for a frame of a video. pixels: what they hold.
    """
    if data:
        try:
            encoded, kind, *_ = images.to_record_bytes(data, images.probe(data, whole=False))
            return encoded, kind
        except images.ImageError:
            # A format that records do not take: it was decoded, so its pixels are good.
            pass
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=images.JPEG_QUALITY, subsampling=0)
    return stream.getvalue(), "jpeg"
