"""What an image file really holds, and the bytes of it that a record takes: upright, RGB, 8 bit, JPEG or PNG.

The name's extension is never believed. TensorFlow's decoders know JPEG, PNG, GIF and BMP only, and ignore the EXIF
orientation; labelling tools and browsers honour it. So whatever is not upright RGB already is converted once, here.
"""

import hashlib
import io
import os
import warnings
from dataclasses import dataclass

from PIL import Image, ImageChops

from odtl import jpeg, signatures
from odtl.errors import said_by, text_of
from odtl.files import open_regular

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
EXTENSIONS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".jpe": "JPEG",
    ".jif": "JPEG",
    ".pjpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
# 2**27 pixels are 384 MB as RGB. Larger than any camera's picture that a detector is trained on; smaller than what a
# few kilobytes of a hostile PNG can claim to be.
MAX_PIXELS = 2**27
# More than as many pixels take without compression, at 16 bits; a film under an image's name must not be read whole.
MAX_BYTES = 2**30
JPEG_QUALITY = 95
_STRIP = 256

_ORIENTATION = 0x0112
_EIGHT_BIT_MODES = frozenset(("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LA", "PA", "La", "RGBA", "RGBa"))
_KINDS = {"1": "black and white", "L": "grayscale", "LA": "grayscale", "P": "palette", "PA": "palette"}
# Formats whose files go into records as they are.
_STORED = ("JPEG", "PNG")
_SIXTEEN_BIT_MODES = frozenset(("I;16", "I;16B", "I;16L", "I;16N"))
_ALPHA_MODES = frozenset(("LA", "PA", "La", "RGBA", "RGBa"))
# EXIF 2.32, table 6 (Orientation): how the stored picture is turned to stand upright.
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(Exception):
    """An image that cannot be used.

    reason: the ledger's reason, one of image_unreadable, image_empty, image_not_an_image, image_damaged,
            image_too_large, image_unsupported.
    found:  what was found, for a person.
    """

    def __init__(self, reason: str, found: str) -> None:
        self.reason = reason
        self.found = found
        super().__init__(f"{reason}: {found}")


@dataclass(frozen=True)
class ImageInfo:
    """What an image file holds.

    format:        by content: JPEG, PNG, WEBP, BMP, GIF or TIFF.
    width, height: pixels as stored, before the EXIF orientation is applied.
    orientation:   EXIF orientation 1 to 8; 1 where there is none or an invalid one.
    invalid_orientation: the invalid one as text, or "".
    mode:          Pillow's name for the kind of pixel: RGB, L, CMYK, P, ...
    bits:          bits per channel as stored.
    frames:        number of pictures in the file; the first is used.
    transparent:   whether pixels can be transparent.
    lossless:      whether the file's compression keeps every pixel value.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    invalid_orientation: str = ""
    mode: str = "RGB"
    bits: int = 8
    frames: int = 1
    transparent: bool = False
    lossless: bool = False

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height once the EXIF orientation is applied: what a viewer shows."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_bytes(path: str | os.PathLike) -> bytes:
    """Return a regular file's bytes; ImageError (image_unreadable, image_too_large) if that is not possible."""
    try:
        with open_regular(path, "rb") as stream:
            if (size := os.fstat(stream.fileno()).st_size) > MAX_BYTES:
                raise ImageError("image_too_large", f"{size:,} bytes, over the limit of {MAX_BYTES:,}")
            return stream.read()
    except (OSError, ValueError) as error:
        raise ImageError("image_unreadable", str(error)) from error


def read_listed(path: str | os.PathLike, sha256: str) -> bytes:
    """Return an image file's bytes, which must have this digest (SHA-256, hex): that of the file that was listed.

    Raises ImageError for a file that cannot be read (image_unreadable) or is another one (image_damaged).
    """
    data = read_bytes(path)
    if (digest := hashlib.sha256(data).hexdigest()) != sha256:
        raise ImageError("image_damaged", f"sha256 {digest[:12]}..., listed as {sha256[:12]}...")
    return data


def probe(source: str | os.PathLike | bytes, whole: bool = True, decode: bool = False) -> ImageInfo:
    """Say what an image file (a path or its bytes) holds, and that it can be decoded.

    A JPEG with an end marker and a PNG whose checksums hold count as whole; everything else, and everything that
    must be converted anyway, is decoded to find out.

    whole:  False for bytes that were found to be whole before: this is not looked at again.
    decode: whether to look for JPEGs whose pixels end before their end marker, too (see `jpeg.ends_early`).

    Raises ImageError with a reason: no bytes, not an image, damaged or cut off, too large,
    pixels without a fixed range.
    """
    data = source if isinstance(source, bytes) else read_bytes(source)
    if not data:
        raise ImageError("image_empty", "a file of zero bytes")
    image = _open(data)
    info = _describe(image, data)
    if info.mode not in _EIGHT_BIT_MODES | _SIXTEEN_BIT_MODES:
        raise ImageError(
            "image_unsupported", f"{info.format} with pixels of type {info.mode}, which have no fixed range"
        )
    if whole:
        _check_whole(image, data, info, decode)
    return info


def needs_conversion(info: ImageInfo) -> bool:
    """Return whether the file's bytes cannot go into a record as they are."""
    return not (_is_plain(info) and info.orientation == 1)


def _is_plain(info: ImageInfo) -> bool:
    """Return whether a file fits a record but for its orientation; of a JPEG's frames, the first is the picture."""
    plain = info.format in _STORED and info.mode == "RGB" and info.bits == 8 and not info.transparent
    return plain and (info.frames == 1 or info.format == "JPEG")


def describe_conversion(info: ImageInfo) -> str:
    """Return what makes a conversion necessary apart from the EXIF orientation ("grayscale JPEG"), or ""."""
    if _is_plain(info):
        # Most are, and there may be millions.
        return ""
    words = [
        *(["animated"] if info.frames > 1 and info.format != "JPEG" else []),
        *([f"{info.bits}-bit"] if info.bits not in (1, 8) else []),
        *([_KINDS.get(info.mode, info.mode)] if info.mode not in ("RGB", "RGBA") else []),
        *(["transparent"] if info.transparent else []),
    ]
    return " ".join([*words, info.format]) if words or info.format not in _STORED else ""


def to_record_bytes(data: bytes, info: ImageInfo) -> tuple[bytes, str, int, int]:
    """Return (encoded bytes, "jpeg" or "png", width, height) of the upright RGB picture, 8 bits per channel.

    data, info: a file's bytes and what `probe` said of them.

    Upright 8-bit RGB JPEG and PNG go through untouched. Otherwise the first frame is turned upright, transparency is
    laid on white (as browsers show it), 16 bits keep their upper 8, and the result is PNG where the source was
    lossless, else JPEG of quality 95 without chroma subsampling. The same input gives the same bytes.

    Raises ImageError if the bytes cannot be decoded after all.
    """
    width, height = info.upright_size
    if not needs_conversion(info):
        return data, info.format.lower(), width, height
    image = _upright_rgb(data, info)
    if image.size != (width, height):
        raise ImageError(
            "image_damaged", f"{image.size[0]} x {image.size[1]} pixels where {width} x {height} are stated"
        )
    stream = io.BytesIO()
    if info.lossless:
        image.save(stream, "PNG")
        return stream.getvalue(), "png", width, height
    image.save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return stream.getvalue(), "jpeg", width, height


def upright_rgb(data: bytes, info: ImageInfo | None = None) -> Image.Image:
    """Return the upright 8-bit RGB picture (first frame) of a file's bytes; ImageError if it cannot be decoded."""
    return _upright_rgb(data, info or probe(data))


def small_rgb(data: bytes, least: int, info: ImageInfo | None = None) -> Image.Image:
    """Return the picture that `upright_rgb` returns, but perhaps smaller.

    least: it has at least so many pixels each way, unless the file has fewer. A JPEG is decoded at 1/2, 1/4 or 1/8 of
           its size, which takes a fraction of the time; others are decoded as they are.
    """
    return _upright_rgb(data, info or probe(data), least)


def _open(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Our own limit decides, below; warnings about odd metadata help nobody here.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("image_too_large", str(error)) from error
    except Exception as error:  # Pillow's plugins raise a dozen kinds on hostile bytes.
        other = signatures.kind_of_other(data, FORMATS)
        if other:
            raise ImageError("image_not_an_image", other) from error
        raise ImageError("image_damaged", f"a header that cannot be read ({said_by(error)})"[:200]) from error
    if image.width * image.height > MAX_PIXELS:
        found = f"{image.width} x {image.height} pixels, over the limit of {MAX_PIXELS:,}"
        raise ImageError("image_too_large", found)
    return image


def _describe(image: Image.Image, data: bytes) -> ImageInfo:
    try:
        kind = "JPEG" if image.format == "MPO" else image.format
        bits = _bits(image, data)
        orientation, invalid = _orientation(image, data)
        width, height = image.size
        if kind == "TIFF" and orientation >= 5:
            # Pillow states the size of a TIFF, and only of a TIFF, as it is after turning.
            width, height = height, width
        return ImageInfo(
            format=kind,
            width=width,
            height=height,
            orientation=orientation,
            invalid_orientation=invalid,
            mode=image.mode,
            bits=bits,
            frames=getattr(image, "n_frames", 1),
            transparent=image.mode in _ALPHA_MODES or "transparency" in image.info,
            lossless=_lossless(image, data),
        )
    except Exception as error:
        raise ImageError("image_damaged", said_by(error)[:200]) from error


def _bits(image: Image.Image, data: bytes) -> int:
    if image.mode in _SIXTEEN_BIT_MODES:
        return 16
    if image.format == "PNG":
        # Pillow opens 16-bit RGB as plain RGB; the IHDR chunk has the bit depth at this place (PNG, section 11.2.1).
        return 16 if data[24] == 16 else 8
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (8,)))
    return 8


def _orientation(image: Image.Image, data: bytes) -> tuple[int, str]:
    """Return the EXIF orientation, 1 to 8, and as text the invalid value that was ignored."""
    try:
        if image.format == "TIFF":
            value = image.tag_v2.get(_ORIENTATION, 1)
        else:
            raw = image.info.get("exif")
            if raw is None and image.format == "PNG" and b"eXIf" in data:
                # The chunk may stand behind the pixels, where Pillow finds it only after decoding.
                image.load()
                raw = image.info.get("exif")
            if not raw:
                return 1, ""
            exif = Image.Exif()
            exif.load(raw)
            value = exif.get(_ORIENTATION, 1)
    except Exception as error:
        return 1, f"EXIF data that cannot be read ({type(error).__name__})"
    if isinstance(value, int) and 1 <= value <= 8:
        return value, ""
    return 1, f"EXIF orientation {value!r}"[:100]


def _lossless(image: Image.Image, data: bytes) -> bool:
    if image.format == "WEBP":
        # The first picture's chunk, VP8L or VP8 (WebP container specification), whatever stands around it.
        lossless, lossy = data.find(b"VP8L"), data.find(b"VP8 ")
        return lossless >= 0 and (lossy < 0 or lossless < lossy)
    if image.format == "TIFF":
        return image.info.get("compression") not in ("jpeg", "tiff_jpeg", "webp")
    return image.format in ("PNG", "BMP", "GIF")


def _check_whole(image: Image.Image, data: bytes, info: ImageInfo, decode: bool) -> None:
    try:
        if needs_conversion(info):
            _upright_rgb(data, info)
        elif info.format == "PNG":
            _open(data).verify()
        elif not data.rstrip(b"\0\r\n ").endswith(b"\xff\xd9"):
            # No end marker where it should be: cut off, or whole with something appended. Decoding tells.
            image.load()
        if info.format == "JPEG" and jpeg.ends_early(data, decode):
            raise ImageError("image_damaged", "JPEG whose pixels end before the picture does; the rest would be grey")
    except ImageError:
        raise
    except Exception as error:
        raise _damaged(info, error) from error


def _upright_rgb(data: bytes, info: ImageInfo, least: int | None = None) -> Image.Image:
    try:
        image = _open(data)
        adobe = "adobe" in image.info
        if least is not None:
            image.draft(image.mode, (least, least))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
            image = _to_rgb(image, info, adobe)
        # Pillow turns a TIFF while it loads it.
        if info.orientation != 1 and info.format != "TIFF":
            image = image.transpose(_TURN[info.orientation])
        # What is left in `info` (ICC profile, resolution, comments) must not reach the output.
        image.info = {}
        return image
    except ImageError:
        raise
    except Exception as error:
        raise _damaged(info, error) from error


def _damaged(info: ImageInfo, error: Exception) -> ImageError:
    return ImageError("image_damaged", f"{info.format} that is cut off or damaged ({text_of(error)})"[:200])


def _to_rgb(image: Image.Image, info: ImageInfo, adobe: bool) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        # Pillow's own conversion clips at 255 instead of scaling.
        import numpy as np

        values = np.asarray(image).astype(np.uint16)
        upper = (values >> 8).astype(np.uint8)
        # The one value that stands for transparent has 16 bits, too: it is laid on white here.
        upper[values == image.info.get("transparency", -1)] = 255
        image = Image.fromarray(upper)
    if image.mode == "CMYK" and info.format == "JPEG" and not adobe:
        # Pillow takes every CMYK JPEG for an inverted one, as Adobe writes them; without Adobe's marker it is not.
        image = ImageChops.invert(image)
    if info.transparent:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """Return a picture with transparency laid on white, as RGB."""
    result = Image.new("RGB", image.size)
    # In strips: whole pictures in between would need several times the memory.
    for top in range(0, image.height, _STRIP):
        strip = image.crop((0, top, image.width, min(top + _STRIP, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        result.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return result
