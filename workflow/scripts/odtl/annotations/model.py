"""What one annotation says of one image, as written."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Annotation:
    """What one annotation says of one image, as written: nothing is repaired here.

    file:       the file it was read from.
    filename:   the image it says it belongs to, as written (may hold a folder or a Windows path), or None.
    width, height: the image size in pixels as stated, or None where missing or not a positive whole number.
    boxes:      one (xmin, ymin, xmax, ymax) per object, in pixels as written; NaN for a value that is no number.
    labels:     one label per object, stripped of outer white space.
    difficult, truncated: one flag per object.
    """

    file: str
    filename: str | None = None
    width: int | None = None
    height: int | None = None
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    labels: tuple[str, ...] = ()
    difficult: tuple[bool, ...] = ()
    truncated: tuple[bool, ...] = ()
