"""What an image looks like, in a few numbers that stay the same when it is saved again or resized.

Two parts. A hash of 64 bits finds candidates among many: the signs of an image's lowest spatial frequencies ("pHash":
C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1). A thumbnail
confirms them: 64 bits alone are alike by chance in drawings and in plain pictures.

The limits below were set by measuring 1,189 photographs and drawings: see docs/data_check.md.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

# Enough pixels that each cell of a thumbnail is a mean of many.
LEAST_PIXELS = 128
SIDE = 16
COLOUR_SIDE = 4
THUMBNAIL_BYTES = SIDE * SIDE + 2 * COLOUR_SIDE * COLOUR_SIDE

# What two thumbnails of one picture may differ by, in levels of 0 to 255, once brightness and contrast are matched.
MOST_RMS = 6.0
MOST_CELL = 30.0
MOST_COLOUR = 16.0
LEAST_CORRELATION = 0.95
# How far contrast is matched.
MOST_GAIN = 1.3
# Below this standard deviation of its cells, a picture is too plain to be told from another one.
LEAST_CONTRAST = 4.0

_DCT_SIDE = 32
_HASH_SIDE = 8
# In symmetric pictures and in drawings many frequencies are 0, and so is their median: of these, it would be the noise
# that decides. One level of noise in each of the 32 x 32 cells is 16 here.
_NOISE = 64
# DCT-II without its scale factors, which change no sign: row k is cos(pi (2 x + 1) k / 2 n).
_DCT = np.cos(np.pi * np.outer(np.arange(_HASH_SIDE), 2 * np.arange(_DCT_SIDE) + 1) / (2 * _DCT_SIDE))


@dataclass(frozen=True)
class Fingerprint:
    """What an image looks like.

    hash, mirror: 64 bits of the image and of its mirror image; None for one that is too plain.
    thumbnail:    `THUMBNAIL_BYTES`: luma (16 x 16, row by row), then Cb and Cr (4 x 4 each), 0 to 255.
    """

    hash: int | None
    mirror: int | None
    thumbnail: bytes


def fingerprint(image: Image.Image) -> Fingerprint:
    """Return the fingerprint of an upright RGB image of any size."""
    luma, *colours = image.convert("YCbCr").split()
    cells = _shrunk(luma, SIDE)
    thumbnail = b"".join([cells.tobytes(), *(_shrunk(channel, COLOUR_SIDE).tobytes() for channel in colours)])
    if cells.std() < LEAST_CONTRAST:
        return Fingerprint(None, None, thumbnail)
    frequencies = _DCT @ _shrunk(luma, _DCT_SIDE).astype(float) @ _DCT.T
    # A mirror image has its odd horizontal frequencies with the other sign.
    mirrored = frequencies * np.where(np.arange(_HASH_SIDE) % 2, -1, 1)
    return Fingerprint(_signs(frequencies), _signs(mirrored), thumbnail)


def compare(one: np.ndarray, other: np.ndarray, mirrored: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Compare thumbnails pair by pair.

    one, other: uint8 (N, `THUMBNAIL_BYTES`). mirrored: compare with the mirror images of `other`.

    Returns float (N,), the root mean square difference of luma in levels of 0 to 255 after matching brightness and
    contrast, and bool (N,), whether the two show the same picture.
    """
    luma, colour = _parts(one)
    other_luma, other_colour = _parts(other)
    if mirrored:
        other_luma, other_colour = other_luma[:, :, ::-1], other_colour[:, :, :, ::-1]
    luma = _centred(luma)
    other_luma = _centred(other_luma)
    spread, other_spread = luma.std(axis=(1, 2)), other_luma.std(axis=(1, 2))
    least = np.maximum(np.minimum(spread, other_spread), 1e-6)
    correlation = (luma * other_luma).mean(axis=(1, 2)) / np.maximum(spread * other_spread, 1e-6)
    gain = np.clip(spread / np.maximum(other_spread, 1e-6), 1 / MOST_GAIN, MOST_GAIN)
    difference = luma - gain[:, None, None] * other_luma
    rms = np.sqrt((difference**2).mean(axis=(1, 2)))
    same = (rms <= MOST_RMS) & (np.abs(difference).max(axis=(1, 2)) <= MOST_CELL)
    same &= (correlation >= LEAST_CORRELATION) & (least >= LEAST_CONTRAST)
    same &= np.abs(colour - other_colour).max(axis=(1, 2, 3)) <= MOST_COLOUR
    return rms, same


def _shrunk(channel: Image.Image, side: int) -> np.ndarray:
    # Means over areas: the same upright and mirrored, and no stray pixel counts for a whole cell.
    return np.asarray(channel.resize((side, side), Image.Resampling.BOX))


def _signs(frequencies: np.ndarray) -> int:
    values = frequencies.ravel()[1:]
    bits = np.concatenate([[False], values > np.median(values) + _NOISE])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _parts(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = thumbnails.astype(np.float32)
    luma = values[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)
    return luma, values[:, SIDE * SIDE :].reshape(-1, 2, COLOUR_SIDE, COLOUR_SIDE)


def _centred(luma: np.ndarray) -> np.ndarray:
    return luma - luma.mean(axis=(1, 2), keepdims=True)
