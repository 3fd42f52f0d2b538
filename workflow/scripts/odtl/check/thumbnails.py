"""Images with their boxes, small enough to be part of a page."""

import base64
import io
from collections.abc import Mapping, Sequence

from PIL import Image

from odtl import images
from odtl.check.gathering import Box, Shown
from odtl.drawing import Mark, draw_marks
from odtl.images import ImageError

# Pixels of the longer side: sharp on a phone, and 60 of them make a page of 2 MB.
SIDE = 480
_QUALITY = 70
# A small box is shown with this much around it, in times its longer side, but with so many pixels at least.
_CONTEXT = 6
_LEAST_WINDOW = 48

Window = tuple[float, float, float, float]


def thumbnail(shown: Shown, ids: Mapping[str, int], around: Box | None = None) -> str | None:
    """Return a picture of an image as a data URI (JPEG); None where it cannot be read.

    ids:    class -> id, which gives the colour. around: show this box, enlarged, and not the whole image.
    """
    if shown.path is None:
        return None
    try:
        data = images.read_bytes(shown.path)
        # A part that is enlarged needs all pixels there are.
        image = images.small_rgb(data, 2**16 if around else SIDE)
    except ImageError:
        return None
    window = (0, 0, shown.width or image.width, shown.height or image.height)
    if around is not None:
        window = _window(around, shown)
        image = image.crop(tuple(map(round, window)))
    scale = SIDE / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    canvas = image.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS, reducing_gap=3)
    drawn = draw_marks(canvas, _marks(shown.boxes if around is None else [around], ids, window, size))
    stream = io.BytesIO()
    drawn.save(stream, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _window(box: Box, shown: Shown) -> Window:
    xmin, ymin, xmax, ymax = box.edges
    side = max(_CONTEXT * max(xmax - xmin, ymax - ymin), _LEAST_WINDOW)
    wide, high = min(side, shown.width), min(side, shown.height)
    left = min(max(0, (xmin + xmax - wide) / 2), shown.width - wide)
    top = min(max(0, (ymin + ymax - high) / 2), shown.height - high)
    return left, top, left + wide, top + high


def _marks(boxes: Sequence[Box], ids: Mapping[str, int], window: Window, size: tuple[int, int]) -> list[Mark]:
    left, top, right, bottom = window
    x, y = size[0] / (right - left), size[1] / (bottom - top)
    return [
        Mark(
            ((b[0] - left) * x, (b[1] - top) * y, (b[2] - left) * x, (b[3] - top) * y),
            box.label,
            ids.get(box.label, 0),
        )
        for box in boxes
        for b in [box.edges]
    ]
