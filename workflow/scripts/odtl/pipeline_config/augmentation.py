"""The augmentation of a pipeline.config.

Fields and their defaults: object_detection/protos/preprocessor.proto and core/preprocessor.py of
github.com/tensorflow/models.
"""

import math
from collections.abc import Callable, Mapping

from odtl.pipeline_config.document import Document, Leaf, leaves_of
from odtl.pipeline_config.translation import Fate, Translation

STEPS = "train_config.data_augmentation_options"
# A crop is a zoom, but one into less than a quarter of an image loses most boxes.
_CLOSEST = 2.0

Leaves = Mapping[str, Leaf]
# What a step says of the zoom: (smallest, largest, note).
Zoom = tuple[float, float, str]


def translate_augmentation(document: Document, result: Translation) -> None:
    """Translate the list of augmentations. It says all that is done: what mirrors is done only if it is listed."""
    steps = [field for option in document.messages("train_config") for field in option.value]
    steps = [field for field in steps if field.name == STEPS.split(".")[1] and isinstance(field.value, tuple)]
    if not steps:
        result.remarks.append("No data_augmentation_options: `augmentation` stays as it is in the configuration.")
        return
    mirrored, zooms, zoomed = False, [], []
    for option in steps:
        for step in option.value:
            leaves = list(leaves_of(step, STEPS))
            named = {leaf.path.removeprefix(f"{STEPS}.{step.name}."): leaf for leaf in leaves}
            if step.name == "random_horizontal_flip":
                mirrored = True
                _translate_flip(document, leaves, named, result)
            elif read := _ZOOMS.get(step.name):
                zooms.append(read(document, named))
                zoomed += leaves
    if not mirrored:
        result.settings.setdefault("augmentation", {})["hflip"] = False
        result.remarks.append("random_horizontal_flip is not listed, so images are not mirrored (augmentation.hflip).")
    if zooms:
        low, high = min(zoom[0] for zoom in zooms), max(zoom[1] for zoom in zooms)
        result.set("augmentation.scale_min", round(low, 2), [])
        note = " ".join(dict.fromkeys(zoom[2] for zoom in zooms if zoom[2]))
        result.set("augmentation.scale_max", round(max(low, high), 2), zoomed, note)
    else:
        result.remarks.append("No step zooms or crops: the zoom stays as it is in the configuration (augmentation).")


def _translate_flip(document: Document, leaves: list[Leaf], named: Leaves, result: Translation) -> None:
    keypoints = [leaf for leaf in leaves if "keypoint" in leaf.name]
    result.tell(Fate.NONE, keypoints, "There are boxes here, no keypoints.")
    share = named.get("probability")
    odd = share is not None and document.number(share, least=0) != 0.5
    rest = [leaf for leaf in leaves if leaf not in keypoints]
    result.set("augmentation.hflip", True, rest, "Half of the images are mirrored." if odd else "")


def _value(document: Document, leaves: Leaves, name: str, default: float) -> float:
    leaf = leaves.get(name)
    return default if leaf is None else document.number(leaf, least=0)


def _scale(document: Document, leaves: Leaves) -> Zoom:
    low, high = _value(document, leaves, "min_scale_ratio", 0.5), _value(document, leaves, "max_scale_ratio", 2.0)
    return max(low, 0.01), high, ""


def _square(document: Document, leaves: Leaves) -> Zoom:
    """Scale, crop and pad is what official.vision's parser does, too."""
    return max(_value(document, leaves, "scale_min", 0.1), 0.01), _value(document, leaves, "scale_max", 2.0), ""


def _square_crop(document: Document, leaves: Leaves) -> Zoom:
    low, high = _value(document, leaves, "scale_min", 0.6), _value(document, leaves, "scale_max", 1.3)
    note = "The side of a crop, as share of the image's, is the inverse of a zoom."
    return 1 / max(high, 0.01), 1 / max(low, 0.01), note


def _crop(smallest: float) -> Callable[[Document, Leaves], Zoom]:
    """Return what a crop says; smallest: its default for the smallest share of the area."""

    def read(document: Document, leaves: Leaves) -> Zoom:
        areas = [document.number(leaf, least=0) for name, leaf in leaves.items() if name.endswith("min_area")]
        closest = 1 / math.sqrt(max(min(areas, default=smallest), 0.01))
        note = f"A crop is a zoom into the image, here by {_CLOSEST:g} at most, and never of other proportions."
        return 1.0, max(1.0, min(closest, _CLOSEST)), note

    return read


def _pad(document: Document, leaves: Leaves) -> Zoom:
    ratios = [document.number(leaf, above=0) for name, leaf in leaves.items() if "max_padded_size_ratio" in name]
    note = "Padding is a zoom out of the image."
    return 1 / max([1.0, *(ratios or [2.0])]), 1.0, note


def _crop_and_pad(document: Document, leaves: Leaves) -> Zoom:
    crop, pad = _crop(0.1)(document, leaves), _pad(document, leaves)
    return pad[0], crop[1], f"{crop[2]} {pad[2]}"


_ZOOMS: dict[str, Callable[[Document, Leaves], Zoom]] = {
    "random_image_scale": _scale,
    "random_scale_crop_and_pad_to_square": _square,
    "random_square_crop_by_scale": _square_crop,
    "random_crop_image": _crop(0.1),
    "ssd_random_crop": _crop(0.1),
    "ssd_random_crop_fixed_aspect_ratio": _crop(0.1),
    "random_pad_image": _pad,
    "random_absolute_pad_image": _pad,
    "random_crop_pad_image": _crop_and_pad,
    "ssd_random_crop_pad": _crop_and_pad,
    "ssd_random_crop_pad_fixed_aspect_ratio": _crop_and_pad,
}
