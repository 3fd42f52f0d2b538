"""What of a pipeline.config's model has a counterpart, and which model of the zoo is the nearest.

Fields and their defaults: object_detection/protos/{ssd,faster_rcnn,image_resizer,post_processing}.proto of
github.com/tensorflow/models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odtl.pipeline_config.document import Document, Leaf
from odtl.pipeline_config.translation import Fate, Translation, value_at

if TYPE_CHECKING:
    from odtl.zoo import Model

# As the configuration's schema has it.
SMALLEST_IMAGE, LARGEST_IMAGE = 32, 4096
# Of scores, one that leaves nothing out.
_NO_THRESHOLD = 1e-3
# The feature extractor's name -> families of the zoo's names, the best first; the nearest in size of the first family
# that the zoo has. EfficientDets are matched by their published AP.
_NEAREST = (
    (r"(faster_rcnn|rfcn|mask_rcnn).*(resnet101|inception_resnet|nas)", ("fasterrcnn_resnet101fpn", "fasterrcnn_")),
    (r"(faster_rcnn|rfcn|mask_rcnn).*resnet152", ("fasterrcnn_resnet152fpn", "fasterrcnn_resnet101fpn")),
    (r"(faster_rcnn|rfcn|mask_rcnn)", ("fasterrcnn_resnet50fpn", "fasterrcnn_")),
    (r"(efficientnet|efficientdet)-?_?(b|d)0", ("retinanet_resnet50fpn",)),
    (r"(efficientnet|efficientdet)-?_?(b|d)[1-3]", ("retinanet_spinenet49_",)),
    (r"(efficientnet|efficientdet)-?_?(b|d)4", ("retinanet_spinenet96", "retinanet_spinenet49_")),
    (r"(efficientnet|efficientdet)", ("retinanet_spinenet143", "retinanet_spinenet96")),
    (r"hourglass", ("retinanet_spinenet96", "retinanet_spinenet49_")),
    (r"resnet", ("retinanet_resnet50fpn",)),
    (r"(mobile|inception)", ("retinanet_mobilenetv2_", "retinanet_mobilenet")),
)


@dataclass(frozen=True)
class Target:
    """What must be known of a model of the zoo to translate for it; the names are those of `odtl.zoo.Model`."""

    name: str
    factory: str
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, model: Model) -> Target:
        return cls(model.name, model.factory, model.settings)


def translate_model(document: Document, model: Target, result: Translation) -> None:
    """Translate what of the old model can be had of a model of the zoo."""
    root = f"model.{document.kind}"
    size = image_side(document)
    if size:
        _set_size(*size, model, result)
    _translate_losses(document, root, model, result)
    _translate_norm(document, root, model, result)
    if document.kind == "faster_rcnn" and two_stages(model):
        _translate_sampling(document, root, result)
    _tell_dropout(document, root, result)
    nms = f"{root}.{'second_stage_' if document.kind == 'faster_rcnn' else ''}post_processing.batch_non_max_suppression"
    _translate_detections(document, document.named(nms), result)


def nearest_model(document: Document, models: Collection[Model]) -> str | None:
    """Return the name of the model of the zoo that is nearest to the old one; None where its kind is unknown."""
    kind = extractor(document)
    families = next((names for pattern, names in _NEAREST if re.search(pattern, f"{document.kind} {kind}")), ())
    size, depth = image_side(document), document.leaf(f"model.{document.kind}.feature_extractor.depth_multiplier")
    narrow = depth is not None and document.number(depth, above=0) < 0.5

    def distance(model: Model) -> tuple:
        # Of two that are as near, the larger one loses nothing.
        near = abs(math.log(model.input_size / size[0])) if size else 0
        return ("_035_" in model.name) != narrow, near, -model.input_size

    for family in families:
        if found := [model for model in models if model.name.startswith(family)]:
            return min(found, key=distance).name
    return None


def extractor(document: Document) -> str:
    """Return the type of the old feature extractor, "" where there is none."""
    leaf = document.leaf(f"model.{document.kind}.feature_extractor.type")
    return document.text(leaf) if leaf else ""


def two_stages(model: Target) -> bool:
    """Return whether a model of the zoo is a Faster R-CNN."""
    return "rcnn" in model.factory


def image_side(document: Document) -> tuple[int, list[Leaf], str] | None:
    """Return the side of the square that the old images were fitted into, the settings that say so, and a note."""
    resizer = f"model.{document.kind}.image_resizer"
    fixed, kept = (document.named(f"{resizer}.{name}_resizer") for name in ("fixed_shape", "keep_aspect_ratio"))
    if document.messages(f"{resizer}.fixed_shape_resizer"):
        sides = [leaf for name in ("height", "width") if (leaf := fixed.get(name))]
        numbers = [document.number(leaf, above=0, whole=True) for leaf in sides]
        side = max(numbers, default=300) if len(numbers) == 2 else max([*numbers, 300])
        note = "Images keep their proportions here and are padded to a square; there they were stretched."
        return side, sides, note
    if document.messages(f"{resizer}.keep_aspect_ratio_resizer"):
        sides = [leaf for name in ("max_dimension", "min_dimension") if (leaf := kept.get(name))]
        large = document.number(kept["max_dimension"], above=0, whole=True) if "max_dimension" in kept else 1024
        small = document.number(kept["min_dimension"], above=0, whole=True) if "min_dimension" in kept else 600
        usual = round(small * 4 / 3)
        note = "The longer side of an image, whatever its proportions."
        if usual < large:
            note += (
                f" Photographs of 4:3 were {usual} x {small} pixels: with few others, {usual} is faster and no worse."
            )
        return max(large, small), sides, note
    return None


def _set_size(side: int, leaves: list[Leaf], note: str, model: Target, result: Translation) -> None:
    # The grids of all levels must fit into the image.
    top = value_at(model.settings, "task.model.max_level") or (6 if two_stages(model) else 7)
    step = 2**top
    fitting = max(step, min(LARGEST_IMAGE // step * step, int(side / step + 0.5) * step))
    if fitting != side:
        note = f"{side} is no multiple of {step}, which `{model.name}` needs. {note}"
    result.set("image_size", fitting, leaves, note)


def _translate_losses(document: Document, root: str, model: Target, result: Translation) -> None:
    weights = [leaf for leaf in document.under(root) if leaf.path.endswith(".regularizer.l2_regularizer.weight")]
    first = [leaf for leaf in weights if f"{root}.feature_extractor." in leaf.path] or weights
    keeps = document.leaf("train_config.add_regularization_loss")
    if keeps and not document.flag(keeps):
        result.set("overrides.task.losses.l2_weight_decay", 0.0, keeps)
        result.tell(Fate.NEEDLESS, weights, "No regularisation: train_config.add_regularization_loss is false.")
    elif first:
        # Both are half the weight times the sum of squares.
        value = document.number(first[0], least=0)
        same = [leaf for leaf in weights if leaf.value == first[0].value]
        result.set("overrides.task.losses.l2_weight_decay", float(value), same)
        others = [leaf for leaf in weights if leaf not in same]
        result.tell(Fate.OTHERWISE, others, "One weight holds for all layers: that of the feature extractor is taken.")
    focal = document.named(f"{root}.loss.classification_loss.weighted_sigmoid_focal")
    for name in ("alpha", "gamma"):
        if (leaf := focal.get(name)) and not two_stages(model):
            result.set(f"overrides.task.losses.focal_loss_{name}", float(document.number(leaf, least=0)), leaf)


def _translate_norm(document: Document, root: str, model: Target, result: Translation) -> None:
    frozen = document.leaf(f"{root}.freeze_batchnorm")
    leaf = frozen or document.leaf(f"{root}.feature_extractor.batch_norm_trainable")
    if not leaf:
        return
    fixed = document.flag(leaf) == (leaf is frozen)
    backbone = value_at(model.settings, "task.model.backbone.type") or ("resnet" if "resnet" in model.factory else "")
    if not fixed:
        result.tell(Fate.NEEDLESS, leaf, "Batch normalisation is trained.")
    elif backbone == "resnet":
        result.set("overrides.task.model.backbone.resnet.bn_trainable", False, leaf, "In the backbone.")
    else:
        note = f"Batch normalisation is trained; in `{model.name}` it can only be left out with the backbone: `freeze`."
        result.tell(Fate.NONE, leaf, note)


def _translate_sampling(document: Document, root: str, result: Translation) -> None:
    """Translate what of the two stages does not hang on how their losses are balanced."""
    leaves = document.named(root)
    whole = {
        "first_stage_max_proposals": ("model.roi_generator.num_proposals", "model.roi_generator.test_num_proposals"),
        "first_stage_minibatch_size": ("train_data.parser.rpn_batch_size_per_im",),
        "second_stage_batch_size": ("model.roi_sampler.num_sampled_rois",),
    }
    shares = {
        "first_stage_nms_iou_threshold": (
            "model.roi_generator.nms_iou_threshold",
            "model.roi_generator.test_nms_iou_threshold",
        ),
        "first_stage_nms_score_threshold": (
            "model.roi_generator.pre_nms_score_threshold",
            "model.roi_generator.test_pre_nms_score_threshold",
        ),
        "first_stage_positive_balance_fraction": ("train_data.parser.rpn_fg_fraction",),
        "second_stage_balance_fraction": ("model.roi_sampler.foreground_fraction",),
    }
    for name, places in {**whole, **shares}.items():
        if leaf := leaves.get(name):
            number = document.number(leaf, least=0, whole=name in whole)
            value = number if name in whole else float(number)
            first, *others = places
            result.set(f"overrides.task.{first}", value, leaf)
            for other in others:
                result.set(f"overrides.task.{other}", value, [])


def _translate_detections(document: Document, leaves, result: Translation) -> None:
    place = "overrides.task.model.detection_generator"
    if leaf := leaves.get("score_threshold"):
        threshold = document.number(leaf, least=0)
        if threshold > _NO_THRESHOLD:
            result.set(f"{place}.pre_nms_score_threshold", float(threshold), leaf)
        else:
            note = f"It left nothing out. Detections below 0.05 are left out here ({place}.pre_nms_score_threshold)."
            result.tell(Fate.OTHERWISE, leaf, note)
    if leaf := leaves.get("iou_threshold"):
        result.set(f"{place}.nms_iou_threshold", float(document.number(leaf, least=0)), leaf)
    if leaf := leaves.get("max_total_detections"):
        result.set(f"{place}.max_num_detections", document.number(leaf, above=0, whole=True), leaf)


def _tell_dropout(document: Document, root: str, result: Translation) -> None:
    """Tell that nothing is lost where the old model had dropout switched off; what is left is without a counterpart."""
    for used in [leaf for leaf in document.under(root) if leaf.name == "use_dropout" and not document.flag(leaf)]:
        kept = document.leaf(f"{used.path.removesuffix('use_dropout')}dropout_keep_probability")
        result.tell(Fate.NEEDLESS, [leaf for leaf in (used, kept) if leaf], "The detectors have no dropout.")
