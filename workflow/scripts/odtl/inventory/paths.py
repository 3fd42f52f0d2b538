"""What the names and folders of images and annotations say."""

import functools
import re
import unicodedata
from collections.abc import Sequence

IMAGE_EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
FOLDER_SPLITS = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}


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
    """Return a path without .xml and all extensions of images: what an image and its annotation have in common.

    a.jpg, a.xml, a.jpg.xml, a.png: files with different roots never have to do with each other, as far as names tell.
    """
    path = path[:-4] if path[-4:].lower() == ".xml" else path
    while (stem := stem_of(path)) != path:
        path = stem
    return path


def composed(name: str) -> str:
    """Return a name with composed accents: file systems differ in how they store them."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def folder_split(relative: str) -> str | None:
    """Return the split that the first folder so named gives to a file; None without one."""
    return _split_of_folder(folder_of(relative))


@functools.lru_cache(maxsize=4096)
def _split_of_folder(folder: str) -> str | None:
    for part in folder.split("/"):
        if (split := FOLDER_SPLITS.get(part.lower())) is not None:
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
