"""Small files that ask for much: what they cost is bounded, whatever format they come in."""

import io
import json
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from odtl import images
from odtl.images import ImageError

# One process for each file, since only the most memory that a process ever had can be asked for.
MEASURE = """
import json, resource, sys
from odtl import images
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = images.read_bytes(sys.argv[1])
try:
    info = images.probe(data, decode=True)
    result = [info.format, info.frames, *images.to_record_bytes(data, info)[1:]]
except images.ImageError as error:
    result = [error.reason, error.found]
print(json.dumps([result, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024]))
"""


def measure(path) -> tuple[list, float]:
    """Return what became of an image file, and the MB that it took at most."""
    scripts = images.__file__.rsplit("/odtl/", 1)[0]
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, env={"PYTHONPATH": scripts}, capture_output=True, text=True, timeout=60, check=True)
    result, megabytes = json.loads(done.stdout)
    return result, megabytes


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def squeezed(size: int) -> bytes:
    """Return `size` zeros as zlib has them, a thousandth as long."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(min(2**20, size - start))) for start in range(0, size, 2**20)]
    return b"".join([*parts, packer.flush()])


def png(width: int, height: int, kind: int = 2, channels: int = 3, extra: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    pixels = chunk(b"IDAT", squeezed((width * channels + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels + chunk(b"IEND", b"")


def bare_png(width: int, height: int) -> bytes:
    """Return a PNG that is so large in its header only."""
    data = bytearray(png(8, 8))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def bmp(width: int, height: int) -> bytes:
    data = bytearray(encode(Image.new("RGB", (8, 8)), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def gif(width: int, height: int) -> bytes:
    data = bytearray(encode(Image.new("P", (8, 8)), "GIF"))
    place = data.index(b"\x2c")
    data[6:10] = data[place + 5 : place + 9] = struct.pack("<HH", width, height)
    return bytes(data)


def tiff(width: int, height: int) -> bytes:
    data = bytearray(encode(Image.new("RGB", (8, 8)), "TIFF"))
    (first,) = struct.unpack("<I", data[4:8])
    for number, value in ((256, width), (257, height)):
        place = next(p for p in range(first + 2, len(data), 12) if data[p : p + 2] == struct.pack("<H", number))
        data[place + 2 : place + 12] = struct.pack("<HII", 4, 1, value)
    return bytes(data)


def jpeg(width: int, height: int) -> bytes:
    data = bytearray(encode(Image.new("RGB", (8, 8)), "JPEG"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp(width: int, height: int) -> bytes:
    data = bytearray(encode(Image.new("RGB", (8, 8)), "WEBP", lossless=True))
    place = data.index(b"VP8L") + 9
    data[place : place + 4] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


@pytest.mark.parametrize(
    ("maker", "size"),
    [
        (bare_png, (60_000, 60_000)),
        (bmp, (60_000, 60_000)),
        (gif, (60_000, 60_000)),
        (tiff, (60_000, 60_000)),
        (jpeg, (60_000, 60_000)),
        (bare_png, (16_000, 9_000)),
        (webp, (16_000, 9_000)),
        (tiff, (2**31, 2**31)),
    ],
)
def test_too_many_pixels_are_refused_by_the_header(maker, size, tmp_path):
    path = tmp_path / "bomb.jpg"
    path.write_bytes(maker(*size))
    (reason, found), megabytes = measure(path)
    assert reason == "image_too_large", found
    assert megabytes < 60


# Pillow keeps four bytes for each pixel, or one; what is laid on white, or converted, is there twice.
MEGAPIXELS = 16


@pytest.mark.parametrize(
    ("data", "result", "bytes_per_pixel"),
    [
        (png(4000, 4000), ["PNG", 1, "png", 4000, 4000], 1),
        (png(4000, 4000, 6, 4), ["PNG", 1, "png", 4000, 4000], 9),
        (png(4000, 4000, 4, 2), ["PNG", 1, "png", 4000, 4000], 9),
        (encode(Image.new("1", (4000, 4000)), "TIFF", compression="group4"), ["TIFF", 1, "png", 4000, 4000], 7),
        (encode(Image.new("CMYK", (4000, 4000)), "JPEG"), ["JPEG", 1, "jpeg", 4000, 4000], 10),
        (encode(Image.new("RGB", (4000, 4000)), "WEBP", lossless=True, method=0), ["WEBP", 1, "png", 4000, 4000], 18),
    ],
    ids=["rgb", "rgba", "la", "fax", "cmyk", "webp"],
)
def test_pixels_that_unfold_cost_a_few_bytes_each(data, result, bytes_per_pixel, tmp_path):
    assert len(data) < 2**20
    path = tmp_path / "dense.png"
    path.write_bytes(data)
    found, megabytes = measure(path)
    assert found == result
    assert megabytes < 20 + bytes_per_pixel * MEGAPIXELS


def test_hundred_thousand_frames_cost_what_the_first_one_does(tmp_path):
    whole = encode(Image.new("P", (400, 300)), "GIF")
    head = whole[: 13 + 3 * 2 ** ((whole[10] & 7) + 1)]  # with the palette, whose size the header states
    frame = b"\x21\xf9\x04\x08\0\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    path = tmp_path / "frames.gif"
    path.write_bytes(head + frame * 100_000 + b";")
    result, megabytes = measure(path)
    assert result == ["GIF", 100_000, "png", 400, 300]
    assert megabytes < 60


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"iCCP", b"profile\0\0" + squeezed(2**28)),
        chunk(b"zTXt", b"Comment\0\0" + squeezed(2**28)),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + squeezed(2**28)),
        chunk(b"eXIf", b"II*\0\x08\0\0\0" + b"\xff" * 2**20),
    ],
    ids=["profile", "text", "international text", "exif"],
)
def test_what_unfolds_beside_the_pixels_is_bounded(extra, tmp_path):
    path = tmp_path / "notes.png"
    path.write_bytes(png(64, 48, extra=extra))
    result, megabytes = measure(path)
    assert result == ["PNG", 1, "png", 64, 48] or result[0] == "image_damaged"
    assert megabytes < 80


def test_file_of_more_than_a_gigabyte_is_not_read(tmp_path):
    path = tmp_path / "film.jpg"
    with open(path, "wb") as stream:
        stream.truncate(images.MAX_BYTES + 1)
    with pytest.raises(ImageError, match="1,073,741,825 bytes, over the limit") as caught:
        images.read_bytes(path)
    assert caught.value.reason == "image_too_large"
