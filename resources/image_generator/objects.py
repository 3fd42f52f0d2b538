"""The things that are drawn: every function returns the parts of one random specimen."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from .noise import Rng
from .rendering import hsv
from .shapes import Material, Part, Polygon, arc, ellipse, mirrored, moved, rectangle, rotate, smooth, stroke

Specimen = Callable[[Rng], tuple[Part, ...]]


def any_colour(rng: Rng, low: float = 0.2, high: float = 0.97) -> tuple[float, float, float]:
    """Return a colour that paint or glaze may have: some vivid, some pale, some near grey."""
    saturation = rng.choice([rng.uniform(0.0, 0.15), rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.9)])
    return hsv(rng.random(), saturation, rng.uniform(low, high))


def metal(rng: Rng) -> Material:
    """Return steel, brass or copper."""
    hue, saturation = [(0.58, 0.05), (0.6, 0.02), (0.12, 0.45), (0.06, 0.5)][int(rng.integers(4))]
    colour = hsv(hue, saturation, rng.uniform(0.55, 0.9))
    return Material(colour, gloss=0.7, metal=rng.uniform(0.5, 0.9), outline=rng.uniform(0.2, 0.6))


def paint(rng: Rng, patterns: tuple[str, ...], frequency: tuple[float, float] = (3, 9), **changes: object) -> Material:
    """Return a random coat of paint with one of the patterns."""
    return replace(
        Material(
            any_colour(rng),
            any_colour(rng),
            pattern=str(rng.choice(patterns)),
            frequency=rng.uniform(*frequency),
            angle=rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]),
            gloss=rng.uniform(0.05, 0.7),
            outline=rng.choice([0.0, 0.3, rng.uniform(0.3, 0.8)]),
        ),
        **changes,
    )


# The two classes of the demo.


def mug(rng: Rng) -> tuple[Part, ...]:
    """A mug seen from slightly above, its handle at the right."""
    top, foot = rng.uniform(0.5, 0.66), rng.uniform(0.85, 1.0)
    foot = top * foot
    tilt, tall = rng.uniform(0.18, 0.42), rng.uniform(0.55, 0.85)
    glaze = paint(rng, ("plain", "plain", "stripes", "dots", "band", "waves", "checks", "speckles", "fade"))
    rim = tilt * top
    belly = rng.uniform(-0.06, 0.1)
    y = np.linspace(-tall, tall, 9)
    side = foot + (top - foot) * (tall - y) / (2 * tall) + belly * (1 - (y / tall) ** 2)
    body = np.concatenate(
        [
            np.stack([side, y], 1),
            arc(0, tall, foot, tilt * foot, 0, 180),
            np.stack([-side, y], 1)[::-1],
            arc(0, -tall, top, rim, 180, 360),
        ]
    )
    opening = ellipse(0, -tall, top, rim)
    inside = ellipse(0, -tall + 0.01, top * 0.91, rim * 0.88)
    lining = any_colour(rng, 0.5) if rng.random() < 0.5 else hsv(0.1, rng.uniform(0, 0.1), rng.uniform(0.7, 0.97))
    lip = replace(glaze, colour=glaze.colour if rng.random() < 0.6 else lining, pattern="plain", outline=0.1)
    parts = [
        Part(_handle(rng, float(side[4]), tall), replace(glaze, pattern="plain"), relief=1.2),
        Part((body,), glaze, form="cylinder", width=float(side.max()) + 0.01, relief=0.75),
        Part((opening,), lip, relief=0.6),
        Part((inside,), replace(lip, colour=tuple(0.62 * c for c in lining), gloss=0.1), form="flat"),
    ]
    if rng.random() < 0.6:
        drink = hsv(rng.uniform(0.03, 0.1), rng.uniform(0.4, 0.8), rng.uniform(0.15, 0.6))
        level = ellipse(0, -tall + rim * 0.35, top * 0.86, rim * 0.75)
        parts.append(Part((level,), Material(drink, gloss=0.5), clip=inside, form="flat"))
    else:
        shade = ellipse(-top * 0.2, -tall + rim * 0.25, top * 0.8, rim * 0.75)
        dark = Material(tuple(0.4 * c for c in lining), gloss=0.0, opacity=0.6)
        parts.append(Part((shade,), dark, clip=inside, form="flat"))
    return tuple(parts)


def _handle(rng: Rng, side: float, tall: float) -> tuple[Polygon, ...]:
    thick = rng.uniform(0.11, 0.19)
    reach, half = rng.uniform(0.3, 0.45), tall * rng.uniform(0.5, 0.72)
    middle = rng.uniform(-0.12, 0.08)
    if rng.random() < 0.3:
        corner = rng.uniform(0.6, 0.95)
        points = [(side - 0.08, -half), (side + reach * corner, -half), (side + reach, -half * 0.6)]
        points += [(side + reach * 0.9, half * 0.3), (side - 0.08, half)]
        line = smooth(points, closed=False, steps=6)
    else:
        line = arc(side - 0.06, 0, reach + 0.06, half, -90, 90, 20)
    return stroke(moved(line, 0, middle), thick, thick * rng.uniform(0.8, 1.1))


def leaf(rng: Rng) -> tuple[Part, ...]:
    """A leaf, its stalk at the bottom: oval, lance-shaped, heart-shaped, lobed like oak or pointed like maple."""
    kind = str(rng.choice(["oval", "lance", "heart", "oak", "maple"]))
    outline = _maple(rng) if kind == "maple" else _blade(rng, kind)
    green = (rng.uniform(0.2, 0.36), rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.7))
    autumn = (rng.uniform(0.0, 0.15), rng.uniform(0.55, 0.9), rng.uniform(0.4, 0.9))
    hue, saturation, value = green if rng.random() < 0.55 else autumn
    colour = hsv(hue, saturation, value)
    other = hsv(hue + rng.uniform(-0.1, 0.06), saturation, value * rng.uniform(0.55, 1.25))
    skin = Material(
        colour,
        other,
        pattern=str(rng.choice(["plain", "mottled", "mottled", "patches", "speckles", "fade"])),
        frequency=rng.uniform(2, 5),
        gloss=rng.uniform(0.05, 0.45),
        outline=rng.uniform(0, 0.5),
        rough=rng.uniform(0.1, 0.5),
    )
    bright = rng.random() < 0.6
    vein = tuple(min(1.0, c * 1.35 + 0.1) if bright else c * 0.6 for c in colour)
    rib = Material(vein, gloss=0.1, opacity=rng.uniform(0.5, 0.9))
    low = float(outline[:, 1].max())
    bend = 0.0 if kind == "maple" else rng.uniform(-0.16, 0.16)
    stalk = smooth(
        [(0, low - 0.3), (0.01, low), (rng.uniform(-0.12, 0.12), low + rng.uniform(0.12, 0.3))], closed=False
    )
    return (
        Part(_bent(stroke(stalk, 0.05, 0.035), bend), replace(rib, opacity=1.0)),
        Part(_bent((outline,), bend), skin, form="fold", relief=rng.uniform(0.5, 1.3)),
        Part(_bent(_veins(rng, kind, outline), bend), rib, clip=_bent((outline,), bend)[0], relief=0.5),
    )


def _bent(polygons: tuple[Polygon, ...], bend: float) -> tuple[Polygon, ...]:
    return tuple(p + np.stack([bend * (1 - p[:, 1] ** 2), 0 * p[:, 1]], 1) for p in polygons)


def _blade(rng: Rng, kind: str) -> Polygon:
    wide = {"oval": 0.5, "lance": 0.26, "heart": 0.68, "oak": 0.5}[kind] * rng.uniform(0.85, 1.15)
    t = np.linspace(0, 1, 90)
    profile = np.sin(np.pi * t ** rng.uniform(0.8, 1.35)) ** rng.uniform(0.75, 1.1)
    y = -0.95 + 1.75 * t
    if kind == "heart":
        profile = np.sin(np.pi * t**1.5) ** 0.9 + 0.0 * t
        y = y + 0.22 * np.clip(t - 0.75, 0, 1) * profile
    if kind == "oak":
        profile = profile * (1 + 0.3 * np.cos(2 * np.pi * rng.integers(3, 5) * t + rng.uniform(0, 6)))
    if kind in ("oval", "heart") and rng.random() < 0.5:
        teeth = rng.integers(9, 16)
        profile = profile + 0.09 * (np.mod(t * teeth, 1) - 0.5) * np.sin(np.pi * t)
    x = wide * np.clip(profile, 0, None)
    right = np.stack([x, y], 1)
    left = np.stack([-x * rng.uniform(0.85, 1.0), y], 1)
    return np.concatenate([right, left[::-1]])


def _maple(rng: Rng) -> Polygon:
    lobes = [(-90, 1.0), (-35, 0.88), (-145, 0.88), (18, 0.62), (162, 0.62)]
    notch = rng.uniform(0.34, 0.48)
    points = []
    order = sorted((angle % 360, reach) for angle, reach in lobes)
    for index, (angle, reach) in enumerate(order):
        reach = reach * rng.uniform(0.92, 1.08)
        tip, near = 8 * rng.uniform(0.8, 1.2), rng.uniform(0.62, 0.72)
        points += [(angle - 2.2 * tip, reach * near), (angle - tip, reach * 0.72), (angle, reach)]
        points += [(angle + tip, reach * 0.72), (angle + 2.2 * tip, reach * near)]
        following = order[(index + 1) % len(order)][0] + (360 if index == len(order) - 1 else 0)
        points.append(((angle + following) / 2, notch * (0.55 if 60 < (angle + following) / 2 < 120 else 1)))
    angle, radius = np.radians([p[0] for p in points]), np.array([p[1] for p in points])
    return np.stack([radius * np.cos(angle), radius * np.sin(angle) + 0.1], 1)


def _veins(rng: Rng, kind: str, outline: Polygon) -> tuple[Polygon, ...]:
    if kind == "maple":
        foot = np.array([0.0, 0.42])
        tips = [np.array([np.cos(a), np.sin(a)]) * 0.75 + (0, 0.1) for a in np.radians([-90, -35, -145, 12, 168])]
        return tuple(polygon for tip in tips for polygon in stroke([foot, (foot + tip) / 2, tip], 0.045, 0.012))
    low, high = float(outline[:, 1].max()), float(outline[:, 1].min())
    polygons = list(stroke([(0, low), (0, (low + high) / 2), (0, high + 0.1)], 0.05, 0.015))
    for y in np.linspace(low - 0.15, high + 0.35, int(rng.integers(5, 8))):
        for side in (-1, 1):
            polygons += stroke([(0, y), (side * 0.3, y - 0.2), (side * 0.6, y - 0.5)], 0.028, 0.01)
    return tuple(polygons)


# The classes of the pretraining set.


def key(rng: Rng) -> tuple[Part, ...]:
    """A key, its bow at the top."""
    skin = metal(rng)
    bow = rng.uniform(0.26, 0.36)
    ring = ellipse(0, -0.6, bow, bow * rng.uniform(0.75, 1.1))
    if rng.random() < 0.4:
        ring = rectangle(-bow, -0.6 - bow, bow, -0.6 + bow, 0.12)
    hole = ellipse(0, -0.6 - rng.uniform(0, 0.1), bow * rng.uniform(0.35, 0.65), bow * rng.uniform(0.35, 0.65))
    shaft = rng.uniform(0.06, 0.1)
    polygons = [ring, rectangle(-shaft, -0.45, shaft, 0.95, 0.04)]
    y = 0.88
    for _ in range(int(rng.integers(2, 5))):
        tall = rng.uniform(0.07, 0.13)
        polygons.append(rectangle(0, y - tall, shaft + rng.uniform(0.1, 0.28), y))
        y -= tall + rng.uniform(0.03, 0.08)
    return (Part(tuple(polygons), skin, holes=(hole,)),)


def fish(rng: Rng) -> tuple[Part, ...]:
    """A fish that looks to the right."""
    deep = rng.uniform(0.26, 0.5)
    skin = paint(rng, ("scales", "scales", "stripes", "dots", "patches", "fade", "waves"), (5, 10), gloss=0.6)
    body = smooth([(0.9, 0.02), (0.55, -deep * 0.85), (0.1, -deep), (-0.4, -deep * 0.55), (-0.62, -0.08),
                   (-0.62, 0.08), (-0.4, deep * 0.55), (0.1, deep), (0.55, deep * 0.8)])  # fmt: skip
    spread = rng.uniform(0.3, 0.5)
    tail = smooth([(-0.55, 0), (-0.98, -spread), (-0.85, 0), (-0.98, spread)])
    back = smooth([(0.35, -deep * 0.8), (0.0, -deep - rng.uniform(0.15, 0.35)), (-0.4, -deep * 0.5)])
    belly = smooth([(0.2, deep * 0.85), (-0.05, deep + rng.uniform(0.1, 0.25)), (-0.2, deep * 0.7)])
    fin = Material(any_colour(rng), tuple(0.6 * c for c in skin.colour), "stripes", 14, 0.3, outline=0.2)
    side = smooth([(0.25, 0.08), (-0.1, 0.02), (-0.12, 0.24)])
    mouth = stroke([(0.88, 0.07), (0.74, 0.1)], 0.03)
    return (
        Part((tail, back, belly), fin, relief=0.5),
        Part((body,), skin),
        Part((side,), fin, relief=0.7),
        Part((ellipse(0.6, -0.1, 0.09, 0.09),), Material((0.95, 0.95, 0.9), gloss=0.6)),
        Part((ellipse(0.62, -0.1, 0.05, 0.05), *mouth), Material((0.05, 0.05, 0.05), gloss=0.6)),
    )


def pear(rng: Rng) -> tuple[Part, ...]:
    """A pear with its stem."""
    neck, belly = rng.uniform(0.24, 0.36), rng.uniform(0.56, 0.7)
    hue = rng.uniform(0.02, 0.26)
    outline = mirrored([(0.03, -0.72), (neck * 0.8, -0.66), (neck, -0.35), (belly * 0.93, 0.15), (belly, 0.45),
                        (belly * 0.8, 0.8), (0.25, 0.94), (0, 0.92)])  # fmt: skip
    skin = Material(hsv(hue, 0.7, 0.85), hsv(hue - 0.06, 0.75, 0.6), str(rng.choice(["speckles", "mottled", "fade"])),
                    rng.uniform(2, 5), gloss=rng.uniform(0.2, 0.6), outline=rng.uniform(0, 0.4))  # fmt: skip
    stem = stroke(smooth([(0, -0.66), (0.02, -0.8), (rng.uniform(-0.15, 0.15), -0.98)], closed=False), 0.06, 0.08)
    return Part(stem, Material((0.35, 0.22, 0.1))), Part((outline,), skin, relief=1.3)


def bottle(rng: Rng) -> tuple[Part, ...]:
    """A bottle with a cap and mostly a label."""
    wide, neck = rng.uniform(0.26, 0.38), rng.uniform(0.09, 0.15)
    shoulder = rng.uniform(-0.4, -0.1)
    outline = mirrored([(neck, -0.85), (neck, shoulder - 0.22), (wide * 0.9, shoulder), (wide, shoulder + 0.2),
                        (wide, 0.85), (wide * 0.92, 0.95), (0, 0.97)])  # fmt: skip
    glass = Material(hsv(rng.uniform(0, 0.65), rng.uniform(0.1, 0.8), rng.uniform(0.2, 0.9)), gloss=0.9,
                     opacity=rng.uniform(0.8, 1.0), outline=0.4)  # fmt: skip
    parts = [Part((outline,), glass, form="cylinder", width=wide + 0.01, relief=0.9)]
    if rng.random() < 0.8:
        top = rng.uniform(shoulder + 0.25, 0.3)
        label = rectangle(-wide, top, wide, rng.uniform(0.6, 0.8))
        style = paint(rng, ("plain", "band", "stripes", "checks", "dots"), gloss=0.05)
        parts.append(Part((label,), style, clip=outline, form="cylinder", width=wide + 0.01, relief=0.9))
    cap = rectangle(-neck * 1.25, -0.98, neck * 1.25, -0.78, 0.03)
    parts.append(Part((cap,), paint(rng, ("plain", "stripes"), (20, 30), angle=0), form="cylinder", width=neck * 1.3))
    return tuple(parts)


def butterfly(rng: Rng) -> tuple[Part, ...]:
    """A butterfly with its wings spread."""
    reach = rng.uniform(0.8, 0.98)
    upper = smooth([(0.03, -0.1), (0.35, -0.62), (reach, -rng.uniform(0.6, 0.85)), (reach * 0.95, -0.25), (0.4, 0.05)])
    lower = smooth([(0.03, 0.0), (0.45, 0.0), (reach * 0.75, 0.3), (reach * 0.5, rng.uniform(0.6, 0.85)), (0.12, 0.35)])
    skin = paint(rng, ("patches", "stripes", "rings", "dots", "scales", "fade"), (2, 6), gloss=0.1)
    rim = Material(tuple(0.3 * c for c in skin.colour), gloss=0.1)
    wings = [wing * (side, 1) for wing in (lower, upper) for side in (1, -1)]
    inner = [(wing - wing.mean(0)) * 0.8 + wing.mean(0) for wing in wings]
    spots = [ellipse(s * reach * 0.68, -0.45, 0.08, 0.08) for s in (1, -1)]
    feelers = [polygon for s in (1, -1) for polygon in stroke([(0, -0.35), (s * 0.12, -0.6), (s * 0.26, -0.8)], 0.03)]
    return (
        Part(tuple(wings), rim, relief=0.4),
        Part(tuple(inner), skin, relief=0.3),
        Part(tuple(spots), Material(any_colour(rng, 0.6)), relief=0.3),
        Part(
            (ellipse(0, 0.05, 0.07, 0.42), ellipse(0, -0.36, 0.08, 0.09), *feelers),
            Material((0.12, 0.1, 0.1), gloss=0.4),
        ),
    )


def mushroom(rng: Rng) -> tuple[Part, ...]:
    """A mushroom, spotted or plain."""
    wide, foot = rng.uniform(0.7, 0.95), rng.uniform(0.2, 0.32)
    stem = mirrored([(foot * 0.8, -0.2), (foot * 0.75, 0.3), (foot, 0.75), (foot * 0.8, 0.92), (0, 0.95)])
    dome = np.concatenate(
        [arc(0, 0, wide, rng.uniform(0.7, 0.95), 180, 360), arc(0, 0, wide, rng.uniform(0.05, 0.25), 0, 180)]
    )
    cap = Material(hsv(rng.uniform(-0.04, 0.12), rng.uniform(0.3, 0.9), rng.uniform(0.35, 0.9)), (0.95, 0.92, 0.85),
                   str(rng.choice(["dots", "plain", "speckles", "mottled"])), rng.uniform(2, 4), gloss=0.4,
                   outline=0.3)  # fmt: skip
    pale = Material((0.9, 0.86, 0.75), (0.7, 0.62, 0.5), "mottled", 4, outline=0.3)
    return Part((stem,), pale), Part((dome - (0, 0.05),), cap, relief=1.3)


def spoon(rng: Rng) -> tuple[Part, ...]:
    """A spoon, its bowl at the top."""
    skin = metal(rng) if rng.random() < 0.7 else Material(hsv(0.08, 0.5, rng.uniform(0.5, 0.8)), pattern="stripes",
                                                          second=hsv(0.08, 0.55, 0.5), frequency=9)  # fmt: skip
    wide, tall = rng.uniform(0.24, 0.34), rng.uniform(0.32, 0.42)
    handle = stroke([(0, -0.3), (0, 0.2), (0, 0.88)], 0.09, rng.uniform(0.12, 0.22))
    inner = replace(skin, colour=tuple(0.72 * c for c in skin.colour))
    return (
        Part((ellipse(0, -0.58, wide, tall), *handle), skin, relief=0.8),
        Part((ellipse(0, -0.59, wide * 0.84, tall * 0.86),), inner, relief=-0.8),
    )


def bulb(rng: Rng) -> tuple[Part, ...]:
    """A light bulb, its socket at the bottom."""
    wide = rng.uniform(0.5, 0.62)
    glass = mirrored(
        [(0.02, -0.95), (wide * 0.75, -0.8), (wide, -0.4), (wide * 0.8, -0.02), (0.26, 0.3), (0.24, 0.5), (0, 0.5)]
    )
    tint = hsv(rng.uniform(0.08, 0.18), rng.uniform(0, 0.5), rng.uniform(0.8, 1.0))
    screw = rectangle(-0.25, 0.42, 0.25, 0.86, 0.05)
    steel = replace(
        metal(rng), pattern="stripes", second=(0.3, 0.3, 0.3), frequency=rng.uniform(9, 14), angle=np.pi / 2
    )
    wire = stroke([(-0.12, 0.4), (-0.16, -0.25), (0, -0.4), (0.16, -0.25), (0.12, 0.4)], 0.035)
    return (
        Part((glass,), Material(tint, gloss=0.9, opacity=rng.uniform(0.7, 1.0), outline=0.3), relief=1.3),
        Part(wire, Material((0.3, 0.25, 0.2)), relief=0.5),
        Part((ellipse(0, 0.88, 0.14, 0.09),), Material((0.15, 0.15, 0.15), gloss=0.5)),
        Part((screw,), steel, form="cylinder", width=0.27),
    )


def flower(rng: Rng) -> tuple[Part, ...]:
    """A blossom seen from above."""
    count = int(rng.integers(5, 13))
    skin = paint(rng, ("fade", "plain", "mottled", "rings"), (1, 3), gloss=0.1, outline=rng.uniform(0.3, 0.6))
    wide = min(0.42, 2.4 / count) * rng.uniform(0.8, 1.1)
    petal = smooth([(0, -0.15), (wide * 0.6, -0.5), (wide * 0.55, -0.85), (0, -rng.uniform(0.85, 1.0)),
                    (-wide * 0.55, -0.85), (-wide * 0.6, -0.5)])  # fmt: skip
    turns = rng.permutation(count) * 2 * np.pi / count
    petals = [Part((rotate(petal, turn + rng.normal(0, 0.05)),), skin, relief=0.5) for turn in turns]
    heart = rng.uniform(0.16, 0.34)
    centre = Material(
        hsv(rng.uniform(0.05, 0.16), 0.8, rng.uniform(0.3, 0.95)), (0.25, 0.15, 0.05), "dots", 14, rough=0.4
    )
    return (*petals, Part((ellipse(0, 0, heart, heart),), centre))


def car(rng: Rng) -> tuple[Part, ...]:
    """A car seen from the side, its front at the right."""
    roof, bonnet = -rng.uniform(0.38, 0.55), rng.uniform(-0.12, 0.0)
    back, front = rng.uniform(-0.95, -0.5), rng.uniform(0.2, 0.5)
    body = smooth([(-0.97, 0.25), (-0.95, bonnet), (back, bonnet - 0.05), (back + 0.22, roof), (front - 0.3, roof),
                   (front + 0.05, bonnet), (0.85, bonnet + 0.06), (0.97, 0.25)], steps=5)  # fmt: skip
    panes = smooth(
        [
            (back + 0.16, bonnet - 0.06),
            (back + 0.28, roof + 0.08),
            (front - 0.32, roof + 0.08),
            (front - 0.1, bonnet - 0.06),
        ],
        steps=4,
    )
    coat = paint(rng, ("plain", "plain", "band", "fade"), gloss=0.8, outline=0.4)
    post = rectangle(-0.2, roof, -0.14, bonnet)
    wheel = rng.uniform(0.18, 0.24)
    tyres = tuple(ellipse(x, 0.28, wheel, wheel) for x in (-0.55, 0.55))
    hubs = tuple(ellipse(x, 0.28, wheel * 0.55, wheel * 0.55) for x in (-0.55, 0.55))
    lamps = (ellipse(0.9, 0.08, 0.06, 0.07), ellipse(-0.92, 0.08, 0.05, 0.07))
    return (
        Part((body,), coat),
        Part((panes,), Material(hsv(0.55, 0.3, rng.uniform(0.25, 0.8)), gloss=0.8), holes=(post,), relief=0.3),
        Part(lamps, Material(hsv(rng.uniform(0, 0.15), 0.6, 0.95), gloss=0.8)),
        Part(tyres, Material((0.1, 0.1, 0.11), gloss=0.2)),
        Part(hubs, metal(rng)),
    )


def duck(rng: Rng) -> tuple[Part, ...]:
    """A bath duck that looks to the right."""
    coat = paint(rng, ("plain", "plain", "dots", "mottled", "fade"), (2, 5), gloss=0.6)
    if rng.random() < 0.5:
        coat = replace(coat, colour=hsv(0.14, 0.85, 0.95))
    body = smooth(
        [(0.62, 0.2), (0.55, 0.65), (0.1, 0.85), (-0.5, 0.75), (-0.85, 0.35), (-0.98, -0.12), (-0.6, 0.12), (0.1, 0.02)]
    )
    size = rng.uniform(0.36, 0.44)
    beak = smooth([(0.7, -0.42), (0.98, -0.36), (0.97, -0.24), (0.66, -0.2)])
    wing = smooth([(0.15, 0.25), (-0.2, 0.2), (-0.6, 0.2), (-0.3, 0.55), (0.05, 0.5)])
    return (
        Part((body,), coat),
        Part((wing,), replace(coat, pattern="plain", colour=tuple(0.88 * c for c in coat.colour)), relief=1.2),
        Part((beak,), Material(hsv(rng.uniform(0.02, 0.09), 0.9, 0.9), gloss=0.5, outline=0.3)),
        Part((ellipse(0.36, -0.42, size, size),), coat),
        Part((ellipse(0.52, -0.52, 0.08, 0.1),), Material((0.97, 0.97, 0.97), gloss=0.5)),
        Part((ellipse(0.55, -0.52, 0.045, 0.06),), Material((0.04, 0.04, 0.05), gloss=0.7)),
    )


def umbrella(rng: Rng) -> tuple[Part, ...]:
    """An open umbrella with a crook."""
    ribs = int(rng.integers(4, 7))
    tall = rng.uniform(0.75, 1.0)
    edges = np.linspace(1, -1, ribs + 1) * 0.95
    scallops = [arc((a + b) / 2, 0, (a - b) / 2, 0.12, 0, -180, 10) for a, b in pairwise(edges)]
    canopy = moved(np.concatenate([arc(0, 0, 0.95, tall, 180, 360), *scallops]), 0, 0.02)
    cloth = paint(rng, ("plain", "dots", "stripes", "waves", "fade"), gloss=0.15, outline=0.3)
    panels = []
    for index, (a, b) in enumerate(pairwise(edges)):
        if index % 2:
            fan = [(0, -tall), *smooth([(0, -tall), (a * 0.75, -tall * 0.62), (a, 0)], closed=False)]
            fan += [*smooth([(b, 0), (b * 0.75, -tall * 0.62), (0, -tall)], closed=False)]
            panels.append(np.array(fan))
    other = replace(cloth, colour=any_colour(rng), pattern="plain")
    side = rng.choice([-1, 1])
    crook = np.concatenate([[(0, -0.3), (0, 0.75)], arc(0.14, 0.78, 0.14, 0.16, 180, 10, 12)]) * (side, 1)
    return (
        Part(stroke(crook, 0.07), Material(hsv(0.08, 0.5, rng.uniform(0.2, 0.6)), gloss=0.4)),
        Part((canopy,), cloth, relief=1.2),
        Part(tuple(panels), other, clip=canopy, relief=0.6) if panels else Part((canopy,), cloth),
    )


# Things that lie about and are never labelled.


def coin(rng: Rng) -> tuple[Part, ...]:
    """A coin with a raised rim."""
    skin = metal(rng)
    device = replace(
        skin, pattern=str(rng.choice(["mottled", "rings", "plain"])), second=tuple(0.6 * c for c in skin.colour)
    )
    inner = rng.uniform(0.76, 0.88)
    return Part((ellipse(0, 0, 0.95, 0.95),), skin, relief=0.4), Part(
        (ellipse(0, 0, inner, inner),), device, relief=0.25
    )


def pen(rng: Rng) -> tuple[Part, ...]:
    """A pen or a pencil."""
    thick = rng.uniform(0.05, 0.09)
    coat = paint(rng, ("plain", "stripes", "band"), gloss=0.6)
    tip = np.array([(-thick, 0.75), (thick, 0.75), (0, 0.99)])
    cap = rectangle(-thick * 1.15, -0.98, thick * 1.15, rng.uniform(-0.7, -0.3), 0.03)
    return (
        Part((rectangle(-thick, -0.95, thick, 0.76),), coat, form="cylinder", width=thick + 0.01),
        Part((tip,), Material(hsv(0.08, rng.uniform(0, 0.5), 0.7))),
        Part((cap,), replace(coat, colour=any_colour(rng), pattern="plain"), form="cylinder", width=thick * 1.2),
    )


def button(rng: Rng) -> tuple[Part, ...]:
    """A button with two or four holes."""
    skin = paint(rng, ("plain", "mottled", "rings"), (1, 3))
    count = int(rng.choice([2, 4]))
    holes = [ellipse(*rotate(np.array([[0.2, 0.0]]), 2 * np.pi * k / count)[0], 0.09, 0.09) for k in range(count)]
    return (
        Part((ellipse(0, 0, 0.95, 0.95),), skin, holes=tuple(holes), relief=0.6),
        Part((ellipse(0, 0, 0.62, 0.62),), skin, holes=tuple(holes), relief=-0.5),
    )


def pebble(rng: Rng) -> tuple[Part, ...]:
    """A smooth stone."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, 7)) if rng.random() < 0.3 else np.arange(7) * 0.9
    radius = rng.uniform(0.6, 0.95, 7)
    outline = smooth(np.stack([radius * np.cos(angle), 0.75 * radius * np.sin(angle)], 1))
    tone = hsv(rng.uniform(0.05, 0.6), rng.uniform(0, 0.25), rng.uniform(0.25, 0.8))
    skin = Material(
        tone,
        hsv(rng.random(), 0.1, rng.uniform(0.3, 0.9)),
        str(rng.choice(["mottled", "speckles", "patches"])),
        3,
        rough=0.3,
    )
    return (Part((outline,), skin, relief=1.2),)


def card(rng: Rng) -> tuple[Part, ...]:
    """A playing card, a ticket or a box, flat on the ground."""
    wide = rng.uniform(0.45, 0.85)
    sheet = rectangle(-wide, -0.9, wide, 0.9, rng.choice([0.0, 0.1]))
    field = rectangle(-wide * 0.7, -0.65, wide * 0.7, rng.uniform(-0.1, 0.65))
    style = paint(rng, ("stripes", "checks", "dots", "plain", "waves", "patches"), gloss=0.1)
    ground = Material(hsv(rng.random(), rng.uniform(0, 0.4), rng.uniform(0.6, 0.98)), gloss=0.1, outline=0.2)
    return Part((sheet,), ground, form="flat"), Part((field,), style, form="flat")


def ball(rng: Rng) -> tuple[Part, ...]:
    """A marble or a ball."""
    coat = paint(rng, ("plain", "stripes", "patches", "waves", "dots"), (2, 4), gloss=0.8)
    return (Part((ellipse(0, 0, 0.95, 0.95),), coat, relief=2.0),)


def washer(rng: Rng) -> tuple[Part, ...]:
    """A ring or a nut."""
    edge = 6 if rng.random() < 0.5 else 40
    inner = rng.uniform(0.4, 0.75)
    return (Part((ellipse(0, 0, 0.95, 0.95, count=edge),), metal(rng), holes=(ellipse(0, 0, inner, inner),)),)


def clip(rng: Rng) -> tuple[Part, ...]:
    """A paper clip."""
    line = [(-0.3, 0.5), (-0.3, -0.6), (0, -0.9), (0.3, -0.6), (0.3, 0.7), (0.02, 0.92), (-0.16, 0.7), (-0.16, -0.35),
            (0.02, -0.5), (0.16, -0.35), (0.16, 0.45)]  # fmt: skip
    skin = metal(rng) if rng.random() < 0.5 else paint(rng, ("plain",), gloss=0.6)
    return (Part(stroke(smooth(line, closed=False, steps=4), 0.08), skin),)


def strip(rng: Rng) -> tuple[Part, ...]:
    """A ribbon, a cable or a slat: the thing that hides others."""
    thick = rng.uniform(0.05, 0.16)
    bend = rng.uniform(-0.25, 0.25)
    line = smooth([(0, -1), (bend, -0.3), (-bend, 0.4), (0, 1)], closed=False)
    coat = paint(rng, ("plain", "stripes", "checks", "dots", "mottled"), (6, 14))
    return (Part(stroke(line, thick), coat, relief=0.7),)


DEMO_CLASSES: dict[str, Specimen] = {"leaf": leaf, "mug": mug}
PRETRAIN_CLASSES: dict[str, Specimen] = {
    specimen.__name__: specimen
    for specimen in (bottle, bulb, butterfly, car, duck, fish, flower, key, mushroom, pear, spoon, umbrella)
}
DISTRACTORS: tuple[Specimen, ...] = (coin, pen, button, pebble, card, ball, washer, clip)
OCCLUDERS: tuple[Specimen, ...] = (strip, strip, pen, card)
# A glass stands on its foot and a fish swims upright: these are drawn upright more often than not.
UPRIGHT = frozenset({"mug", "bottle", "mushroom", "car", "duck", "umbrella", "pear"})
