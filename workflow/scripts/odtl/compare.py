"""Whether an export finds what its checkpoint finds: the same boxes, classes and scores on the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from odtl.detections import Detections, pairwise_iou

# Two boxes of one class that overlap by less are two objects, or one object and a mistake: not the same detection.
_SAME_OBJECT = 0.5


@dataclass(frozen=True)
class Tolerances:
    """How far an export may be from its checkpoint.

    min_iou:              the least intersection over union of two boxes that stand for the same detection.
    max_score_difference: the largest difference of their scores.
    score_threshold:      detections that score less on both sides are not compared.
    """

    min_iou: float = 0.99
    max_score_difference: float = 0.01
    score_threshold: float = 0.05


@dataclass(frozen=True)
class ImageComparison:
    """How two lists of detections of one image differ.

    image:    its name.
    compared: pairs of detections that stand for the same object.
    missing:  detections of the checkpoint that the export lacks.
    added:    detections of the export that the checkpoint lacks.
    min_iou, max_score_difference: over the pairs; None where there is no pair.
    """

    image: str
    compared: int
    missing: int
    added: int
    min_iou: float | None
    max_score_difference: float | None

    def within(self, tolerances: Tolerances) -> bool:
        """Say whether the difference is allowed."""
        if self.missing or self.added:
            return False
        if self.min_iou is None or self.max_score_difference is None:
            return True
        return self.min_iou >= tolerances.min_iou and self.max_score_difference <= tolerances.max_score_difference

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f"{self.missing} detection(s) of the checkpoint missing")
        if self.added:
            parts.append(f"{self.added} detection(s) that the checkpoint does not make")
        if self.min_iou is not None:
            parts.append(f"least IoU {self.min_iou:.4f}")
            parts.append(f"largest score difference {self.max_score_difference:.4f}")
        return f"{self.image}: {', '.join(parts) or 'nothing found by either'}"


class ParityError(Exception):
    """An export does not find what its checkpoint finds.

    format: name of the export; images: the comparisons of those images that are out of tolerance.
    """

    def __init__(self, export_format: str, images: Sequence[ImageComparison], total: int, tolerances: Tolerances):
        self.format = export_format
        self.images = tuple(images)
        self.tolerances = tolerances
        listed = "\n".join(f"  - {image}" for image in self.images)
        super().__init__(
            f"The export `{export_format}` differs from the checkpoint on {len(images)} of {total} image(s); allowed "
            f"are an IoU of at least {tolerances.min_iou:g} and a score difference of at most "
            f"{tolerances.max_score_difference:g}, and no detection may be missing or added:\n{listed}"
        )


def compare_image(
    image: str, reference: Detections, candidate: Detections, tolerances: Tolerances, max_detections: int = 100
) -> ImageComparison:
    """Match the detections of one image by class and overlap, each with at most one other, and say how they differ.

    A detection that has no partner counts as missing or added, with two exceptions where a rounding error decides
    whether it is listed at all: its score lies within `max_score_difference` of the threshold, or the other list is
    full (`max_detections`) and it scores no higher, within the same tolerance, than the last one there.
    """
    pairs = _match(reference, candidate)
    threshold = tolerances.score_threshold
    told = [(i, j, iou) for i, j, iou in pairs if max(reference.scores[i], candidate.scores[j]) >= threshold]
    differences = [abs(reference.scores[i] - candidate.scores[j]) for i, j, _ in told]
    return ImageComparison(
        image=image,
        compared=len(told),
        missing=_unexplained(reference, {i for i, _, _ in pairs}, candidate, tolerances, max_detections),
        added=_unexplained(candidate, {j for _, j, _ in pairs}, reference, tolerances, max_detections),
        min_iou=float(min(iou for _, _, iou in told)) if told else None,
        max_score_difference=float(max(differences)) if told else None,
    )


def check_parity(
    export_format: str,
    images: Sequence[str],
    reference: Sequence[Detections],
    candidate: Sequence[Detections],
    tolerances: Tolerances,
    max_detections: int = 100,
) -> dict:
    """Compare the detections of several images and return the report that `parity.json` holds for one format.

    images, reference, candidate: names, the checkpoint's and the export's detections, in the same order.
    Raises ParityError, naming the format and every image that is out of tolerance with its differences.
    """
    comparisons = [
        compare_image(image, wanted, found, tolerances, max_detections)
        for image, wanted, found in zip(images, reference, candidate, strict=True)
    ]
    failed = [comparison for comparison in comparisons if not comparison.within(tolerances)]
    if failed:
        raise ParityError(export_format, failed, len(comparisons), tolerances)
    return _report(comparisons)


def _report(comparisons: Sequence[ImageComparison]) -> Mapping:
    ious = [comparison.min_iou for comparison in comparisons if comparison.min_iou is not None]
    differences = [c.max_score_difference for c in comparisons if c.max_score_difference is not None]
    return {
        "passed": True,
        "images": len(comparisons),
        "detections": sum(comparison.compared for comparison in comparisons),
        "min_iou": min(ious, default=None),
        "max_score_difference": max(differences, default=None),
        "per_image": [asdict(comparison) for comparison in comparisons],
    }


def _match(reference: Detections, candidate: Detections) -> list[tuple[int, int, float]]:
    """Return (reference index, candidate index, IoU) of the pairs, taken greedily from the best overlap down."""
    iou = pairwise_iou(reference.boxes, candidate.boxes)
    iou = np.where(reference.classes[:, None] == candidate.classes[None, :], iou, 0)
    rows, columns = np.nonzero(iou >= _SAME_OBJECT)
    pairs, used_rows, used_columns = [], set(), set()
    for index in np.argsort(-iou[rows, columns], kind="stable"):
        i, j = int(rows[index]), int(columns[index])
        if i not in used_rows and j not in used_columns:
            used_rows.add(i)
            used_columns.add(j)
            pairs.append((i, j, float(iou[i, j])))
    return pairs


def _unexplained(
    detections: Detections, matched: set[int], other: Detections, tolerances: Tolerances, max_detections: int
) -> int:
    """Count the detections without partner that no rounding error can explain."""
    limit = tolerances.score_threshold
    if len(other) >= max_detections:
        limit = max(limit, float(other.scores.min()))
    unmatched = [score for index, score in enumerate(detections.scores) if index not in matched]
    return sum(
        score >= tolerances.score_threshold and score > limit + tolerances.max_score_difference for score in unmatched
    )
