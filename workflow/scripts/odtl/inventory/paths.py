"""What the names and folders of images and annotations say."""

import functools
import re
import unicodedata
from collections.abc import Sequence

from odtl.split import split_named

# Also those of kinds that cannot be read here (HEIC, AVIF, JPEG 2000): they are images, and the ledger says so.
IMAGE_EXTENSIONS = frozenset(
    (
        *(".jpg", ".jpeg", ".jfif", ".jpe", ".jif", ".pjpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".heic", ".heif", ".avif", ".jp2"),
    )
)
# Tools put images and annotations into folders side by side, which are called so.
_KINDS_OF_FOLDER = frozenset(("images", "jpegimages", "img", "imgs", "labels", "annotations", "xmls", "xml"))


def slashes(path: str) -> str:
    """Return a path as an annotation states it, which may be a Windows one, with "/"."""
    # A drive or a leading "./" tells nothing about the image folder.
    return re.sub(r"^([A-Za-z]:)?/+|^(\./)+", "", path.replace("\\", "/"))


def folder_of(path: str) -> str:
    """Return all up to the last "/", that included; "" if there is none."""
    return path[: path.rfind("/") + 1]


def basename(path: str) -> str:
    """Return what follows the last "/"."""
    return path[path.rfind("/") + 1 :]


def stem_of(path: str) -> str:
    """Return a path without its extension, if it has the extension of an image."""
    dot = path.rfind(".")
    return path[:dot] if dot > 0 and path[dot:].lower() in IMAGE_EXTENSIONS else path


def root_of(path: str) -> str:
    """Return a path without .xml, .txt and all extensions of images, nor folders that only say what is in them: what
    an image and its annotation have in common.

    a.jpg, a.xml, a.jpg.xml, a.png, images/a.jpg, labels/a.txt: files with different roots never have to do with each
    other, as far as names tell.
    """
    path = path[:-4] if path[-4:].lower() in (".xml", ".txt") else path
    while (stem := stem_of(path)) != path:
        path = stem
    return plain(path)


def plain(path: str) -> str:
    """Return a path without the folders that only say what is in them: train/images/a and train/labels/a are one."""
    folder = folder_of(path)
    return _plain_folder(folder) + path[len(folder) :] if folder else path


@functools.lru_cache(maxsize=4096)
def _plain_folder(folder: str) -> str:
    return "".join(f"{part}/" for part in folder.split("/")[:-1] if part.lower() not in _KINDS_OF_FOLDER)


def composed(name: str) -> str:
    """Return a name with composed accents: file systems differ in how they store them."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def folder_split(relative: str) -> str | None:
    """Return the split that the first folder so named gives to a file; None without one."""
    return _split_of_folder(folder_of(relative))


@functools.lru_cache(maxsize=4096)
def _split_of_folder(folder: str) -> str | None:
    for part in folder.split("/"):
        if (split := split_named(part)) is not None:
            return split
    return None


def nearness_of(one: str, other: str) -> int:
    """Return how many folders two paths share, from the front and from the back."""
    one_parts, other_parts = one.split("/")[:-1], other.split("/")[:-1]
    front = _shared(one_parts, other_parts)
    return front + _shared(one_parts[front:][::-1], other_parts[front:][::-1])


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
