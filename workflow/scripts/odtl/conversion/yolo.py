"""YOLO: a text file of shares for each image, in images/{split} and labels/{split}, and data.yaml.

Format: https://docs.ultralytics.com/datasets/detect/ . Its reader finds the labels of an image by the last "/images/"
in its path, so there are no further folders: "a/b.jpg" is called "a_b.jpg".
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from odtl.boxes import BoxRow
from odtl.conversion.labelled import LabelledImage, Paths, check_classes, iterate_images
from odtl.conversion.pictures import place_images
from odtl.files import atomic_folder, atomic_open
from odtl.label_map import read_label_map


def convert(
    boxes_csvs: Paths,
    label_map_file: str | os.PathLike,
    images_folder: str | os.PathLike,
    labels_folder: str | os.PathLike,
    link: bool,
) -> str:
    """Write the images and labels of a split; return what was written, as a text.

    An image without boxes has an empty file. A crowd is left out, and counted: the format has no word for it, and it
    would be learnt as one object.
    """
    indices = class_indices(read_label_map(label_map_file))
    images = boxes = crowds = 0
    with atomic_folder(images_folder) as pictures, atomic_folder(labels_folder) as labels:
        images_found = iterate_images(boxes_csvs)
        found = place_images(images_found, pictures, link, lambda name: _label_file(labels, name), flat=True)
        for image, name in found:
            check_classes(image, indices)
            _label_file(labels, name).write_text(text(image, indices), encoding="ascii")
            left_out = sum(row.crowd for row in image.boxes)
            images, boxes, crowds = images + 1, boxes + len(image.boxes) - left_out, crowds + left_out
    return f"{images} images, {boxes} boxes" + (f"; {crowds} crowd(s) left out" if crowds else "")


def write_data_yaml(label_map_file: str | os.PathLike, path: str | os.PathLike, splits: Sequence[str]) -> None:
    """Write data.yaml: where the splits are, relative to its own folder, and the names of the classes."""
    names = {index: name for name, index in class_indices(read_label_map(label_map_file)).items()}
    content = {**{split: f"images/{split}" for split in splits}, "nc": len(names), "names": names}
    with atomic_open(path) as stream:
        yaml.safe_dump(content, stream, sort_keys=False, allow_unicode=True)


def class_indices(label_map: Mapping[str, int]) -> dict[str, int]:
    """Return class -> number from 0 on without gaps, in order of the ids in the label map: usually the id less 1."""
    return {name: index for index, name in enumerate(sorted(label_map, key=label_map.get))}


def text(image: LabelledImage, indices: Mapping[str, int]) -> str:
    """Return an image's labels: `class x_center y_center width height` a line, in shares of the image's sides."""
    return "".join(f"{indices[row.label]} {_shares(row)}\n" for row in image.boxes if not row.crowd)


def _shares(row: BoxRow) -> str:
    shares = (
        (row.xmin + row.xmax) / 2 / row.width,
        (row.ymin + row.ymax) / 2 / row.height,
        (row.xmax - row.xmin) / row.width,
        (row.ymax - row.ymin) / row.height,
    )
    # Enough for a millionth of a pixel.
    return " ".join(f"{share:.12g}" for share in shares)


def _label_file(labels: Path, name: str) -> Path:
    return (labels / name).with_suffix(".txt")
