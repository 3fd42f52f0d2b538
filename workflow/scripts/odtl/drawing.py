"""Detections drawn on images: boxes and labels that can be read at any image size."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

# Told apart by people with the common forms of colour blindness: Okabe and Ito, "Color Universal Design" (2008),
# without black, which is lost in dark images.
_PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
_FURTHER = 93

# A label of a smaller image would cover what it names.
LEAST_LONG_SIDE = 480
# Of a video: it keeps its size where that is possible at all.
LEAST_MOVING_SIDE = 240
_LEAST_FONT = 11


@dataclass(frozen=True)
class Mark:
    """One box to draw: xmin, ymin, xmax, ymax in pixels of the image, its text, and the id that gives its colour."""

    box: tuple[float, float, float, float]
    text: str
    class_id: int


def class_colour(class_id: int) -> tuple[int, int, int]:
    """Return the RGB colour of a class: the same for one id in every image and run, no two alike up to id 100."""
    if 1 <= class_id <= len(_PALETTE):
        return _PALETTE[class_id - 1]
    return _further_colours()[(class_id - 1 - len(_PALETTE)) % _FURTHER]


@functools.cache
def _further_colours() -> list[tuple[int, int, int]]:
    """Return colours for what comes after the palette, each as far as can be from all before it.

    Distance as in T. Riemersma, "Colour metric" ("redmean"), https://www.compuphase.com/cmetric.htm .
    """
    # Neither so dark nor so light that they are lost in an image.
    steps = range(0, 256, 51)
    candidates = [(r, g, b) for r in steps for g in steps for b in steps if 150 <= r + g + b <= 660]
    distances = [min(_distance(colour, other) for other in _PALETTE) for colour in candidates]
    chosen: list[tuple[int, int, int]] = []
    while len(chosen) < _FURTHER:
        chosen.append(candidates[distances.index(max(distances))])
        distances = [min(d, _distance(c, chosen[-1])) for d, c in zip(distances, candidates, strict=True)]
    return chosen


def _distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    red, green, blue = (a - b for a, b in zip(one, other, strict=True))
    mean = (one[0] + other[0]) / 2
    return math.sqrt((2 + mean / 256) * red**2 + 4 * green**2 + (2 + (255 - mean) / 256) * blue**2)


def text_colour(background: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return black or white, whichever has the higher contrast on `background`.

    Contrast as in WCAG 2.2, "relative luminance"; the better of the two is at least 4.5 on any colour.
    """
    luminance = relative_luminance(background)
    return (0, 0, 0) if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else (255, 255, 255)


def relative_luminance(colour: tuple[int, int, int]) -> float:
    """Return the relative luminance of an sRGB colour, 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def enlargement(width: int, height: int, least: int = LEAST_LONG_SIDE) -> int:
    """Return the whole number by which an image is enlarged before it is drawn on, so that labels fit: 1 for most.

    least: what its long side has afterwards, in pixels, or more.
    """
    return max(1, math.ceil(least / max(width, height)))


def draw_marks(image: Image.Image, marks: Sequence[Mark], least: int = LEAST_LONG_SIDE) -> Image.Image:
    """Return an RGB copy of the image with boxes and labels; small ones are enlarged to `least` (see `enlargement`).

    image: any mode, upright. marks: the first is drawn last, on top, so give the best score first. Lines and letters
    grow with the image. Labels keep out of each other's way where there is room.
    """
    scale = enlargement(*image.size, least)
    canvas = image.convert("RGB")
    if scale > 1:
        canvas = canvas.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas)
    line = max(2, round(max(canvas.size) / 300))
    frames = [_frame(mark.box, scale, canvas.size, line) for mark in marks]
    for mark, frame in reversed(list(zip(marks, frames, strict=True))):
        # A dark edge keeps light colours visible on light ground, and the other way round.
        draw.rectangle(_grown(frame, 1), outline=text_colour(class_colour(mark.class_id)), width=1)
        draw.rectangle(frame, outline=class_colour(mark.class_id), width=line)
    taken: list[tuple[float, float, float, float]] = []
    for mark, frame in zip(marks, frames, strict=True):
        taken.append(_draw_label(draw, mark, frame, canvas.size, taken))
    return canvas


def _frame(box: Sequence[float], scale: int, size: tuple[int, int], line: int) -> tuple[int, int, int, int]:
    """Return the box in whole canvas pixels, inside the canvas, at least as large as its own line."""
    xmin, ymin, xmax, ymax = (round(value * scale) for value in box)
    xmin, ymin = (max(0, min(low, limit - 1)) for low, limit in zip((xmin, ymin), size, strict=True))
    # Continuous edges: a box that ends at the image's width ends on its last pixel.
    xmax, ymax = (max(0, min(high, limit) - 1) for high, limit in zip((xmax, ymax), size, strict=True))
    return xmin, ymin, min(max(xmax, xmin + line), size[0] - 1), min(max(ymax, ymin + line), size[1] - 1)


def _grown(frame: tuple[int, int, int, int], by: int) -> tuple[int, int, int, int]:
    return frame[0] - by, frame[1] - by, frame[2] + by, frame[3] + by


def _draw_label(
    draw: ImageDraw.ImageDraw,
    mark: Mark,
    frame: tuple[int, int, int, int],
    size: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """Draw the text of a mark on its colour where it hides least; return the place it took."""
    font_size = max(_LEAST_FONT, round(max(size) / 38))
    padding = max(2, font_size // 6)
    text, font = _fitted(draw, mark.text, font_size, size[0] - 2 * padding)
    left, _, right, _ = draw.textbbox((0, 0), text, font=font)
    # The height of all letters, so that labels with and without descenders are alike.
    ascent, descent = font.getmetrics()
    width, height = right - left + 2 * padding, ascent + descent + padding
    x, y = _place(frame, width, height, size, taken)
    colour = class_colour(mark.class_id)
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    draw.text((x + padding - left, y + padding // 2), text, fill=text_colour(colour), font=font)
    return x, y, x + width, y + height


def _fitted(draw: ImageDraw.ImageDraw, text: str, font_size: int, width: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Return the text and a font with which it is at most `width` pixels wide, shortening it as the last resort."""
    text = " ".join(text.split())
    while True:
        font = _font(font_size)
        if draw.textlength(text, font=font) <= width or font_size <= _LEAST_FONT:
            break
        font_size -= 1
    full = text
    while draw.textlength(text, font=font) > width and len(full) > 1:
        full = full[:-1]
        text = full.rstrip() + "…"
    return text, font


@functools.lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _place(
    frame: tuple[int, int, int, int],
    width: float,
    height: float,
    size: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[int, int]:
    """Return the label's top left corner: above the box, inside its top, below it or inside its bottom.

    The first place that is inside the image and free is taken; if none is, the one that overlaps other labels least.
    """
    xmin, ymin, xmax, ymax = frame
    places = []
    for y in (ymin - height, ymin, ymax + 1, ymax - height):
        for x in (xmin, xmax - width + 1):
            inside = min(max(0, x), size[0] - width), min(max(0, y), size[1] - height)
            places.append((max(0, round(inside[0])), max(0, round(inside[1]))))
    return min(places, key=lambda place: sum(_overlap((*place, place[0] + width, place[1] + height), t) for t in taken))


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, wide) * max(0, high)
