"""YOLO: one text file per image, one line per object, in shares of the image's width and height.

Formats: https://docs.ultralytics.com/datasets/detect/ and /datasets/segment/ (data.yaml; boxes; outlines), and
darknet's (https://github.com/AlexeyAB/darknet, "How to train": obj.names; boxes). The names of the classes are in a
file of their own.
"""

import os

from odtl.annotations.model import Annotation
from odtl.annotations.source_file import read_bytes
from odtl.errors import InputError, Problem

MAX_BYTES = 16 * 2**20
# The first lines tell what is wrong with a file of another kind.
MOST_PROBLEMS = 20
# Shares are 0 to 1, a little more where a tool has rounded; pixels are more.
LARGEST = 2.0
_CURE = (
    "A line is `class x_center y_center width height`, or `class x1 y1 x2 y2 x3 y3 ...`, all in shares of the image."
)
_OF_NUMBERS = b"0123456789.eE+- \t\r\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read(path: str | os.PathLike) -> Annotation:
    """Read one image's annotation, as written; a file without a line says that the image holds no object: a negative.

    A line of five columns is a class and a box (x_center, y_center, width, height). A sixth is the confidence of a
    model that wrote it, and is not looked at. An odd number of seven or more is a class and an outline, whose box is
    taken. Boxes are returned as (xmin, ymin, xmax, ymax) in shares of the image's width and height; labels are the
    numbers of the classes as text, from "0".

    Raises InputError with every line that is none of these (at most 20 of them): without one of its objects the image
    would teach that there is nothing. Also for a file that cannot be read or is over 16 MB.
    """
    path = os.fspath(path)
    data = read_bytes(path, MAX_BYTES).removeprefix(_BYTE_ORDER_MARK)
    # What float() takes beyond decimal numbers ("nan", "1_000") has other characters.
    plain = not data.translate(None, _OF_NUMBERS)
    boxes, labels, problems = [], [], []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            # In one piece: hundreds of thousands of lines are read in a first run.
            label, *shares = map(float, line.split())
            if len(shares) == 4 or len(shares) == 5:
                x, y, width, height = shares[:4]
                box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            elif len(shares) >= 6 and len(shares) % 2 == 0:
                xs, ys = shares[::2], shares[1::2]
                box = (min(xs), min(ys), max(xs), max(ys))
            else:
                problems.append((number, line))
                continue
            if (
                (plain or not line.translate(None, _OF_NUMBERS))
                and (label >= 0 and label % 1 == 0)
                and (max(shares) <= LARGEST and min(shares) >= -LARGEST)
            ):
                boxes.append(box)
                labels.append(str(int(label)))
            else:
                problems.append((number, line))
        except ValueError:
            if line.strip():
                problems.append((number, line))
    if problems:
        raise _wrong(path, problems)
    flags = (False,) * len(boxes)
    return Annotation(
        file=path, boxes=tuple(boxes), labels=tuple(labels), difficult=flags, truncated=flags, normalised=True
    )


def _wrong(path: str, lines: list[tuple[int, bytes]]) -> InputError:
    problems = [Problem(path, f"line {number}", _what(line), _CURE) for number, line in lines[:MOST_PROBLEMS]]
    if len(lines) > MOST_PROBLEMS:
        problems.append(Problem(path, "lines", f"{len(lines) - MOST_PROBLEMS} more of that kind", _CURE))
    return InputError(problems, "an annotation cannot be read")


def _what(line: bytes) -> str:
    shown = line.strip()[:60].decode("utf-8", "backslashreplace")
    columns = line.split()
    try:
        values = list(map(float, columns))
    except ValueError:
        return f"{shown!r}, which are not all numbers"
    if line.translate(None, _OF_NUMBERS):
        return f"{shown!r}, which are not all decimal numbers"
    if len(values) < 5 or (len(values) > 6 and len(values) % 2 == 0):
        return f"{shown!r}, which has {len(values)} columns"
    if not (values[0] >= 0 and values[0] % 1 == 0):
        return f"{shown!r}, whose class is no number from 0"
    return f"{shown!r}, which looks like pixels, not shares of 0 to 1"
