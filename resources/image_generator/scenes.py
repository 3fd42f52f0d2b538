"""A whole image: a ground, things on it, light, a camera; and the box of what is seen of each labelled object."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .backgrounds import BACKGROUNDS
from .noise import Rng, blur, fractal_noise, resize
from .objects import DISTRACTORS, OCCLUDERS, UPRIGHT, Specimen
from .rendering import Layer, Light, Pose, render

SIZES = ((320, 240), (320, 240), (320, 213), (300, 225), (288, 216), (320, 256), (256, 256), (240, 320), (256, 320))
OBJECT_COUNTS = (1, 2, 3, 4)
OBJECT_COUNT_SHARES = (0.4, 0.3, 0.2, 0.1)
LEAST_VISIBLE = 0.5  # share of an object's pixels, off the image or hidden, below which it counts as lost
MARGIN = 2  # pixels an uncut object keeps from the border


@dataclass(frozen=True)
class Difficulty:
    """How hard a set of images is.

    smallest: least size of a labelled object, as a share of the image's shorter side.
    clutter:  most things in an image that are not labelled.
    covered:  share of images in which a ribbon or card lies over the rest.
    """

    smallest: float = 0.22
    clutter: int = 4
    covered: float = 0.35


@dataclass(frozen=True)
class DrawnObject:
    """A labelled object. mask: (H, W) float32, how much of each pixel shows it; cut: it leaves the image."""

    label: str
    mask: np.ndarray
    cut: bool

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(xmin, ymin, xmax, ymax) of the visible extent: pixel edges, so 0 <= xmin < xmax <= width."""
        return box_of(self.mask)


@dataclass(frozen=True)
class Scene:
    """pixels: (H, W, 3) uint8 RGB."""

    pixels: np.ndarray
    objects: tuple[DrawnObject, ...]


@dataclass(frozen=True)
class _Placed:
    label: str | None
    layer: Layer
    x: int
    y: int
    cut: bool


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the tight box (xmin, ymin, xmax, ymax), in pixel edges, of the pixels a mask covers by half."""
    covered = mask >= 0.5
    columns, rows = np.flatnonzero(covered.any(0)), np.flatnonzero(covered.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def draw_scene(
    rng: Rng,
    classes: Mapping[str, Specimen],
    empty: bool = False,
    zoom: float = 1.0,
    difficulty: Difficulty = Difficulty(),
) -> Scene:
    """Draw one image with 1 to 4 objects of `classes` (none if `empty`), and with things that are not labelled.

    zoom: of both sides of the image, against SIZES.
    """
    width, height = (round(side * zoom) for side in SIZES[int(rng.integers(len(SIZES)))])
    light = _light(rng)
    ground = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))](rng, height, width)
    placed: list[_Placed] = []
    for label, specimen, share in _cast(rng, classes, empty, difficulty):
        layer = render(specimen(rng), _pose(rng, label, share * min(width, height) / 2), light, rng)
        spot = _find_spot(rng, placed, layer, label, (height, width))
        if spot is not None:
            placed.append(spot)
    image, masks = _compose(rng, ground, placed, light)
    objects = [DrawnObject(p.label, m, p.cut) for p, m in zip(placed, masks, strict=True) if p.label is not None]
    return Scene(_photograph(rng, image), tuple(objects))


def _light(rng: Rng) -> Light:
    azimuth, elevation = rng.uniform(-np.pi, 0.15 * np.pi), rng.uniform(0.5, 1.15)
    direction = (np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation))
    ambient = rng.uniform(0.3, 0.55)
    return Light(tuple(float(d) for d in direction), ambient, 1.15 - ambient * 0.6)


def _cast(
    rng: Rng, classes: Mapping[str, Specimen], empty: bool, difficulty: Difficulty
) -> list[tuple[str | None, Specimen, float]]:
    """Return (label or None, specimen, size as a share of the image's shorter side), in the order of painting."""
    names = sorted(classes)
    count = 0 if empty else int(rng.choice(OBJECT_COUNTS, p=OBJECT_COUNT_SHARES))
    largest = (0, 0.95, 0.75, 0.6, 0.5)[count]
    cast: list[tuple[str | None, Specimen, float]] = []
    for _ in range(count):
        name = names[int(rng.integers(len(names)))]
        cast.append((name, classes[name], float(np.exp(rng.uniform(np.log(difficulty.smallest), np.log(largest))))))
    for _ in range(int(rng.integers(0, difficulty.clutter + 1)) + 2 * empty):
        cast.append((None, DISTRACTORS[int(rng.integers(len(DISTRACTORS)))], float(rng.uniform(0.08, 0.35))))
    order = [cast[i] for i in rng.permutation(len(cast))]
    if rng.random() < difficulty.covered:
        order.append((None, OCCLUDERS[int(rng.integers(len(OCCLUDERS)))], float(rng.uniform(0.3, 0.8))))
    return order


def _pose(rng: Rng, label: str | None, scale: float) -> Pose:
    upright = label in UPRIGHT and rng.random() < 0.75
    turn = rng.normal(0, 0.2) if upright else rng.uniform(-np.pi, np.pi)
    return Pose(
        scale, float(turn), bool(rng.random() < 0.5), float(rng.uniform(0.82, 1.12)), float(rng.normal(0, 0.06))
    )


def _find_spot(
    rng: Rng, placed: list[_Placed], layer: Layer, label: str | None, size: tuple[int, int]
) -> _Placed | None:
    for _ in range(30):
        spot = _random_spot(rng, layer, label, size)
        visible = _visible([*placed, spot], size)
        if all(_is_clear(p, mask) for p, mask in zip([*placed, spot], visible, strict=True)):
            return spot
    return None


def _random_spot(rng: Rng, layer: Layer, label: str | None, size: tuple[int, int]) -> _Placed:
    height, width = layer.alpha.shape
    free_x, free_y = size[1] - width - 2 * MARGIN, size[0] - height - 2 * MARGIN
    over = rng.random() < (0.2 if label is not None else 0.4) or free_x < 0 or free_y < 0
    if over:
        x = int(rng.integers(-width // 2, size[1] - width // 2))
        y = int(rng.integers(-height // 2, size[0] - height // 2))
    else:
        x, y = MARGIN + int(rng.integers(free_x + 1)), MARGIN + int(rng.integers(free_y + 1))
    inside = _paste(np.zeros(size, np.float32), layer.alpha, x, y).sum()
    lost = 1 - inside / layer.alpha.sum()
    return _Placed(label, layer, x, y, bool(lost > 1e-4))


def _is_clear(placed: _Placed, mask: np.ndarray) -> bool:
    """Say whether a labelled object is seen well enough, and plainly either cut by the border or not."""
    if placed.label is None:
        return True
    if mask.sum() < LEAST_VISIBLE * placed.layer.alpha.sum() or not (mask >= 0.5).any():
        return False
    xmin, ymin, xmax, ymax = box_of(mask)
    height, width = mask.shape
    touches = xmin == 0 or ymin == 0 or xmax == width or ymax == height
    return touches == placed.cut and min(xmax - xmin, ymax - ymin) >= 12


def _visible(placed: list[_Placed], size: tuple[int, int]) -> list[np.ndarray]:
    """Return, for each thing in the order of painting, how much of each pixel still shows it."""
    clear = np.ones(size, np.float32)
    masks = []
    for thing in reversed(placed):
        cover = _paste(np.zeros(size, np.float32), thing.layer.alpha, thing.x, thing.y)
        masks.append(cover * clear)
        clear = clear * (1 - cover)
    return masks[::-1]


def _paste(canvas: np.ndarray, piece: np.ndarray, x: int, y: int) -> np.ndarray:
    height, width = canvas.shape[:2]
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + piece.shape[0], height), min(x + piece.shape[1], width)
    if bottom > top and right > left:
        canvas[top:bottom, left:right] = piece[top - y : bottom - y, left - x : right - x]
    return canvas


def _compose(rng: Rng, ground: np.ndarray, placed: list[_Placed], light: Light) -> tuple[np.ndarray, list[np.ndarray]]:
    size = ground.shape[:2]
    image = ground.astype(np.float32)
    depth, softness = rng.uniform(0.25, 0.6), rng.uniform(0.03, 0.09)
    for thing in placed:
        alpha = _paste(np.zeros(size, np.float32), thing.layer.alpha, thing.x, thing.y)
        colour = _paste(np.zeros((*size, 3), np.float32), thing.layer.colour, thing.x, thing.y)
        extent = min(thing.layer.alpha.shape)
        away = -np.array(light.direction[:2]) / light.direction[2] * extent * 0.07
        cast = _paste(np.zeros(size, np.float32), thing.layer.alpha, thing.x + round(away[0]), thing.y + round(away[1]))
        shadow = depth * blur(cast, 1 + softness * extent) + 0.3 * blur(alpha, 1.5)
        image = image * (1 - np.clip(shadow, 0, 0.85))[..., None]
        image = image * (1 - alpha[..., None]) + colour
    return image, _visible(placed, size)


def _photograph(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Return uint8 pixels as a camera would: uneven light, exposure, white balance, blur, noise."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    lit = 1 + rng.uniform(0, 0.25) * (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1))
    lit = lit * (1 - rng.uniform(0, 0.3) * (x**2 + y**2) / 2)
    if rng.random() < 0.25:
        # The shadow of a window frame or of a tree.
        lit = lit * (0.75 + 0.35 * np.clip(4 * fractal_noise(rng, height, width, 90, 2) - 1.5, 0, 1))
    warmth = rng.normal(0, 0.06)
    balance = np.array([1 + warmth, 1 + rng.normal(0, 0.015), 1 - warmth], np.float32)
    exposure = np.exp(rng.normal(0.1, 0.18))
    image = np.clip(image * lit[..., None] * balance * exposure, 0, None) ** rng.uniform(0.9, 1.15)
    # Film and sensors compress highlights: a bright ground keeps its texture.
    image = image / (1 + image**4) ** 0.25 * 1.08
    if rng.random() < 0.3:
        radius = rng.uniform(0.6, 1.1)
        small = [
            resize(image[..., c], round(height / (1 + radius / 2)), round(width / (1 + radius / 2))) for c in range(3)
        ]
        image = np.stack([resize(channel, height, width) for channel in small], -1)
    image = image + rng.normal(0, rng.uniform(0.003, 0.03), image.shape)
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
