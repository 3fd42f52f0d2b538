"""Whether a JPEG holds a picture's worth of pixels in front of its end marker.

libjpeg, and TensorFlow with it, fills what is missing with grey and says no word; a file that is cut off and has an end
marker all the same (a memory card's recovery, a tool that closed what it could not finish) is learnt from as it is.

Format: ITU-T T.81, annex B (markers), https://www.w3.org/Graphics/JPEG/itu-t81.pdf
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL.JpegImagePlugin import JpegImageFile

_END = b"\xff\xd9"
# Enough for the decoder's look-ahead at the picture's last bits; as pixels, less than one row of blocks.
_FILLER = bytes(16)
_START_OF_SCAN, _BASELINE = 0xDA, (0xC0, 0xC1)
_PROGRESSIVE = 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))


@dataclass(frozen=True)
class _Scan:
    """One scan: how many components it holds, its first coefficient (0: their mean values), where its data begins."""

    components: int
    first: int
    data: int


def ends_early(data: bytes, decode: bool) -> bool:
    """Return whether the pixels of a JPEG, given as all its bytes, end before the picture does.

    decode: look at pictures in one scan, as nearly all cameras and tools write them. They are decoded without their
            end marker, at an eighth of their size: a decoder that still asks for more than a few bytes lacks pixels.
            That finds what is cut off or cut out, and what makes the decoder lose its place so that the data do not
            suffice; it does not find a wrong bit that only changes colours. It costs about 10 microseconds per KB.

    A picture in several scans gets sharper with each of them: only one that stops at the first, coarse scan is found.

    Bytes that are no JPEG, or one of a rare kind (arithmetic coding, lossless), are not judged: False.
    """
    try:
        kind, components, scans = _structure(data)
    except (IndexError, ValueError):
        return False
    if not scans:
        return False
    if kind in _BASELINE and scans[0].components == components:
        return decode and _asks_for_more(data, scans[0].data)
    return kind == _PROGRESSIVE and all(scan.first == 0 for scan in scans)


def _asks_for_more(data: bytes, start: int) -> bool:
    end = data.find(_END, start)
    image = JpegImageFile(io.BytesIO(data[: end if end >= 0 else len(data)] + _FILLER))
    # Colours and details need no more bits than their outline, but time.
    image.draft("L", (1, 1))
    try:
        image.load()
    except OSError:
        return True
    return False


def _structure(data: bytes) -> tuple[int, int, list[_Scan]]:
    """Return the kind of frame, its number of components, and its scans: of a baseline picture, the first only."""
    kind = components = 0
    scans: list[_Scan] = []
    for marker, body in _segments(data):
        if marker in _FRAMES:
            kind, components = marker, data[body + 5]
        elif marker == _START_OF_SCAN:
            count = data[body]
            scans.append(_Scan(count, data[body + 1 + 2 * count], body + 4 + 2 * count))
            if kind != _PROGRESSIVE or scans[-1].first:
                break
    return kind, components, scans


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker that has a segment, and where that one's content begins, up to the end of the first picture."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0:
        marker = data[place + 1]
        if marker == _END[1]:
            return
        if marker in (0x00, 0xFF) or marker in _ALONE:
            # Data of a scan, a fill byte, or a marker without a segment.
            place += 1 if marker == 0xFF else 2
            continue
        yield marker, place + 4
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
