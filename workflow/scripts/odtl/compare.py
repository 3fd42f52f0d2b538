"""Whether an export finds what its checkpoint finds: the same boxes, classes, scores and AP on the same images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from odtl.detections import Detections, pairwise_iou
from odtl.errors import InputError

# Two boxes of one class that overlap by less are two objects, or one object and a mistake: not the same detection.
_SAME_OBJECT = 0.5
# So many images are named where an export is refused.
_MOST_IMAGES = 10


@dataclass(frozen=True)
class Tolerances:
    """How far an export may be from its checkpoint.

    min_iou:              the least intersection over union of two boxes that stand for the same detection.
    max_score_difference: the largest difference of their scores.
    max_outliers:         the share of all detections that may lack a partner or differ by more than that, 0 to 1.
    max_ap_drop:          by how much the AP of any class may fall on these images.
    score_threshold:      detections that score less on both sides are not compared.
    """

    min_iou: float = 0.99
    max_score_difference: float = 0.01
    max_outliers: float = 0.0
    max_ap_drop: float = 0.01
    score_threshold: float = 0.05


@dataclass(frozen=True)
class ImageComparison:
    """How two lists of detections of one image differ.

    image:    its name.
    compared: pairs of detections that stand for the same object.
    missing:  detections of the checkpoint that the export lacks.
    added:    detections of the export that the checkpoint lacks.
    outside:  pairs whose boxes or scores differ by more than is allowed.
    min_iou, max_score_difference: over the pairs; None where there is no pair.
    """

    image: str
    compared: int
    missing: int
    added: int
    outside: int
    min_iou: float | None
    max_score_difference: float | None

    @property
    def outliers(self) -> int:
        """How many detections are not what they should be."""
        return self.missing + self.added + self.outside

    @property
    def total(self) -> int:
        """How many detections there are on either side, a pair counting once."""
        return self.compared + self.missing + self.added

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


class ParityError(InputError):
    """An export does not find what its checkpoint finds; the message says by how much, and on which images.

    format: name of the export; images: the comparisons of those images that are out of tolerance, the worst first.
    drops:  (class, AP of the checkpoint, AP of the export) of each class that falls by more than is allowed.
    """

    def __init__(
        self,
        export_format: str,
        comparisons: Sequence[ImageComparison],
        drops: Sequence[tuple[str, float, float]],
        tolerances: Tolerances,
    ):
        self.format, self.drops, self.tolerances = export_format, tuple(drops), tolerances
        self.images = tuple(sorted((c for c in comparisons if c.outliers), key=lambda c: -c.outliers))
        self.problems = ()
        self.headline = f"The export `{export_format}` differs from the checkpoint by more than is allowed"
        Exception.__init__(self, "\n".join([f"{self.headline}:", *self._lines(comparisons)]))

    def _lines(self, comparisons: Sequence[ImageComparison]) -> Iterator[str]:
        allowed = self.tolerances
        total, outliers = sum(c.total for c in comparisons), sum(c.outliers for c in comparisons)
        yield (
            f"  - {outliers} of {total} detections ({outliers / max(total, 1):.1%}) differ, on {len(self.images)} of "
            f"{len(comparisons)} image(s); {allowed.max_outliers:.1%} may. Allowed are an IoU of at least "
            f"{allowed.min_iou:g} and a score difference of at most {allowed.max_score_difference:g}"
        )
        for name, before, after in self.drops:
            yield (
                f"  - AP of class {name} falls by {before - after:.4f}, from {before:.4f} to {after:.4f}; allowed are "
                f"{allowed.max_ap_drop:g}"
            )
        if self.images:
            yield "The images that differ most:" if len(self.images) > _MOST_IMAGES else "These images differ:"
            yield from (f"  - {image}" for image in self.images[:_MOST_IMAGES])
        yield (
            f"It is not published. `export.tolerances.{self.format}` is what is allowed; to do without it, take it out "
            "of `export.formats`."
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
    ious = np.array([iou for _, _, iou in told])
    differences = np.array([abs(reference.scores[i] - candidate.scores[j]) for i, j, _ in told])
    outside = (ious < tolerances.min_iou) | (differences > tolerances.max_score_difference)
    return ImageComparison(
        image=image,
        compared=len(told),
        missing=_unexplained(reference, {i for i, _, _ in pairs}, candidate, tolerances, max_detections),
        added=_unexplained(candidate, {j for _, j, _ in pairs}, reference, tolerances, max_detections),
        outside=int(outside.sum()),
        min_iou=float(ious.min()) if told else None,
        max_score_difference=float(differences.max()) if told else None,
    )


def check_parity(
    export_format: str,
    images: Sequence[str],
    reference: Sequence[Detections],
    candidate: Sequence[Detections],
    tolerances: Tolerances,
    ap: Sequence[tuple[str, float | None, float | None]] = (),
    max_detections: int = 100,
) -> dict:
    """Compare the detections of several images and return the report of one format.

    images, reference, candidate: names, the checkpoint's and the export's detections, in the same order.
    ap: (class, AP of the checkpoint, AP of the export) on these images; None where it cannot be measured.
    Raises ParityError, naming the format, the amounts and the images that are out of tolerance.
    """
    comparisons = [
        compare_image(image, wanted, found, tolerances, max_detections)
        for image, wanted, found in zip(images, reference, candidate, strict=True)
    ]
    measured = [(name, before, after or 0.0) for name, before, after in ap if before is not None]
    drops = [row for row in measured if row[1] - row[2] > tolerances.max_ap_drop]
    outliers, total = sum(c.outliers for c in comparisons), sum(c.total for c in comparisons)
    if drops or outliers > tolerances.max_outliers * total:
        raise ParityError(export_format, comparisons, drops, tolerances)
    return _report(comparisons, ap)


def _report(comparisons: Sequence[ImageComparison], ap: Sequence[tuple[str, float | None, float | None]]) -> Mapping:
    ious = [comparison.min_iou for comparison in comparisons if comparison.min_iou is not None]
    differences = [c.max_score_difference for c in comparisons if c.max_score_difference is not None]
    return {
        "passed": True,
        "images": len(comparisons),
        "detections": sum(comparison.compared for comparison in comparisons),
        "outliers": sum(comparison.outliers for comparison in comparisons),
        "min_iou": min(ious, default=None),
        "max_score_difference": max(differences, default=None),
        "per_class": [{"class": name, "AP": {"checkpoint": before, "export": after}} for name, before, after in ap],
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
    least = limit + tolerances.max_score_difference
    return sum(bool(score >= tolerances.score_threshold and score > least) for score in unmatched)
