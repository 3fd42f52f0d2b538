"""The same picture saved again, resized or mirrored is found; another one is not, however alike two drawings are."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from helpers import scene
from odtl import images
from odtl.duplicates.fingerprints import LEAST_PIXELS, THUMBNAIL_BYTES, Fingerprint, compare, fingerprint
from odtl.duplicates.hashes import as_arrays
from odtl.duplicates.searching import alike, mirrored


def encode(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def look(data: bytes) -> Fingerprint:
    return fingerprint(images.small_rgb(data, LEAST_PIXELS))


def found(one: bytes, other: bytes) -> set[str]:
    """Return how two files are alike: near, mirror, both or neither."""
    looks = [look(one), look(other)]
    if None in (looks[0].hash, looks[1].hash):
        return set()
    hashes, mirrors, thumbnails = as_arrays(looks)
    kinds = set()
    for kind, pairs in (("near", alike(hashes)), ("mirror", mirrored(hashes, mirrors))):
        if pairs.tolist() == [[0, 1]] and compare(thumbnails[:1], thumbnails[1:], kind == "mirror")[1].all():
            kinds.add(kind)
    return kinds


def turned(image: Image.Image, orientation: int) -> bytes:
    """Store a picture turned, with the EXIF orientation that turns it upright again."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    return encode(image.transpose(Image.Transpose(back)), quality=90, exif=exif.tobytes())


CHANGES = {
    "quality 30": lambda image: encode(image, quality=30),
    "png": lambda image: encode(image, "PNG"),
    "webp": lambda image: encode(image, "WEBP", quality=60),
    "half": lambda image: encode(image.resize((320, 240), Image.Resampling.BICUBIC), quality=80),
    "a fifth": lambda image: encode(image.resize((128, 96), Image.Resampling.BILINEAR), quality=80),
    "twice": lambda image: encode(image.resize((1280, 960)), quality=80),
    "square": lambda image: encode(image.resize((500, 500)), quality=80),
    "brighter": lambda image: encode(ImageEnhance.Brightness(image).enhance(1.1), quality=80),
    "darker": lambda image: encode(ImageEnhance.Brightness(image).enhance(0.9), quality=80),
    "more contrast": lambda image: encode(ImageEnhance.Contrast(image).enhance(1.15), quality=80),
}


@pytest.mark.parametrize("change", CHANGES)
def test_same_picture_is_near(change):
    image = scene(1)
    original = encode(image, quality=90)
    assert found(original, CHANGES[change](image)) == {"near"}


@pytest.mark.parametrize("change", CHANGES)
def test_mirror_image_is_found(change):
    image = scene(2)
    assert found(encode(image, quality=90), CHANGES[change](ImageOps.mirror(image))) == {"mirror"}


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_orientation_is_applied(orientation):
    image = scene(3)
    assert found(encode(image, quality=90), turned(image, orientation)) == {"near"}


def test_orientation_that_mirrors_without_having_been_mirrored_back_is_a_mirror_image():
    image, exif = scene(4), Image.Exif()
    exif[0x0112] = 2
    assert found(encode(image, quality=90), encode(image, quality=90, exif=exif.tobytes())) == {"mirror"}


def test_symmetric_picture_is_near():
    half = scene(5, (320, 480))
    image = Image.new("RGB", (640, 480))
    image.paste(half, (0, 0))
    image.paste(ImageOps.mirror(half), (320, 0))
    assert "near" in found(encode(image, quality=90), encode(image, quality=50))


@pytest.mark.parametrize("share", [0.08, 0.15, 0.3])
def test_crop_is_another_picture(share):
    image = scene(6)
    dx, dy = round(640 * share), round(480 * share)
    assert found(encode(image), encode(image.crop((dx, dy, 640 - dx, 480 - dy)))) == set()


def test_no_two_scenes_are_alike():
    hashes, mirrors, thumbnails = as_arrays([fingerprint(scene(seed, (320, 240))) for seed in range(150)])
    for kind, pairs in (("near", alike(hashes)), ("mirror", mirrored(hashes, mirrors))):
        assert not compare(thumbnails[pairs[:, 0]], thumbnails[pairs[:, 1]], kind == "mirror")[1].any()


def test_frames_of_one_background_with_an_object_elsewhere_are_not_the_same():
    frames = []
    for x in (80, 400):
        frame = scene(7)
        ImageDraw.Draw(frame).rectangle((x, 200, x + 120, 320), fill=(250, 250, 250))
        frames.append(encode(frame, quality=90))
    assert found(*frames) == set()


@pytest.mark.parametrize("colours", [("white", "white"), ("white", "black"), ((200, 200, 200), (204, 200, 200))])
def test_plain_pictures_have_no_hash(colours):
    looks = [look(encode(Image.new("RGB", (64, 48), colour), "PNG")) for colour in colours]
    assert [each.hash for each in looks] == [None, None]
    assert [each.mirror for each in looks] == [None, None]
    assert [len(each.thumbnail) for each in looks] == [THUMBNAIL_BYTES, THUMBNAIL_BYTES] == [288, 288]


def drawing(box: tuple[int, int, int, int], colour: str, ground: str = "white") -> bytes:
    image = Image.new("RGB", (400, 300), ground)
    ImageDraw.Draw(image).rectangle(box, fill=colour)
    return encode(image, "PNG")


def test_drawings_on_white_are_told_apart_by_place_and_colour():
    one = drawing((50, 50, 150, 150), "red")
    assert found(one, drawing((50, 50, 150, 150), "red")) == {"near"}
    assert found(one, drawing((200, 50, 300, 150), "red")) == set()
    assert found(one, drawing((50, 50, 150, 250), "red")) == set()
    # Red and this blue have the same luma, 76.
    assert found(one, drawing((50, 50, 150, 150), "#0055e4")) == set()


def test_thumbnail_has_luma_of_16_by_16_cells_then_colours():
    image = Image.new("RGB", (160, 160), "black")
    image.paste("white", (80, 0, 160, 160))
    luma = np.frombuffer(fingerprint(image).thumbnail, np.uint8)[:256].reshape(16, 16)
    assert luma[:, :8].max() == 0
    assert luma[:, 8:].min() == 255
    colours = np.frombuffer(fingerprint(image).thumbnail, np.uint8)[256:]
    assert set(colours.tolist()) == {128}


def test_distance_is_in_levels_after_brightness_is_matched():
    base = np.zeros((1, THUMBNAIL_BYTES), np.uint8)
    base[0, :256] = np.tile(np.arange(16, dtype=np.uint8) * 10, 16)
    base[0, 256:] = 128
    brighter = base.copy()
    brighter[0, :256] += 40
    assert compare(base, brighter)[0].tolist() == [0.0]
    assert compare(base, brighter)[1].tolist() == [True]
    assert compare(base, base, mirrored=True)[1].tolist() == [False]
