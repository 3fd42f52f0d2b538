"""How good a detector is on images it was not trained on: COCO average precision, in original image pixels.

Ground truth is taken as official.vision's own evaluator takes it, so that both give the same figures:
- a box marked `difficult` counts like any other: official.vision does not read that flag, neither in training nor in
  evaluation (PASCAL VOC's own evaluation leaves such boxes out);
- a box marked `is_crowd` is neither demanded nor punished;
- the size of an object is `image/object/area` where the record states it, otherwise the area of its box.
Two things differ, both on purpose. Detections are clipped to the image, as the exported detectors clip them, while
official.vision lets them reach into the padding of an image that is not square, or lie in it. And all boxes of an
image are ground truth, while official.vision reads no more than `max_num_instances` (100) of them.
"""

import contextlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from odtl import checkpoints
from odtl import label_map as label_maps
from odtl.detections import Detections
from odtl.errors import InputError, Problem
from odtl.files import write_csv, write_json
from odtl.records import read_records
from odtl.serving import check_class_count, checkpoint_digest, detect_encoded

PER_CLASS_COLUMNS = ("class", "id", "AP", "AP50", "boxes", "images", "detections", "note")
PR_CURVE_COLUMNS = ("class", "recall", "precision", "score")

_ALL, _SMALL, _MEDIUM, _LARGE = range(4)
# The name of each figure; the array of COCOeval it is the mean of; the IoU, size and number of detections it is of.
_FIGURES = (
    ("AP", "precision", None, _ALL, 2),
    ("AP50", "precision", 0.5, _ALL, 2),
    ("AP75", "precision", 0.75, _ALL, 2),
    ("APs", "precision", None, _SMALL, 2),
    ("APm", "precision", None, _MEDIUM, 2),
    ("APl", "precision", None, _LARGE, 2),
    ("AR@1", "recall", None, _ALL, 0),
    ("AR@10", "recall", None, _ALL, 1),
    ("AR@100", "recall", None, _ALL, 2),
)
_SIZES = {
    _ALL: "",
    _SMALL: "smaller than 32 x 32 pixels",
    _MEDIUM: "between 32 x 32 and 96 x 96 pixels",
    _LARGE: "larger than 96 x 96 pixels",
}


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The labelled objects of one test image, in pixels of the upright image.

    image_id: a number of its own, as COCO wants it. filename: the image id.
    boxes: (N, 4) xmin, ymin, xmax, ymax. classes: (N,) label map ids. areas: (N,). crowd: (N,) bool.
    """

    image_id: int
    filename: str
    width: int
    height: int
    boxes: np.ndarray
    classes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True, eq=False)
class Scores:
    """What COCO evaluation says.

    figures:   name -> value; None where nothing could be measured, and then `notes` says why under the same name.
    per_class: one mapping of PER_CLASS_COLUMNS per class, in order of id.
    curves:    class name -> (recall, precision, score), each (101,), at IoU 0.5; classes without ground truth are out.
    """

    figures: Mapping[str, float | None]
    notes: Mapping[str, str]
    per_class: Sequence[Mapping[str, object]]
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


def evaluate(
    experiment_path: str | os.PathLike,
    factory: str,
    checkpoint_prefix: str | os.PathLike,
    test_records: Sequence[str | os.PathLike],
    label_map_path: str | os.PathLike,
    *,
    metrics_json: str | os.PathLike,
    per_class_csv: str | os.PathLike,
    pr_curve_csv: str | os.PathLike,
    detections_json: str | os.PathLike,
    batch_size: int = 8,
) -> dict:
    """Score a checkpoint on the test records, write the four result files, and return what `metrics_json` holds.

    experiment_path, factory: the experiment's configuration and the name official.vision knows its kind by.
    test_records: TFRecord files; every image of them is scored. None at all, or files without images, give valid
                  results in which every figure is null with the reason.
    detections_json: all detections as COCO results (`image_id`, `category_id`, `bbox` x y width height in pixels,
                  `score`) with the image's `file_name` besides, so that later steps need no second inference.
    Raises InputError where records and label map do not fit together or the checkpoint cannot be read.
    """
    classes = label_maps.read_label_map(label_map_path)
    truths = read_ground_truth(test_records, classes, str(label_map_path))
    found: list[Detections] = []
    if truths:
        model, config = checkpoints.load_model(experiment_path, factory, checkpoint_prefix)
        check_class_count(config, classes, label_map_path)
        encoded = (record["image/encoded"][0] for path in test_records for record in read_records(path))
        found = list(detect_encoded(model, config, encoded, batch_size))
    results = coco_results(truths, found)
    scores = score(truths, results, classes)
    metrics = {
        **scores.figures,
        "notes": dict(scores.notes),
        "images": len(truths),
        "images_without_object": sum(len(truth.boxes) == 0 for truth in truths),
        "boxes": sum(len(truth.boxes) for truth in truths),
        "detections": len(results),
        "checkpoint_sha256": checkpoint_digest(checkpoint_prefix),
    }
    write_json(detections_json, results)
    write_csv(per_class_csv, PER_CLASS_COLUMNS, scores.per_class)
    write_csv(pr_curve_csv, PR_CURVE_COLUMNS, _curve_rows(scores.curves))
    write_json(metrics_json, metrics)
    return metrics


def read_ground_truth(
    test_records: Iterable[str | os.PathLike], classes: Mapping[str, int], label_map_file: str = "label map"
) -> list[GroundTruth]:
    """Return the ground truth of every image of the records, in their order.

    classes: name -> id. An image's number is its `image/source_id` where these are whole numbers and all different;
    otherwise the images are counted from 1.
    Raises InputError for a box whose class id is not in the label map.
    """
    truths, source_ids, problems = [], [], []
    known = set(classes.values())
    for path in test_records:
        for index, record in enumerate(read_records(path)):
            truth = _ground_truth(record, len(truths) + 1)
            unknown = sorted(set(truth.classes.tolist()) - known)
            if unknown:
                cure = f"Make the records again: {label_map_file} knows the ids {sorted(known)}."
                problems.append(Problem(str(path), f"record {index} ({truth.filename})", f"class id {unknown}", cure))
            truths.append(truth)
            source_ids.append(_text(record, "image/source_id"))
    if problems:
        raise InputError(problems, "The test records and the label map do not fit together")
    if all(text.isdecimal() for text in source_ids) and len({int(text) for text in source_ids}) == len(truths):
        return [_with_id(truth, int(text)) for truth, text in zip(truths, source_ids, strict=True)]
    return truths


def coco_results(truths: Sequence[GroundTruth], found: Sequence[Detections]) -> list[dict]:
    """Return all detections as COCO results: `bbox` is x, y, width, height in pixels.

    truths, found: one for one. Raises RuntimeError if an image was not scored, or scored twice.
    """
    if len(found) != len(truths):
        raise RuntimeError(f"{len(truths)} images are in the records, but {len(found)} were scored")
    return [
        {
            "image_id": truth.image_id,
            "file_name": truth.filename,
            "category_id": int(class_id),
            "bbox": [float(xmin), float(ymin), float(xmax - xmin), float(ymax - ymin)],
            "score": float(value),
        }
        for truth, detections in zip(truths, found, strict=True)
        for (xmin, ymin, xmax, ymax), value, class_id in zip(
            detections.boxes, detections.scores, detections.classes, strict=True
        )
    ]


def score(truths: Sequence[GroundTruth], results: Sequence[Mapping], classes: Mapping[str, int]) -> Scores:
    """Return the COCO figures of results against ground truth (pycocotools, boxes, at most 100 detections per image).

    classes: name -> id; every class of the label map has its row, also one that the test images do not show.
    """
    names = {number: name for name, number in sorted(classes.items(), key=lambda item: item[1])}
    evaluation = _run_coco(truths, results, names)
    figures = {name: _figure(evaluation, *rest) for name, *rest in _FIGURES}
    boxes = np.array([class_id for truth in truths for class_id in truth.classes[~truth.crowd]], np.int64)
    notes = {
        name: _why_null(len(truths), len(boxes), size) for name, _, _, size, _ in _FIGURES if figures[name] is None
    }
    per_class = [
        {
            "class": names[class_id],
            "id": class_id,
            "AP": _figure(evaluation, "precision", None, _ALL, 2, index),
            "AP50": _figure(evaluation, "precision", 0.5, _ALL, 2, index),
            "boxes": int(np.count_nonzero(boxes == class_id)),
            "images": sum(bool(np.any(truth.classes[~truth.crowd] == class_id)) for truth in truths),
            "detections": sum(result["category_id"] == class_id for result in results),
            "note": "" if np.any(boxes == class_id) else "no test image shows this class, so nothing can be measured",
        }
        for index, class_id in enumerate(names)
    ]
    return Scores(figures, notes, per_class, _curves(evaluation, names))


def _ground_truth(record: Mapping, number: int) -> GroundTruth:
    width, height = int(record["image/width"][0]), int(record["image/height"][0])
    edges = [
        np.asarray(record.get(f"image/object/bbox/{edge}", ()), np.float64) for edge in ("xmin", "ymin", "xmax", "ymax")
    ]
    boxes = np.stack(edges, axis=1) * (width, height, width, height)
    stated = np.asarray(record.get("image/object/area", ()), np.float64)
    crowd = np.asarray(record.get("image/object/is_crowd", ()), bool)
    return GroundTruth(
        image_id=number,
        filename=_text(record, "image/filename"),
        width=width,
        height=height,
        boxes=boxes,
        classes=np.asarray(record.get("image/object/class/label", ()), np.int64),
        areas=stated if stated.size else np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        crowd=crowd if crowd.size else np.zeros(len(boxes), bool),
    )


def _with_id(truth: GroundTruth, image_id: int) -> GroundTruth:
    return GroundTruth(**{**vars(truth), "image_id": image_id})


def _text(record: Mapping, field: str) -> str:
    values = record.get(field) or [b""]
    return values[0].decode("utf-8")


def _run_coco(truths: Sequence[GroundTruth], results: Sequence[Mapping], names: Mapping[int, str]) -> COCOeval:
    images = [{"id": truth.image_id, "width": truth.width, "height": truth.height} for truth in truths]
    wanted = [
        {
            "image_id": truth.image_id,
            "category_id": int(class_id),
            "bbox": _xywh(box),
            "area": float(area),
            "iscrowd": int(crowd),
        }
        for truth in truths
        for box, class_id, area, crowd in zip(truth.boxes, truth.classes, truth.areas, truth.crowd, strict=True)
    ]
    found = [
        {
            "image_id": r["image_id"],
            "category_id": r["category_id"],
            "bbox": r["bbox"],
            "score": r["score"],
            "area": r["bbox"][2] * r["bbox"][3],
            "iscrowd": 0,
        }
        for r in results
    ]
    # pycocotools reports its progress on stdout.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_coco(images, wanted, names), _coco(images, found, names), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _coco(images: list[dict], annotations: Sequence[dict], names: Mapping[int, str]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": images,
        "categories": [{"id": number, "name": name} for number, name in names.items()],
        # Numbered from 1: pycocotools takes the number 0 for "no match".
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
    }
    coco.createIndex()
    return coco


def _xywh(box: Sequence[float]) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def _figure(
    evaluation: COCOeval, array: str, iou: float | None, size: int, limit: int, class_index: int | None = None
) -> float | None:
    """Return the mean over what was measured, as pycocotools' own summary does; None where that would say -1."""
    values = evaluation.eval[array][..., size, limit]
    if iou is not None:
        values = values[np.isclose(evaluation.params.iouThrs, iou)]
    if class_index is not None:
        values = values[..., class_index]
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else None


def _why_null(images: int, boxes: int, size: int) -> str:
    if not images:
        return "There is no test image, so nothing can be measured."
    if not boxes:
        return "No test image shows an object, so nothing can be measured."
    return f"No object of the test images is {_SIZES[size]}, so nothing can be measured. It is not a fault."


def _curves(evaluation: COCOeval, names: Mapping[int, str]) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    curves = {}
    for index, name in enumerate(names.values()):
        precision = evaluation.eval["precision"][0, :, index, _ALL, 2]
        if np.all(precision > -1):
            curves[name] = evaluation.params.recThrs, precision, evaluation.eval["scores"][0, :, index, _ALL, 2]
    return curves


def _curve_rows(curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Iterator[dict]:
    for name, (recall, precision, scores) in curves.items():
        for r, p, s in zip(recall, precision, scores, strict=True):
            # Beyond the highest recall that was reached there is no detection, hence no score.
            yield {"class": name, "recall": round(float(r), 2), "precision": float(p), "score": float(s) if p else None}
