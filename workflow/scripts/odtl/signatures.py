"""What the first bytes of a file say of its kind."""

from collections.abc import Sequence

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))
# HEIC, HEIF and AVIF, pictures and sequences of them; not films, which begin alike.
_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"))


def begins_like_image(head: bytes) -> bool:
    """Say whether a file is an image by how it begins (at least 32 bytes, if it has them).

    Those count that cannot be read here, too: HEIC, AVIF, JPEG 2000, Photoshop. Sources: the specifications of the
    formats; ISO/IEC 14496-12 for `ftyp`.
    """
    if head.startswith((*_STARTS, *_JPEG_2000, b"8BPS\0")) or _is_webp(head):
        return True
    if head[:2] == b"BM":
        # Two letters begin many a text. Four bytes are zero in practice; the length of the header that follows tells.
        return head[6:10] == b"\0\0\0\0" and head[14:18] in _BMP_HEADERS
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def kind_of_other(data: bytes, formats: Sequence[str]) -> str:
    """Return what bytes that are no image of the known `formats` look like, or "" if they do begin like one."""
    if data.startswith((*_STARTS, b"BM")) or _is_webp(data):
        return ""
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html")) or b"<html" in head:
        return "an HTML page, as a download that failed leaves it"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; run `git lfs pull` to get the image"
    if head.startswith((b"<?xml", b"<svg", b"<annotation")):
        return "an XML or SVG file"
    if data.startswith(_JPEG_2000):
        return "JPEG 2000; save it as JPEG or PNG"
    if data[4:8] == b"ftyp":
        return f"{data[8:12].decode('ascii', 'replace').upper()} (HEIC, AVIF or video); save it as JPEG or PNG"
    if head.startswith(b"%pdf"):
        return "a PDF file"
    if not data.strip(b"\0"):
        return "nothing but zeros, as an interrupted copy leaves it"
    return f"no image of a known format ({', '.join(formats)}); it begins with {data[:12]!r}"
