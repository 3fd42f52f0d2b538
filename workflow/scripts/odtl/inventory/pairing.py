"""Which annotation is beside which image: what file names alone settle, so that no other file has a say in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from odtl.inventory.folders import File
from odtl.inventory.listing import Source

# An image and the annotation that it has for sure, with the split that the configuration gives to that one: both None
# for an image without. Its line depends on these two files and on nothing else.
Unit = tuple[File, str | None, File | None]


@dataclass(frozen=True)
class Pairing:
    """The images of a source, settled or not, and the annotations that are in no unit."""

    units: list[Unit]
    open_images: list[File]
    open_annotations: list[tuple[str | None, File]]


def pair(source: Source) -> Pairing:
    """Return what the names settle: an image and the only annotation with its path, each without a rival.

    All else is open: `matching` decides, and to do so it has to know what the annotations say. The rows of a table are
    always open.
    """
    if source.format == "csv":
        return Pairing([], source.images, [(split, file) for split, files in source.annotations for file in files])
    by_stem = images_by_stem(source.images)
    claims: dict[File, list[tuple[str | None, File, bool]]] = {}
    for split, files in source.annotations:
        for file in files:
            own = by_stem.get(file[0][:-4], ())
            for image in own:
                claims.setdefault(image, []).append((split, file, len(own) == 1))
    partners = {image: found[0][:2] for image, found in claims.items() if len(found) == 1 and found[0][2]}
    taken = {file[1] for _, file in partners.values()}
    left = [(split, file) for split, files in source.annotations for file in files if file[1] not in taken]
    alone = [image for image in source.images if image not in partners]
    units = [(image, *partner) for image, partner in partners.items()]
    if left:
        return Pairing(units, alone, left)
    return Pairing(units + [(image, None, None) for image in alone], [], [])


def images_by_stem(images: Sequence[File]) -> dict[str, list[File]]:
    """Return the images that an annotation's path without .xml may mean: a.xml or a.jpg.xml for a.jpg."""
    index: dict[str, list[File]] = {}
    for image in images:
        relative = image[0]
        index.setdefault(relative[: relative.rfind(".")], []).append(image)
        # Some tools name the annotation of a.jpg a.jpg.xml.
        index.setdefault(relative, []).append(image)
    return index
