"""What the checkpoint finds on the images that its exports are measured on."""

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from odtl.detections import Detections
from odtl.evaluation import GroundTruth, read_ground_truth
from odtl.export.choice import Choice
from odtl.files import write_json
from odtl.label_map import read_label_map
from odtl.records import read_records
from odtl.serving import checkpoint_digest
from odtl.sidecars import write_sidecar

# The split that is tried first, and what stands in for it where it holds no image.
SPLITS = ("test", "val", "train")


@dataclass(frozen=True)
class Reference:
    """The detections of the checkpoint.

    checkpoint_sha256: of which. split: whose images. found: image name -> detections, in the order of the records.
    """

    checkpoint_sha256: str
    split: str
    found: Mapping[str, Detections]


@dataclass(frozen=True)
class Evaluated:
    """What the evaluation has left: paths of metrics.json and detections.json; it has scored every test image."""

    metrics: str | os.PathLike
    detections: str | os.PathLike


def write_reference(
    experiment_path: str | os.PathLike,
    factory: str,
    choice: Choice,
    label_map_path: str | os.PathLike,
    records: Mapping[str, Sequence[str | os.PathLike]],
    limit: int | None,
    path: str | os.PathLike,
    sidecar: str | os.PathLike,
    evaluated: Evaluated | None = None,
) -> None:
    """Write what a checkpoint finds on the first test images; on those of val, then train, where there are none.

    records:   split -> TFRecord files. limit: so many images at most; None: all.
    path:      gets it as JSON; sidecar: its sum, the checkpoint, the split and the number of images.
    evaluated: where that has scored this very checkpoint on test images, its detections are taken: the model need not
               run again.
    """
    classes = read_label_map(label_map_path)
    split, truths = images_to_compare(records, classes, limit, label_map_path)
    digest = checkpoint_digest(choice.prefix)
    found = _evaluated(evaluated, digest, truths) if split == "test" else None
    if found is None:
        found = _detect(experiment_path, factory, choice.prefix, records[split], len(truths)) if truths else []
    content = {
        "checkpoint_sha256": digest,
        "split": split,
        "images": {
            truth.filename: {
                "boxes": detections.boxes.tolist(),
                "scores": detections.scores.tolist(),
                "classes": detections.classes.tolist(),
            }
            for truth, detections in zip(truths, found, strict=True)
        },
    }
    write_json(path, content)
    write_sidecar(sidecar, {"reference": path}, checkpoint_sha256=digest, images=len(truths), split=split)


def read_reference(path: str | os.PathLike) -> Reference:
    """Return what `write_reference` wrote."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    found = {
        name: Detections(
            np.asarray(entry["boxes"], np.float64).reshape(-1, 4),
            np.asarray(entry["scores"], np.float64),
            np.asarray(entry["classes"], np.int64),
        )
        for name, entry in content["images"].items()
    }
    return Reference(content["checkpoint_sha256"], content["split"], found)


def images_to_compare(
    records: Mapping[str, Sequence[str | os.PathLike]],
    classes: Mapping[str, int],
    limit: int | None,
    label_map_path: str | os.PathLike = "label map",
) -> tuple[str, list[GroundTruth]]:
    """Return the split whose images exports are compared on, and the ground truth of the first of them."""
    for split in SPLITS:
        if truths := read_ground_truth(records.get(split, []), classes, str(label_map_path))[:limit]:
            return split, truths
    return SPLITS[0], []


def encoded_images(records: Sequence[str | os.PathLike], count: int) -> Iterator[bytes]:
    """Yield the first images of records, as they are encoded there."""
    examples = itertools.chain.from_iterable(map(read_records, records))
    return (example["image/encoded"][0] for example in itertools.islice(examples, count))


def _evaluated(evaluated: Evaluated | None, digest: str, truths: Sequence[GroundTruth]) -> list[Detections] | None:
    """Return the detections of an evaluation in the order of the ground truth; None if it is not of this checkpoint."""
    if evaluated is None:
        return None
    metrics = json.loads(Path(evaluated.metrics).read_text(encoding="utf-8"))
    if metrics["checkpoint_sha256"] != digest:
        return None
    rows: dict[int, list[Mapping]] = {truth.image_id: [] for truth in truths}
    for row in json.loads(Path(evaluated.detections).read_text(encoding="utf-8")):
        if row["image_id"] in rows:
            rows[row["image_id"]].append(row)
    return [_detections(rows[truth.image_id]) for truth in truths]


def _detections(rows: Sequence[Mapping]) -> Detections:
    boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    scores = np.array([row["score"] for row in rows], np.float64)
    return Detections(boxes, scores, np.array([row["category_id"] for row in rows], np.int64))


def _detect(experiment_path, factory, prefix, records, count) -> list[Detections]:
    from odtl import checkpoints
    from odtl.serving import detect_encoded

    model, config = checkpoints.load_model(experiment_path, factory, prefix)
    return list(detect_encoded(model, config, encoded_images(records, count)))
