"""Images whose names are two here, and one on another file system."""

import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence


def name_clashes(manifests: Sequence[str | os.PathLike]) -> list[tuple[str, ...]]:
    """Return the ids of images that differ only in case, or in how their accents are written, together; all sorted.

    Windows and macOS take such names for one. Memory: some 70 bytes for each image.
    """
    seen: set[int] = set()
    twice: set[int] = set()
    for image in _image_ids(manifests):
        key = hash(_folded(image))
        (twice if key in seen else seen).add(key)
    if not twice:
        return []
    groups = defaultdict(list)
    for image in _image_ids(manifests):
        if hash(name := _folded(image)) in twice:
            groups[name].append(image)
    return sorted(tuple(sorted(images)) for images in groups.values() if len(images) > 1)


def _folded(name: str) -> str:
    return (
        name.lower() if name.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    )


def _image_ids(manifests: Sequence[str | os.PathLike]) -> Iterator[str]:
    for path in manifests:
        with open(path, "rb") as stream:
            for text in stream:
                line = json.loads(text)
                if line["image"] is not None:
                    yield line["id"]
