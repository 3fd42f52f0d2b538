"""Outlines of objects, in an object's own frame: x right, y down, the object within about -1..1."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Polygon = np.ndarray  # (N, 2) of x, y
Colour = tuple[float, float, float]  # red, green, blue in 0..1


@dataclass(frozen=True)
class Material:
    """What a surface looks like.

    colour, second: the two colours that `pattern` mixes.
    pattern: a name of `rendering.PATTERNS`; frequency and angle (radians) are its, in the object's frame.
    gloss:   strength of the highlight, 0 (matt) to 1.
    metal:   how much the surface mirrors its surroundings, 0 to 1.
    opacity: 1 is opaque.
    outline: how dark the rim of the part is drawn, 0 to 1.
    rough:   height of random bumps, 0 to 1.
    """

    colour: Colour
    second: Colour = (1.0, 1.0, 1.0)
    pattern: str = "plain"
    frequency: float = 6.0
    angle: float = 0.0
    gloss: float = 0.2
    metal: float = 0.0
    opacity: float = 1.0
    outline: float = 0.0
    rough: float = 0.0


@dataclass(frozen=True)
class Part:
    """One surface of an object; parts are painted in order, later ones on top.

    polygons: their union is the surface; `holes` are cut out; with `clip`, only what lies within that polygon is kept.
    form:     "inflate" (rounded like a cushion), "cylinder" (round about the y axis, half width `width`),
              "fold" (two slopes that meet at x = 0) or "flat".
    relief:   how strongly the form shows.
    """

    polygons: tuple[Polygon, ...]
    material: Material
    holes: tuple[Polygon, ...] = ()
    clip: Polygon | None = None
    form: str = "inflate"
    width: float = 1.0
    relief: float = 1.0


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, count: int = 48) -> Polygon:
    """Return an ellipse about (x, y), turned by `turn` radians."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    points = np.stack([rx * np.cos(angle), ry * np.sin(angle)], 1)
    return moved(rotate(points, turn), x, y)


def rectangle(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Polygon:
    """Return a rectangle with corners rounded by `radius`."""
    if radius <= 0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)
    corners = [(x1 - radius, y0 + radius, -90), (x1 - radius, y1 - radius, 0)]
    corners += [(x0 + radius, y1 - radius, 90), (x0 + radius, y0 + radius, 180)]
    arcs = [arc(x, y, radius, radius, start, start + 90, 8) for x, y, start in corners]
    return np.concatenate(arcs)


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float, count: int = 24) -> Polygon:
    """Return points of an elliptic arc from `start` to `stop` degrees, clockwise as seen (y is down)."""
    angle = np.radians(np.linspace(start, stop, count))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1)


def smooth(points: object, closed: bool = True, steps: int = 8) -> Polygon:
    """Return a Catmull-Rom curve through `points`."""
    points = np.asarray(points, float)
    if not closed:
        points = np.concatenate([points[:1] * 2 - points[1:2], points, points[-1:] * 2 - points[-2:-1]])
    before, here, after, beyond = (np.roll(points, shift, 0) for shift in (1, 0, -1, -2))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    before, here, after, beyond = (p[:, None] for p in (before, here, after, beyond))
    curve = 0.5 * (
        2 * here
        + (after - before) * t
        + (2 * before - 5 * here + 4 * after - beyond) * t**2
        + (3 * here - before - 3 * after + beyond) * t**3
    )
    return curve.reshape(-1, 2) if closed else np.concatenate([curve[1:-2].reshape(-1, 2), points[-2:-1]])


def mirrored(profile: object, steps: int = 8) -> Polygon:
    """Return the smooth outline of a body that is symmetric about the y axis, from its right side, top to bottom."""
    right = smooth(profile, closed=False, steps=steps)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def stroke(points: object, start: float, stop: float | None = None) -> tuple[Polygon, ...]:
    """Return polygons that together draw a round-ended line, its width going from `start` to `stop`."""
    points = np.asarray(points, float)
    radii = np.linspace(start, start if stop is None else stop, len(points)) / 2
    polygons = [ellipse(x, y, r, r, count=16) for (x, y), r in zip(points, radii, strict=True)]
    for (p, q), (rp, rq) in zip(pairwise(points), pairwise(radii), strict=True):
        along = (q - p) / max(np.hypot(*(q - p)), 1e-9)
        across = np.array([-along[1], along[0]])
        polygons.append(np.array([p + across * rp, q + across * rq, q - across * rq, p - across * rp]))
    return tuple(polygons)


def moved(points: Polygon, x: float, y: float) -> Polygon:
    """Return points moved by (x, y)."""
    return points + np.array([x, y])


def rotate(points: Polygon, angle: float) -> Polygon:
    """Return points turned about the origin by `angle` radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])
