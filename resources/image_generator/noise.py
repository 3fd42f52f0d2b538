"""Smooth random fields and filters on float32 arrays."""

import numpy as np
from PIL import Image

Rng = np.random.Generator


def resize(field: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a 2-D float field resampled to (height, width), bicubic."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def value_noise(rng: Rng, height: int, width: int, cell: float, aspect: float = 1.0) -> np.ndarray:
    """Return a (height, width) field around 0.5, with features of about `cell` pixels.

    aspect: how many times longer the features are along x than along y.
    """
    rows = max(2, round(height / cell) + 1)
    columns = max(2, round(width / (cell * aspect)) + 1)
    return resize(rng.random((rows, columns), dtype=np.float32), height, width)


def fractal_noise(
    rng: Rng, height: int, width: int, cell: float, octaves: int = 4, aspect: float = 1.0, gain: float = 0.5
) -> np.ndarray:
    """Return a (height, width) sum of octaves of value noise, scaled to 0..1."""
    field = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        field += gain**octave * value_noise(rng, height, width, max(1.0, cell / 2**octave), aspect)
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


def cells(rng: Rng, height: int, width: int, cell: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Worley noise of a jittered grid: (nearest distance, second distance, id of the nearest cell).

    Distances are in cells; the id is a random number in 0..1, the same all over a cell.
    """
    rows, columns = int(height / cell) + 4, int(width / cell) + 4
    jitter = rng.random((rows, columns, 2), dtype=np.float32)
    identity = rng.random((rows, columns), dtype=np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32) / cell + 1
    row, column = y.astype(int), x.astype(int)
    first = np.full((height, width), 9.0, np.float32)
    second = first.copy()
    nearest = np.zeros((height, width), np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            r, c = row + down, column + right
            distance = np.hypot(r + jitter[r, c, 0] - y, c + jitter[r, c, 1] - x)
            closer = distance < first
            second = np.where(closer, first, np.minimum(second, distance))
            nearest = np.where(closer, identity[r, c], nearest)
            first = np.where(closer, distance, first)
    return first, second, nearest


def blur(field: np.ndarray, radius: float) -> np.ndarray:
    """Return a 2-D field blurred by about a Gaussian of `radius` pixels (three box filters); outside counts as 0."""
    # Three boxes of width b have the variance (b^2 - 1) / 4.
    half = max(0, round((np.sqrt(4 * radius**2 + 1) - 1) / 2))
    if half == 0:
        return field
    for axis in (0, 1):
        for _ in range(3):
            field = _box(field, half, axis)
    return field


def _box(field: np.ndarray, half: int, axis: int) -> np.ndarray:
    margin = [(0, 0), (0, 0)]
    margin[axis] = (half + 1, half)
    total = np.cumsum(np.pad(field, margin), axis=axis, dtype=np.float64)
    width = 2 * half + 1
    ends = [slice(None), slice(None)]
    starts = [slice(None), slice(None)]
    ends[axis], starts[axis] = slice(width, None), slice(None, -width)
    return ((total[tuple(ends)] - total[tuple(starts)]) / width).astype(np.float32)


def smoothstep(low: float, high: float, field: np.ndarray) -> np.ndarray:
    """Return 0 below `low`, 1 above `high`, and a smooth step between."""
    t = np.clip((field - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first: np.ndarray, second: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Return colours between two colours (3,) or images (H, W, 3) by a field (H, W) in 0..1."""
    amount = amount[..., None]
    return np.asarray(first, np.float32) * (1 - amount) + np.asarray(second, np.float32) * amount
