"""Textured grounds: each returns a (height, width, 3) float32 image in about 0..1."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .noise import Rng, blur, cells, fractal_noise, mix, smoothstep, value_noise
from .rendering import hsv


def _grid(height: int, width: int, rng: Rng, spread: float = np.pi) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn = rng.uniform(-spread, spread)
    cosine, sine = np.cos(turn), np.sin(turn)
    return (x * cosine + y * sine).astype(np.float32), (y * cosine - x * sine).astype(np.float32)


def _relief(height_field: np.ndarray, strength: float) -> np.ndarray:
    slope_y, slope_x = np.gradient(height_field)
    return 1 + strength * (slope_x + slope_y)


def wood(rng: Rng, height: int, width: int) -> np.ndarray:
    """Planks with grain, along or across the image."""
    across = rng.random() < 0.3
    h, w = (width, height) if across else (height, width)
    plank = rng.uniform(35, 110)
    y = np.arange(h, dtype=np.float32)[:, None] + rng.uniform(0, plank)
    board = np.floor(y / plank).astype(int)
    tone = rng.uniform(-0.12, 0.12, board.max() + 1).astype(np.float32)[board]
    shift = rng.uniform(0, 50, board.max() + 1).astype(np.float32)[board]
    bend = fractal_noise(rng, h, w, 45, 3, aspect=5)
    rings = np.sin((y + shift * 9) * rng.uniform(0.15, 0.4) + bend * rng.uniform(12, 28))
    fibre = fractal_noise(rng, h, w, 3, 2, aspect=16)
    hue, saturation = rng.uniform(0.05, 0.11), rng.uniform(0.25, 0.65)
    value = rng.uniform(0.45, 0.85)
    image = mix(
        hsv(hue, saturation, value), hsv(hue - 0.01, saturation + 0.15, value * 0.62), 0.35 + 0.3 * rings * fibre
    )
    image = image * (0.85 + 0.3 * fibre + tone)[..., None]
    edge = y / plank - board
    gap = 1 - 0.6 * smoothstep(0.0, 1.6 / plank, np.minimum(edge, 1 - edge))
    image = image * (1.6 - gap)[..., None] if rng.random() < 0.8 else image
    return image.transpose(1, 0, 2) if across else image


def fabric(rng: Rng, height: int, width: int) -> np.ndarray:
    """A woven cloth, plain or with a tartan, with soft folds."""
    x, y = _grid(height, width, rng)
    thread = rng.uniform(2.2, 4.5)
    weave = np.sin(2 * np.pi * x / thread) * np.sin(2 * np.pi * y / thread)
    hue = rng.random()
    base = hsv(hue, rng.uniform(0.1, 0.7), rng.uniform(0.35, 0.9))
    image = np.broadcast_to(np.array(base, np.float32), (height, width, 3))
    if rng.random() < 0.6:
        period = rng.uniform(30, 90)
        other = hsv(hue + rng.uniform(0.1, 0.6), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.95))
        share = rng.uniform(-0.4, 0.6)
        bands = smoothstep(share, share + 0.1, np.sin(2 * np.pi * x / period))
        image = mix(image, other, 0.5 * bands)
        if rng.random() < 0.7:
            image = mix(image, other, 0.5 * smoothstep(share, share + 0.1, np.sin(2 * np.pi * y / period)))
    folds = fractal_noise(rng, height, width, rng.uniform(50, 120), 2)
    return image * (0.86 + 0.1 * weave + 0.25 * (folds - 0.4))[..., None]


def gravel(rng: Rng, height: int, width: int) -> np.ndarray:
    """Stones lying close together."""
    first, second, identity = cells(rng, height, width, rng.uniform(9, 26))
    gap = smoothstep(0.0, rng.uniform(0.12, 0.3), second - first)
    hue = rng.uniform(0.03, 0.65)
    tone = mix(hsv(hue, 0.12, 0.4), hsv(hue + rng.uniform(-0.1, 0.1), 0.2, 0.85), identity)
    grain = fractal_noise(rng, height, width, 4, 3)
    dome = _relief(blur(np.sqrt(np.clip(second - first, 0, 1)), 1), -0.9)
    return tone * (gap * (0.75 + 0.4 * grain) * np.clip(dome, 0.5, 1.5) + 0.16)[..., None]


def grass(rng: Rng, height: int, width: int) -> np.ndarray:
    """Blades over dark earth."""
    earth = fractal_noise(rng, height, width, 14, 4)
    base = mix((0.1, 0.14, 0.05), (0.3, 0.33, 0.14), earth)
    image = Image.fromarray((base * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    hue, lean = rng.uniform(0.18, 0.34), rng.uniform(-0.7, 0.7)
    for depth in np.linspace(0.4, 1.0, int(rng.uniform(900, 2000))):
        x, y = rng.uniform(-10, width + 10), rng.uniform(-5, height + 25)
        length, angle = rng.uniform(8, 26), lean + rng.normal(0, 0.5)
        bend = rng.normal(0, 0.35)
        tip = (x + length * np.sin(angle + bend), y - length * np.cos(angle + bend))
        middle = (x + 0.5 * length * np.sin(angle), y - 0.5 * length * np.cos(angle))
        tone = hsv(hue + rng.normal(0, 0.025), rng.uniform(0.35, 0.75), depth * rng.uniform(0.3, 0.85))
        colour = tuple(int(255 * c) for c in tone)
        draw.line([(x, y), middle, tip], fill=colour, width=int(rng.integers(1, 3)))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.5)), np.float32) / 255


def stone(rng: Rng, height: int, width: int) -> np.ndarray:
    """Marble or slate: veins in a cloudy ground."""
    clouds = fractal_noise(rng, height, width, rng.uniform(40, 100), 5)
    warp = fractal_noise(rng, height, width, 40, 4)
    x, _ = _grid(height, width, rng)
    veins = 1 - np.abs(np.sin(x * rng.uniform(0.01, 0.04) + 7 * warp)) ** rng.uniform(0.2, 0.5)
    hue = rng.random()
    dark, bright = rng.uniform(0.2, 0.5), rng.uniform(0.6, 0.95)
    image = mix(hsv(hue, 0.1, dark), hsv(hue, 0.08, bright), 0.3 + 0.7 * clouds)
    return mix(image, hsv(hue + 0.1, 0.2, rng.choice([0.15, 0.97])), 0.6 * veins)


def tiles(rng: Rng, height: int, width: int) -> np.ndarray:
    """Tiles or bricks with joints, each of its own tone."""
    x, y = _grid(height, width, rng, 0.4)
    tall = rng.uniform(28, 70)
    wide = tall * rng.choice([1.0, 1.0, 2.1])
    row = np.floor(y / tall)
    x = x + (row % 2) * wide * 0.5 * (wide > tall)
    column = np.floor(x / wide)
    tone = np.mod(np.sin(row * 12.99 + column * 78.23 + rng.uniform(0, 9)) * 437.5, 1)
    edge = np.minimum(
        np.minimum(x / wide - column, 1 - x / wide + column) * wide,
        np.minimum(y / tall - row, 1 - y / tall + row) * tall,
    )
    hue = rng.random()
    face = mix(
        hsv(hue, rng.uniform(0.1, 0.6), 0.5), hsv(hue + 0.04, rng.uniform(0.1, 0.5), rng.uniform(0.6, 0.95)), tone
    )
    face = face * (0.8 + 0.35 * fractal_noise(rng, height, width, 12, 4))[..., None]
    joint = np.array(hsv(hue, 0.08, rng.uniform(0.25, 0.8)), np.float32)
    return mix(joint * np.ones((height, width, 1), np.float32), face, smoothstep(1.0, 2.6, edge))


def sand(rng: Rng, height: int, width: int) -> np.ndarray:
    """Grains and ripples in low light."""
    x, _ = _grid(height, width, rng)
    warp = fractal_noise(rng, height, width, 60, 3)
    ripple = np.sin(x * rng.uniform(0.12, 0.35) + 9 * warp) * rng.uniform(0.2, 1.5)
    grain = rng.normal(0, 1, (height, width)).astype(np.float32)
    light = _relief(ripple + 2 * fractal_noise(rng, height, width, 25, 4), 0.45) + 0.07 * grain
    return (
        np.array(hsv(rng.uniform(0.07, 0.14), rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.85)), np.float32)
        * light[..., None]
    )


def paper(rng: Rng, height: int, width: int) -> np.ndarray:
    """Paper or card, sometimes ruled, creased."""
    fibre = fractal_noise(rng, height, width, 3, 2)
    stain = fractal_noise(rng, height, width, 90, 3)
    tone = hsv(rng.uniform(0, 1), rng.uniform(0.02, 0.2), rng.uniform(0.6, 0.97))
    image = np.array(tone, np.float32) * (0.88 + 0.08 * fibre + 0.14 * stain)[..., None]
    x, y = _grid(height, width, rng, 0.5)
    ink = hsv(rng.uniform(0.5, 0.7), 0.5, 0.6)
    kind = int(rng.integers(4))
    pitch = rng.uniform(9, 20)
    if kind in (1, 2):
        image = mix(image, ink, 0.5 * (np.mod(y, pitch) < 1))
    if kind == 2:
        image = mix(image, ink, 0.5 * (np.mod(x, pitch) < 1))
    if kind == 3:
        words = (value_noise(rng, height, width, 2, 2) > 0.5) & (np.mod(y, pitch) < min(4, pitch * 0.3))
        image = mix(image, (0.15, 0.15, 0.18), 0.7 * words)
    crease = np.abs(x - rng.uniform(0, width)) if rng.random() < 0.5 else np.full_like(x, 99)
    return image * (1 - 0.15 * np.exp(-crease / 2))[..., None]


def clutter(rng: Rng, height: int, width: int) -> np.ndarray:
    """A room out of focus: patches of colour, blurred."""
    top, bottom = (hsv(rng.random(), rng.uniform(0, 0.5), rng.uniform(0.2, 0.9)) for _ in range(2))
    slope = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    image = Image.fromarray((mix(top, bottom, slope) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(12, 40))):
        x, y = rng.uniform(-20, width), rng.uniform(-20, height)
        w, h = rng.uniform(10, width / 3), rng.uniform(10, height / 2)
        colour = tuple(int(255 * c) for c in hsv(rng.random(), rng.uniform(0, 0.6), rng.uniform(0.1, 1)))
        shape = (draw.ellipse, draw.rectangle)[int(rng.integers(2))]
        shape([x, y, x + w, y + h], fill=colour)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(2, 9)))
    grain = fractal_noise(rng, height, width, 6, 3)
    return np.asarray(image, np.float32) / 255 * (0.9 + 0.2 * grain)[..., None]


def gradient(rng: Rng, height: int, width: int) -> np.ndarray:
    """A studio backdrop: two colours, a soft cloud between."""
    _, y = _grid(height, width, rng)
    along = (y - y.min()) / (y.max() - y.min())
    cloud = fractal_noise(rng, height, width, 80, 4)
    hue = rng.random()
    first = hsv(hue, rng.uniform(0, 0.6), rng.uniform(0.4, 0.95))
    second = hsv(hue + rng.uniform(-0.15, 0.15), rng.uniform(0, 0.7), rng.uniform(0.15, 0.8))
    return mix(first, second, np.clip(0.7 * along + 0.5 * (cloud - 0.3), 0, 1))


BACKGROUNDS = (wood, wood, fabric, fabric, gravel, grass, stone, tiles, sand, paper, clutter, gradient)
