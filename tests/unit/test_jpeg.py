"""A JPEG that ends before its picture does is told from a whole one, whoever wrote it."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from odtl import images
from odtl.images import ImageError
from odtl.jpeg import ends_early

END = b"\xff\xd9"


def encode(size=(160, 120), mode="RGB", noise=True, **options) -> bytes:
    pixels = np.full((size[1], size[0], 3), 200, dtype=np.uint8)
    if noise:
        pixels = np.random.default_rng(1).integers(0, 256, pixels.shape, dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, options.pop("kind", "JPEG"), **options)
    return stream.getvalue()


def cut(data: bytes, share: float) -> bytes:
    """Keep a share of the scan's data, and put an end marker behind it."""
    start = data.rindex(b"\xff\xda") + 16
    return data[: start + int((len(data) - start) * share)].rstrip(b"\xff") + END


SIZES = [(1, 1), (2, 3), (8, 8), (9, 17), (16, 16), (31, 33), (3, 200)]
OPTIONS = [{}, {"optimize": True}, {"restart_marker_blocks": 1}, {"restart_marker_rows": 1}, {"quality": 5}]
OPTIONS += [{"quality": 100}, {"progressive": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_whole_picture_is_whole(options):
    for size, subsampling, mode, noise in itertools.product(SIZES, (0, 1, 2), ("RGB", "L", "CMYK"), (True, False)):
        data = encode(size, mode, noise, subsampling=subsampling, **options)
        assert not ends_early(data, decode=True), (size, subsampling, mode, noise)


@pytest.mark.parametrize("options", [each for each in OPTIONS if "progressive" not in each], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.98])
def test_picture_that_is_cut_off_is_found_in_spite_of_its_end_marker(options, mode, share):
    damaged = cut(encode(mode=mode, **options), share)
    Image.open(io.BytesIO(damaged)).load()  # without an error
    assert ends_early(damaged, decode=True)
    assert not ends_early(damaged, decode=False)


def test_missing_middle_is_found():
    data = encode((320, 240))
    middle = len(data) // 2
    assert ends_early(data[:middle] + data[middle + 2000 :], decode=True)


def test_what_stands_around_the_picture_does_not_matter():
    thumbnail = encode((16, 16))
    data = encode(comment=b"\xff\xd9\xff\xda", exif=b"Exif\0\0" + thumbnail)
    assert thumbnail in data
    for whole in (data, data + b"appended", data + thumbnail, data[:2] + b"\xff\xff\xff" + data[2:]):
        assert not ends_early(whole, decode=True)
        place = whole.index(END, len(data) - 2)
        assert ends_early(whole[: place - 300] + END + whole[place + 2 :], decode=True)


def test_several_pictures_in_one_file():
    pair = encode(kind="MPO", save_all=True, append_images=[Image.new("RGB", (160, 120))])
    assert not ends_early(pair, decode=True)
    end = pair.index(END)
    assert ends_early(pair[: end - 300] + pair[end:], decode=True)


def test_coarse_scan_alone_is_no_picture():
    data = encode(progressive=True)
    scans = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    assert len(scans) > 2
    for decode in (False, True):
        assert ends_early(data[: (scans[0] + scans[1]) // 2].rstrip(b"\xff") + END, decode)
        assert not ends_early(data[: scans[2]] + END, decode)  # less sharp, but all of it


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xc0\0\3", b"no JPEG at all"]
)
def test_what_is_no_jpeg_is_not_judged(data):
    assert not ends_early(data, decode=True)


@pytest.mark.parametrize("options", [{}, {"mode": "L"}, {"mode": "CMYK"}])
def test_probe_looks_into_the_pixels_only_if_asked(options):
    damaged = cut(encode(**options), 0.5)
    assert images.probe(damaged).width == 160
    with pytest.raises(ImageError) as caught:
        images.probe(damaged, decode=True)
    assert caught.value.reason == "image_damaged" and "grey" in caught.value.found
