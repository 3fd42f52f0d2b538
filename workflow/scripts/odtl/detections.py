"""What a detector says of one image: the type that evaluation, export and inference share."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects that a detector found in one image, best score first.

    boxes:   float array (N, 4), xmin, ymin, xmax, ymax in pixels of the upright original image, continuous edges
             (0 <= xmin <= xmax <= width).
    scores:  float array (N,), in [0, 1].
    classes: int array (N,), ids of the label map (from 1).
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __post_init__(self) -> None:
        shapes = self.boxes.shape, self.scores.shape, self.classes.shape
        count = len(self.scores)
        if shapes != ((count, 4), (count,), (count,)):
            raise ValueError(f"boxes, scores and classes must be (N, 4), (N,) and (N,), not {shapes}")

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, keep: np.ndarray) -> "Detections":
        """Return those that a boolean mask or an index array of shape (N,) selects."""
        return Detections(self.boxes[keep], self.scores[keep], self.classes[keep])

    def at_least(self, score_threshold: float) -> "Detections":
        """Return those with a score of `score_threshold` or more."""
        return self.take(self.scores >= score_threshold)


def no_detections() -> Detections:
    """Return the detections of an image in which nothing was found."""
    return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


def from_outputs(outputs: Mapping[str, np.ndarray], index: int, width: int, height: int) -> Detections:
    """Return the detections of image `index` of a batch, from outputs named as in the TF Object Detection API.

    outputs: `detection_boxes` (B, M, 4) ymin, xmin, ymax, xmax in [0, 1]; `detection_scores` (B, M);
             `detection_classes` (B, M), ids from 1; `num_detections` (B,). What stands after the first
             `num_detections` rows is padding.
    width, height: of the original image, in pixels.
    """
    count = int(outputs["num_detections"][index])
    ymin, xmin, ymax, xmax = np.asarray(outputs["detection_boxes"][index][:count], np.float64).reshape(-1, 4).T
    return Detections(
        np.stack([xmin * width, ymin * height, xmax * width, ymax * height], axis=1),
        np.asarray(outputs["detection_scores"][index][:count], np.float64),
        np.rint(outputs["detection_classes"][index][:count]).astype(np.int64),
    )


def pairwise_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union, shape (N, M), of boxes (N, 4) with others (M, 4), xmin ymin xmax ymax.

    Where both are without area it is 0, not NaN.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    intersection = np.prod(np.clip(high - low, 0, None), axis=2)
    union = _areas(boxes)[:, None] + _areas(others)[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
