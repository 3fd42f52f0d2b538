"""What a file holds decides, not its name; what a record takes is upright, RGB and 8 bit."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, JpegImagePlugin

from odtl import images
from odtl.images import ImageError, ImageInfo, needs_conversion, probe, to_record_bytes

# Quarters of four colours: every turn and flip of such a picture looks different.
COLOURS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


def picture(size: tuple[int, int] = (48, 32)) -> Image.Image:
    image = Image.new("RGB", size)
    width, height = size[0] // 2, size[1] // 2
    for place, colour in zip(((0, 0), (width, 0), (0, height), (width, height)), COLOURS.values(), strict=True):
        image.paste(colour, (*place, place[0] + width, place[1] + height))
    return image


def encode(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


def corners(data: bytes) -> list[str]:
    """Name the colours of the quarters: upper left, upper right, lower left, lower right."""
    image = Image.open(io.BytesIO(data))
    assert image.mode == "RGB"
    assert image.getexif().get(0x0112) is None
    width, height = image.size
    names = []
    for x, y in ((1, 1), (3, 1), (1, 3), (3, 3)):
        pixel = image.getpixel((width * x // 4, height * y // 4))
        names.append(min(COLOURS, key=lambda name: sum(abs(a - b) for a, b in zip(COLOURS[name], pixel, strict=True))))
    return names


UPRIGHT = ["red", "green", "blue", "white"]


def refusal(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        probe(data)
    return caught.value


@pytest.mark.parametrize(("kind", "name"), [("JPEG", "jpeg"), ("PNG", "png")])
def test_upright_rgb_goes_through_untouched(kind, name, tmp_path):
    data = encode(picture(), kind)
    path = tmp_path / "lies.webp"
    path.write_bytes(data)
    info = probe(path)
    assert info == ImageInfo(kind, 48, 32, lossless=kind == "PNG")
    assert not needs_conversion(info)
    assert to_record_bytes(data, info) == (data, name, 48, 32)


@pytest.mark.parametrize(
    ("kind", "options", "record", "mode"),
    [
        ("WEBP", {"lossless": True}, "png", "RGB"),
        ("WEBP", {"quality": 95}, "jpeg", "RGB"),
        ("BMP", {}, "png", "RGB"),
        ("GIF", {}, "png", "P"),
        ("TIFF", {}, "png", "RGB"),
        ("TIFF", {"compression": "tiff_lzw"}, "png", "RGB"),
        ("TIFF", {"compression": "jpeg", "quality": 95}, "jpeg", "RGB"),
    ],
)
def test_other_formats_are_converted(kind, options, record, mode):
    data = encode(picture(), kind, **options)
    info = probe(data)
    assert (info.format, info.mode, info.width, info.height) == (kind, mode, 48, 32)
    assert needs_conversion(info)
    assert kind in images.describe_conversion(info)
    encoded, name, *size = to_record_bytes(data, info)
    assert (name, size, Image.open(io.BytesIO(encoded)).format) == (record, [48, 32], record.upper())
    assert corners(encoded) == UPRIGHT
    if record == "png":
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded))), np.asarray(picture()))
    assert to_record_bytes(data, info)[0] == encoded


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_grayscale_becomes_rgb(kind):
    data = encode(picture().convert("L"), kind)
    info = probe(data)
    assert (info.mode, images.describe_conversion(info)) == ("L", f"grayscale {kind}")
    encoded, name, width, height = to_record_bytes(data, info)
    assert (name, width, height) == (kind.lower(), 48, 32)
    image = Image.open(io.BytesIO(encoded))
    assert image.mode == "RGB"
    assert abs(image.getpixel((12, 8))[0] - 76) <= 2  # ITU-R 601: 0.299 of full red
    assert image.getpixel((36, 24)) == (255, 255, 255)


def test_metadata_and_coarse_colour_do_not_reach_a_converted_image():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("PNG", "JPEG"):
        data = encode(picture().convert("L"), kind, icc_profile=profile, exif=exif(6), dpi=(72, 72))
        result = Image.open(io.BytesIO(to_record_bytes(data, probe(data))[0]))
        assert not {"icc_profile", "exif", "dpi"} & set(result.info)
    assert JpegImagePlugin.get_sampling(result) == 0  # 4:4:4


def strip_adobe(data: bytes) -> bytes:
    place = data.index(b"\xff\xee")
    assert data[place + 4 : place + 9] == b"Adobe"
    return data[:place] + data[place + 2 + struct.unpack(">H", data[place + 2 : place + 4])[0] :]


def test_cmyk_becomes_rgb_with_and_without_adobes_inversion():
    data = encode(picture().convert("CMYK"), quality=95, subsampling=0)
    info = probe(data)
    assert info.mode == "CMYK" and needs_conversion(info)
    assert corners(to_record_bytes(data, info)[0]) == UPRIGHT
    # Pillow stores inverted values and says so by Adobe's marker; without it the same values mean the opposite.
    inverted = Image.fromarray(255 - np.asarray(picture().convert("CMYK")), "CMYK")
    plain = strip_adobe(encode(inverted, quality=95, subsampling=0))
    assert corners(to_record_bytes(plain, probe(plain))[0]) == UPRIGHT


def test_palette_and_transparency_are_laid_on_white():
    image = picture().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 24, 16))
    image.paste((0, 0, 0, 128), (24, 0, 48, 16))
    data = encode(image, "PNG")
    info = probe(data)
    assert info.transparent and images.describe_conversion(info) == "transparent PNG"
    encoded, name, *_ = to_record_bytes(data, info)
    result = Image.open(io.BytesIO(encoded))
    assert (name, result.getpixel((5, 5)), result.getpixel((30, 5)), result.getpixel((5, 30))) == (
        "png",
        (255, 255, 255),
        (127, 127, 127),
        (0, 0, 255),
    )
    palette = encode(picture().quantize(4), "PNG", transparency=0)
    assert probe(palette).transparent
    assert Image.open(io.BytesIO(to_record_bytes(palette, probe(palette))[0])).mode == "RGB"
    opaque = encode(picture().quantize(4), "PNG")
    assert corners(to_record_bytes(opaque, probe(opaque))[0]) == UPRIGHT


def test_sixteen_bits_keep_their_upper_eight():
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    for data in (encode(Image.fromarray(values), "PNG"), encode(Image.fromarray(values), "TIFF")):
        info = probe(data)
        assert info.bits == 16 and "16-bit" in images.describe_conversion(info)
        encoded, name, *_ = to_record_bytes(data, info)
        assert name == "png"
        assert np.asarray(Image.open(io.BytesIO(encoded)))[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_transparent_value_of_sixteen_bits_is_laid_on_white():
    values = np.array([[0, 1, 32768, 65535]], dtype=np.uint16)
    data = encode(Image.fromarray(values), "PNG", transparency=32768)
    encoded, *_ = to_record_bytes(data, probe(data))
    assert np.asarray(Image.open(io.BytesIO(encoded)))[0, :, 0].tolist() == [0, 0, 255, 255]


def sixteen_bit_rgb_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0, 0x00FF, 0xFFFF))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_sixteen_bit_rgb_is_converted():
    data = sixteen_bit_rgb_png()
    info = probe(data)
    assert (info.mode, info.bits, needs_conversion(info)) == ("RGB", 16, True)
    encoded, *_ = to_record_bytes(data, info)
    assert np.asarray(Image.open(io.BytesIO(encoded))).tolist() == [[[0x12, 0x56, 0x9A], [0, 0, 0xFF]]]


def test_pixels_without_a_fixed_range_are_refused():
    data = encode(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")
    assert refusal(data).reason == "image_unsupported"


def test_first_frame_counts():
    frames = [picture(), picture().transpose(Image.Transpose.ROTATE_180)]
    for kind in ("GIF", "TIFF", "WEBP", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        info = probe(data)
        assert (info.frames, needs_conversion(info)) == (2, True)
        assert "animated" in images.describe_conversion(info)
        assert corners(to_record_bytes(data, info)[0]) == UPRIGHT
    pair = encode(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert (probe(pair).format, needs_conversion(probe(pair))) == ("JPEG", False)


# What each orientation shows of the stored quarters, by the table in EXIF 2.32: for example 6 is stored lying on its
# left side, its 0th row is the right side of the upright picture.
SHOWN = {
    1: ["red", "green", "blue", "white"],
    2: ["green", "red", "white", "blue"],
    3: ["white", "blue", "green", "red"],
    4: ["blue", "white", "red", "green"],
    5: ["red", "blue", "green", "white"],
    6: ["blue", "red", "white", "green"],
    7: ["white", "green", "blue", "red"],
    8: ["green", "white", "red", "blue"],
}


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(orientation, kind):
    tag = {"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": exif(orientation)}
    data = encode(picture(), kind, **tag)
    info = probe(data)
    assert (info.width, info.height, info.orientation) == (48, 32, orientation)
    size = (32, 48) if orientation >= 5 else (48, 32)
    assert info.upright_size == size
    encoded, _, *stated = to_record_bytes(data, info)
    assert tuple(stated) == size
    if orientation == 1 and kind in ("JPEG", "PNG"):
        assert encoded == data
    else:
        assert corners(encoded) == SHOWN[orientation]
        assert Image.open(io.BytesIO(encoded)).size == size


def test_orientation_behind_the_pixels_of_a_png_counts():
    data = encode(picture(), "PNG", exif=exif(6))
    start = data.index(b"eXIf") - 4
    end = start + 12 + struct.unpack(">I", data[start : start + 4])[0]
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    assert probe(moved).orientation == 6


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_invalid_orientation_is_ignored_and_told(orientation):
    data = encode(picture(), exif=exif(orientation))
    info = probe(data)
    assert (info.orientation, info.invalid_orientation) == (1, f"EXIF orientation {orientation}")
    assert to_record_bytes(data, info)[0] == data


def test_damaged_exif_is_ignored_and_told():
    data = encode(picture(), exif=b"Exif\0\0XX*\0garbage")
    info = probe(data)
    assert info.orientation == 1 and "cannot be read" in info.invalid_orientation


@pytest.mark.parametrize(
    ("data", "reason", "found"),
    [
        (b"", "image_empty", "zero bytes"),
        (b"<!DOCTYPE html><html>404</html>", "image_not_an_image", "HTML"),
        (b"\n <html lang=en>", "image_not_an_image", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "image_not_an_image", "Git LFS"),
        (b"\0\0\0\x18ftypheic\0\0", "image_not_an_image", "HEIC"),
        (b"<?xml version='1.0'?><svg/>", "image_not_an_image", "SVG"),
        (b"%PDF-1.7", "image_not_an_image", "PDF"),
        (b"\0" * 500, "image_not_an_image", "zeros"),
        (b"hello world", "image_not_an_image", "hello"),
        (b"\xff\xd8\xff\xe0", "image_damaged", "header"),
        (b"\x89PNG\r\n\x1a\n", "image_damaged", "header"),
    ],
)
def test_what_is_no_image_is_refused_with_what_it_is(data, reason, found):
    error = refusal(data)
    assert error.reason == reason
    assert found in error.found


def noisy(kind: str, **options) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return encode(Image.fromarray(pixels), kind, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_file_is_refused(kind, share):
    data = noisy(kind)
    assert probe(data).width == 64
    assert refusal(data[: int(len(data) * share)]).reason == "image_damaged"


def test_progressive_jpeg_is_no_trouble_and_truncated_it_is_refused():
    data = noisy("JPEG", progressive=True)
    assert to_record_bytes(data, probe(data))[0] == data
    assert refusal(data[:-200]).reason == "image_damaged"


def test_jpeg_with_something_behind_it_is_whole():
    data = noisy("JPEG")
    assert probe(data + b"\0" * 100).width == 64
    assert probe(data + b"appended by a camera").width == 64


def test_png_with_a_wrong_checksum_is_refused():
    data = bytearray(noisy("PNG"))
    data[len(data) // 2] ^= 0xFF
    assert refusal(bytes(data)).reason == "image_damaged"


def test_pixel_bomb_is_refused_without_decoding():
    data = bytearray(encode(Image.new("RGB", (8, 8)), "PNG"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    assert refusal(bytes(data)).reason == "image_too_large"
    data[16:24] = struct.pack(">II", 12_000, 12_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    assert refusal(bytes(data)).found == "12000 x 12000 pixels, over the limit of 134,217,728"


@pytest.mark.parametrize("data", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"RIFF\0\0\0\0WEBP", b"II*\0"])
def test_what_is_said_of_a_header_is_the_same_each_time(data):
    # Two objects at a time, so that they lie at two places in the memory.
    one, other = refusal(data), refusal(bytes(bytearray(data)))
    assert one.reason == other.reason == "image_damaged"
    assert one.found == other.found
    assert " at 0x" not in one.found


def test_file_that_cannot_be_opened_is_refused(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(ImageError) as caught:
            probe(path)
        assert caught.value.reason == "image_unreadable"


@settings(max_examples=150, deadline=2000)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"]), st.floats(0, 1), st.binary(min_size=1, max_size=9)
)
def test_damaged_bytes_are_converted_or_refused(kind, place, patch):
    data = encode(picture(), kind)
    start = int(place * len(data))
    damaged = data[:start] + patch + data[start + len(patch) :]
    try:
        info = probe(damaged)
        encoded, name, width, height = to_record_bytes(damaged, info)
    except ImageError:
        return
    assert name in ("jpeg", "png") and encoded and width > 0 and height > 0
