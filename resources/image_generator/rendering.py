"""From the parts of an object to lit, anti-aliased pixels."""

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .noise import Rng, blur, fractal_noise, mix, smoothstep
from .shapes import Colour, Material, Part, Polygon

SHADING = 2  # shaded samples per pixel and axis
EDGES = 3  # mask samples per shaded sample and axis


@dataclass(frozen=True)
class Light:
    """One lamp and the sky. direction: unit vector towards the lamp (x right, y down, z to the viewer)."""

    direction: tuple[float, float, float]
    ambient: float
    strength: float


@dataclass(frozen=True)
class Pose:
    """How an object lies in the image: `scale` pixels per unit, a turn in radians, a mirror, a stretch along x."""

    scale: float
    turn: float = 0.0
    mirror: bool = False
    stretch: float = 1.0
    shear: float = 0.0

    def matrix(self) -> np.ndarray:
        """Return the 2 x 2 matrix that takes a column of object coordinates to pixels."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        own = np.array([[(-1 if self.mirror else 1) * self.stretch, self.shear], [0, 1]])
        return self.scale * np.array([[cosine, -sine], [sine, cosine]]) @ own


@dataclass(frozen=True)
class Layer:
    """An object's pixels: colour (H, W, 3) premultiplied by alpha (H, W), both float32 in 0..1."""

    colour: np.ndarray
    alpha: np.ndarray


def render(parts: tuple[Part, ...], pose: Pose, light: Light, rng: Rng) -> Layer:
    """Draw the parts, lit, and return them cut tightly, with a border of at least one clear pixel."""
    matrix = pose.matrix()
    points = np.concatenate([polygon for part in parts for polygon in part.polygons]) @ matrix.T
    low = np.floor(points.min(0)) - 2
    width, height = (np.ceil(points.max(0)) + 2 - low).astype(int)
    to_samples = _Frame(matrix * SHADING, -low * SHADING, int(height) * SHADING, int(width) * SHADING)
    colour = np.zeros((to_samples.height, to_samples.width, 3), np.float32)
    alpha = np.zeros((to_samples.height, to_samples.width), np.float32)
    for part in parts:
        cover, shaded = _paint(part, to_samples, light, rng)
        cover = cover * part.material.opacity
        colour = colour * (1 - cover[..., None]) + shaded * cover[..., None]
        alpha = alpha * (1 - cover) + cover
    return Layer(_shrink(colour), _shrink(alpha))


@dataclass(frozen=True)
class _Frame:
    """The grid of shaded samples: sample = matrix @ object + origin."""

    matrix: np.ndarray
    origin: np.ndarray
    height: int
    width: int

    @property
    def unit(self) -> float:
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def object_coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32) + 0.5
        inverse = np.linalg.inv(self.matrix).astype(np.float32)
        x, y = x - np.float32(self.origin[0]), y - np.float32(self.origin[1])
        return inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y


def _paint(part: Part, frame: _Frame, light: Light, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    mask = _mask(part.polygons, frame)
    if part.holes:
        mask = mask * (1 - _mask(part.holes, frame))
    if part.clip is not None:
        mask = mask * _mask((part.clip,), frame)
    u, v = frame.object_coordinates()
    albedo = _albedo(part, u, v, rng)
    height = _height(part, mask, u, frame.unit)
    if part.material.rough:
        bumps = fractal_noise(rng, frame.height, frame.width, 0.12 * frame.unit + 2, 3)
        height = height + bumps * part.material.rough * 0.12 * frame.unit
    shaded = _shade(albedo, height, part.material, light)
    if part.material.outline:
        rim = 1 - smoothstep(0.5, 1.0, blur(mask, 0.035 * frame.unit))
        shaded = shaded * (1 - part.material.outline * rim)[..., None]
    return mask, np.clip(shaded, 0, 1)


def _mask(polygons: tuple[Polygon, ...], frame: _Frame) -> np.ndarray:
    image = Image.new("L", (frame.width * EDGES, frame.height * EDGES))
    draw = ImageDraw.Draw(image)
    for polygon in polygons:
        points = (polygon @ frame.matrix.T + frame.origin) * EDGES
        draw.polygon([tuple(point) for point in points.tolist()], fill=255)
    return np.asarray(image.reduce(EDGES), np.float32) / 255


def _height(part: Part, mask: np.ndarray, u: np.ndarray, unit: float) -> np.ndarray:
    if part.form == "flat":
        return np.zeros_like(mask)
    if part.form == "cylinder":
        return part.relief * unit * part.width * np.sqrt(np.clip(1 - (u / part.width) ** 2, 0.01, 1))
    if part.form == "fold":
        return -0.35 * part.relief * unit * np.abs(u) + _cushion(mask, unit) * 0.3 * part.relief
    return _cushion(mask, unit) * part.relief


def _cushion(mask: np.ndarray, unit: float) -> np.ndarray:
    height = np.zeros_like(mask)
    for radius in (0.05 * unit, 0.12 * unit, 0.3 * unit):
        inside = np.clip(2 * blur(mask, radius) - 1, 0, 1)
        height += radius * np.sqrt(inside + 1e-4)
    return height * 1.2


def _shade(albedo: np.ndarray, height: np.ndarray, material: Material, light: Light) -> np.ndarray:
    slope_y, slope_x = np.gradient(height)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    normal = np.stack([-slope_x, -slope_y, np.ones_like(height)], -1) / length[..., None]
    to_light = np.array(light.direction, np.float32)
    half = to_light + np.array([0, 0, 1], np.float32)
    half = half / np.linalg.norm(half)
    diffuse = np.clip(normal @ to_light, 0, 1)
    sky = 0.75 - 0.25 * normal[..., 1]
    lit = albedo * (light.ambient * sky + light.strength * diffuse)[..., None]
    if material.metal:
        mirror = 0.55 + 0.45 * np.sin(5.0 * normal[..., 0] + 4.0 * normal[..., 1] + 0.8)
        lit = mix(lit, albedo * (0.35 + 0.9 * mirror)[..., None], np.full_like(height, material.metal))
    shine = np.clip(normal @ half, 0, 1) ** (12 + 60 * material.gloss)
    return lit + (material.gloss * shine)[..., None]


def _albedo(part: Part, u: np.ndarray, v: np.ndarray, rng: Rng) -> np.ndarray:
    material = part.material
    if part.form == "cylinder":
        u = np.arcsin(np.clip(u / part.width, -1, 1)) * part.width
    cosine, sine = np.cos(material.angle), np.sin(material.angle)
    amount = PATTERNS[material.pattern](u * cosine + v * sine, v * cosine - u * sine, material.frequency, rng)
    return mix(material.colour, material.second, amount.astype(np.float32))


def _shrink(samples: np.ndarray) -> np.ndarray:
    height, width = samples.shape[0] // SHADING, samples.shape[1] // SHADING
    return samples.reshape(height, SHADING, width, SHADING, *samples.shape[2:]).mean((1, 3))


def _plain(u, v, frequency, rng):
    return np.zeros_like(u)


def _stripes(u, v, frequency, rng):
    return smoothstep(-0.15, 0.15, np.sin(u * frequency * np.pi) + rng.uniform(-0.5, 0.5))


def _waves(u, v, frequency, rng):
    return smoothstep(-0.2, 0.2, np.sin(v * frequency * np.pi + 1.2 * np.sin(u * frequency * np.pi)))


def _checks(u, v, frequency, rng):
    return smoothstep(-0.1, 0.1, np.sin(u * frequency * np.pi) * np.sin(v * frequency * np.pi))


def _dots(u, v, frequency, rng):
    row = np.floor(v * frequency)
    x = u * frequency + 0.5 * (row % 2)
    radius = np.hypot(x - np.floor(x) - 0.5, v * frequency - row - 0.5)
    return 1 - smoothstep(0.22, 0.32, radius)


def _scales(u, v, frequency, rng):
    row = np.floor(v * frequency)
    x = u * frequency + 0.5 * (row % 2)
    return 0.8 * smoothstep(0.25, 0.75, np.hypot(x - np.floor(x) - 0.5, v * frequency - row))


def _patches(u, v, frequency, rng):
    field = fractal_noise(rng, *u.shape, max(4.0, min(u.shape) / frequency), 4)
    return smoothstep(0.42, 0.6, field)


def _mottled(u, v, frequency, rng):
    return fractal_noise(rng, *u.shape, max(4.0, min(u.shape) / frequency), 4)


def _speckles(u, v, frequency, rng):
    return smoothstep(0.68, 0.75, fractal_noise(rng, *u.shape, max(3.0, min(u.shape) / (6 * frequency)), 2))


def _fade(u, v, frequency, rng):
    return smoothstep(-0.9, 0.9, v)


def _band(u, v, frequency, rng):
    centre, half = rng.uniform(-0.3, 0.4), rng.uniform(0.1, 0.3)
    return 1 - smoothstep(half, half + 0.03, np.abs(v - centre))


def _rings(u, v, frequency, rng):
    return smoothstep(-0.15, 0.15, np.sin(np.hypot(u, v) * frequency * 2 * np.pi))


PATTERNS = {
    "plain": _plain,
    "stripes": _stripes,
    "waves": _waves,
    "checks": _checks,
    "dots": _dots,
    "scales": _scales,
    "patches": _patches,
    "mottled": _mottled,
    "speckles": _speckles,
    "fade": _fade,
    "band": _band,
    "rings": _rings,
}


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour from hue (in turns, any number), saturation and value in 0..1."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0), 1), min(max(value, 0), 1))
