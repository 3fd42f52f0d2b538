"""An export of Labelbox as COCO, where `file_name` is the image's address.

Labelbox's legacy exports state no sizes, and some count y upwards: so what is written are the boxes tables, which know
the sizes of the images that were fetched. The manifests tell which images are from the export, and their addresses.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from odtl.annotations.model import Origin
from odtl.conversion.coco import write_json
from odtl.conversion.labelled import LabelledImage, Paths, iterate_images
from odtl.download import without_password
from odtl.files import atomic_open
from odtl.label_map import read_label_map
from odtl.manifest import iterate_manifest


def convert(
    boxes_csvs: Paths,
    manifests: Mapping[str | os.PathLike, str | None],
    exports: Sequence[str],
    label_map_file: str | os.PathLike,
    labels_json: str | os.PathLike,
) -> str:
    """Write the images that some exports annotate, of all splits, as one COCO JSON; return what was written, as a text.

    manifests: path -> the digest that it must have, see `iterate_manifest`.
    exports:   files and folders, as configured.

    `file_name` is the address, or the id of an image that was a file. An image that was rejected, for example since it
    could not be fetched, is not listed.
    """
    origins = read_origins(manifests, exports)
    ids = read_label_map(label_map_file)
    with atomic_open(labels_json) as stream:
        images, boxes = write_json(_named(iterate_images(boxes_csvs), origins), ids, stream)
    left_out = len(origins) - images
    return f"{images} images, {boxes} boxes" + (f"; {left_out} image(s) were rejected" if left_out else "")


def read_origins(manifests: Mapping[str | os.PathLike, str | None], exports: Sequence[str]) -> dict[str, Origin | None]:
    """Return id -> origin of the images that some exports annotate; None for an image that is a file.

    It holds what an export says of its images, less than the export itself, which was read whole, too.
    """
    places = [os.path.normpath(place) for place in exports]
    return {
        line.id: line.origin
        for path, sha256 in manifests.items()
        for line in iterate_manifest(path, sha256)
        if line.annotation is not None and _is_below(line.annotation.file, places)
    }


def _is_below(file: str, places: Iterable[str]) -> bool:
    return any(file == place or file.startswith(f"{place}/") for place in places)


def _named(found: Iterable[LabelledImage], origins: Mapping[str, Origin | None]) -> Iterator[tuple[LabelledImage, str]]:
    for image in found:
        if image.id in origins:
            origin = origins[image.id] or Origin("")
            url = without_password(origin.url)
            yield LabelledImage(image.first, image.boxes, url, origin.licence), url or image.id
