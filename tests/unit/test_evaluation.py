"""COCO figures on ground truth and detections made by hand: absolute values."""

import csv
import json

import numpy as np
import pytest

from odtl import evaluation, plots, records, serving
from odtl.detections import Detections, no_detections
from odtl.errors import InputError
from odtl.evaluation import GroundTruth, coco_results, read_ground_truth, score

CLASSES = {"bb8": 1, "r2d2": 2}


def truth(number, *rows, size=(200, 200), crowd=()) -> GroundTruth:
    """Make the ground truth of one image of rows (xmin, ymin, xmax, ymax, class)."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    boxes = table[:, :4]
    return GroundTruth(
        number, f"{number}.jpg", *size, boxes, table[:, 4].astype(int), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        np.array(crowd, bool) if crowd else np.zeros(len(boxes), bool),
    )  # fmt: skip


def found(*rows) -> Detections:
    """Make detections of rows (xmin, ymin, xmax, ymax, score, class)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(int))


def figures(truths, detections, classes=CLASSES):
    return score(truths, coco_results(truths, detections), classes)


SMALL, MEDIUM, LARGE = (10, 10, 30, 30), (10, 10, 60, 60), (10, 10, 160, 160)


def test_perfect():
    truths = [truth(1, (*SMALL, 1), (*MEDIUM, 2)), truth(2, (*LARGE, 1))]
    perfect = [found((*SMALL, 0.9, 1), (*MEDIUM, 0.8, 2)), found((*LARGE, 0.7, 1))]
    scores = figures(truths, perfect)
    # AR@1 takes the best detection of each class and image, and no image shows two objects of one class.
    assert scores.figures == pytest.approx(
        dict.fromkeys(("AP", "AP50", "AP75", "APs", "APm", "APl", "AR@1", "AR@10", "AR@100"), 1.0)
    )
    assert scores.notes == {}
    assert [(row["AP"], row["AP50"], row["boxes"], row["images"], row["detections"]) for row in scores.per_class] == [
        (pytest.approx(1), pytest.approx(1), 2, 2, 2),
        (pytest.approx(1), pytest.approx(1), 1, 1, 1),
    ]


def test_shifted_box_counts_up_to_its_overlap():
    # 100 x 100 moved by 25: IoU 75 / 125 = 0.6, so it counts at 0.50, 0.55 and 0.60, 3 of the 10 thresholds.
    scores = figures([truth(1, (0, 0, 100, 100, 1))], [found((25, 0, 125, 100, 0.9, 1))])
    assert scores.figures["AP50"] == pytest.approx(1.0)
    assert scores.figures["AP75"] == 0.0
    assert scores.figures["AP"] == pytest.approx(0.3)


def test_missed_image_halves_the_recall():
    truths = [truth(1, (*MEDIUM, 1)), truth(2, (*MEDIUM, 1))]
    scores = figures(truths, [found((*MEDIUM, 0.9, 1)), no_detections()])
    # Precision is 1 at the recalls 0, 0.01, ..., 0.50: 51 of COCO's 101.
    assert scores.figures["AP50"] == pytest.approx(51 / 101)
    assert scores.figures["AR@100"] == pytest.approx(0.5)


def test_wrong_class_finds_nothing():
    scores = figures([truth(1, (*MEDIUM, 1), (*LARGE, 2))], [found((*MEDIUM, 0.9, 2))])
    assert scores.figures["AP"] == 0.0
    assert [row["AP50"] for row in scores.per_class] == [0.0, 0.0]


def test_detection_in_an_image_without_object_costs_precision():
    truths = [truth(1, (*MEDIUM, 1)), truth(2)]
    better = figures(truths, [found((*MEDIUM, 0.9, 1)), found((*MEDIUM, 0.8, 1))])
    worse = figures(truths, [found((*MEDIUM, 0.8, 1)), found((*MEDIUM, 0.9, 1))])
    assert better.figures["AP50"] == pytest.approx(1.0)
    assert worse.figures["AP50"] == pytest.approx(0.5)


def test_the_first_annotation_counts_like_any_other():
    # pycocotools takes the annotation number 0 for "no match".
    assert figures([truth(0, (*MEDIUM, 1))], [found((*MEDIUM, 0.9, 1))]).figures["AP"] == pytest.approx(1.0)


def test_crowd_is_neither_demanded_nor_punished():
    truths = [truth(1, (*MEDIUM, 1), (100, 100, 200, 200, 1), crowd=(False, True))]
    scores = figures(truths, [found((*MEDIUM, 0.8, 1), (110, 110, 150, 150, 0.9, 1))])
    assert scores.figures["AP50"] == pytest.approx(1.0)
    assert scores.per_class[0]["boxes"] == 1


def test_size_without_ground_truth_is_null_and_explained():
    scores = figures([truth(1, (*MEDIUM, 1))], [found((*MEDIUM, 0.9, 1))])
    assert [scores.figures[name] for name in ("APs", "APm", "APl")] == [None, pytest.approx(1.0), None]
    assert set(scores.notes) == {"APs", "APl"}
    assert "smaller than 32 x 32 pixels" in scores.notes["APs"]
    assert "larger than 96 x 96 pixels" in scores.notes["APl"]


def test_class_without_ground_truth_is_empty_and_explained():
    scores = figures([truth(1, (*MEDIUM, 1))], [found((*MEDIUM, 0.9, 1), (*LARGE, 0.9, 2))])
    row = scores.per_class[1]
    assert (row["AP"], row["AP50"], row["boxes"], row["images"], row["detections"]) == (None, None, 0, 0, 1)
    assert "no test image shows this class" in row["note"]
    assert scores.per_class[0]["note"] == ""
    # It has no part in the mean.
    assert scores.figures["AP"] == pytest.approx(1.0)
    assert list(scores.curves) == ["bb8"]


@pytest.mark.parametrize(
    ("truths", "reason"), [([], "There is no test image"), ([truth(1), truth(2)], "No test image shows an object")]
)
def test_nothing_to_measure(truths, reason):
    scores = figures(truths, [found((*MEDIUM, 0.9, 1)) for _ in truths])
    assert set(scores.figures.values()) == {None}
    assert set(scores.notes) == set(scores.figures)
    assert all(note.startswith(reason) for note in scores.notes.values())
    assert scores.curves == {}


def test_no_detections_at_all():
    scores = figures([truth(1, (*MEDIUM, 1))], [no_detections()])
    assert scores.figures["AP"] == 0.0 and scores.figures["AR@100"] == 0.0
    assert np.all(scores.curves["bb8"][1] == 0)


def test_an_image_that_was_not_scored_is_an_error():
    with pytest.raises(RuntimeError, match="2 images are in the records, but 1 were scored"):
        coco_results([truth(1), truth(2)], [no_detections()])


def test_results_are_coco():
    (result,) = coco_results([truth(7, (*MEDIUM, 1))], [found((10, 20, 40, 60, 0.5, 2))])
    assert result == {
        "image_id": 7, "file_name": "7.jpg", "category_id": 2, "bbox": [10.0, 20.0, 30.0, 40.0], "score": 0.5,
    }  # fmt: skip


def write_record(path, *examples):
    path.write_bytes(b"".join(records.frame(records.serialize(example)) for example in examples))
    return path


def example(name, *rows, size=(200, 100), source_id="", **more):
    """Make an Example of rows (xmin, ymin, xmax, ymax in [0, 1], class)."""
    edges = zip(("xmin", "ymin", "xmax", "ymax"), zip(*[row[:4] for row in rows], strict=True), strict=False)
    return {
        "image/filename": [name.encode()],
        "image/width": [size[0]],
        "image/height": [size[1]],
        "image/source_id": [source_id.encode()],
        "image/object/class/label": [row[4] for row in rows],
        **{f"image/object/bbox/{edge}": [float(value) for value in values] for edge, values in edges},
        **{f"image/object/{key}": values for key, values in more.items()},
    }


def test_ground_truth_of_records(tmp_path):
    path = write_record(
        tmp_path / "test.tfrecord",
        example("a.jpg", (0.25, 0.5, 0.5, 0.75, 2), source_id="41", difficult=[1]),
        example("b.jpg", source_id="7"),
        example("c.jpg", (0, 0, 1, 1, 1), (0, 0, 0.5, 1, 1), source_id="9", area=[5.0, 6.0], is_crowd=[0, 1]),
    )
    one, two, three = read_ground_truth([path], CLASSES)
    assert [one.image_id, two.image_id, three.image_id] == [41, 7, 9]
    assert (one.filename, one.width, one.height) == ("a.jpg", 200, 100)
    np.testing.assert_allclose(one.boxes, [[50, 50, 100, 75]])
    # A box marked difficult counts like any other.
    assert (one.classes.tolist(), one.areas.tolist(), one.crowd.tolist()) == ([2], [1250.0], [False])
    assert two.boxes.shape == (0, 4) and two.areas.shape == (0,)
    assert (three.areas.tolist(), three.crowd.tolist()) == ([5.0, 6.0], [False, True])


@pytest.mark.parametrize("source_ids", [("a.jpg", "b.jpg"), ("1", "1"), ("1", ""), ("", "")])
def test_images_are_counted_where_their_ids_are_no_different_numbers(tmp_path, source_ids):
    path = write_record(tmp_path / "test.tfrecord", *(example("x", source_id=source_id) for source_id in source_ids))
    assert [one.image_id for one in read_ground_truth([path], CLASSES)] == [1, 2]


def test_class_that_is_not_in_the_label_map_is_named(tmp_path):
    path = write_record(
        tmp_path / "test.tfrecord", example("a.jpg", (0, 0, 1, 1, 2)), example("b.jpg", (0, 0, 1, 1, 5))
    )
    with pytest.raises(InputError) as error:
        read_ground_truth([path], CLASSES, "label_map.pbtxt")
    (problem,) = error.value.problems
    assert "b.jpg" in problem.field and "5" in problem.found and "label_map.pbtxt" in problem.cure


@pytest.fixture
def outputs(tmp_path):
    names = {
        "metrics_json": "metrics.json",
        "per_class_csv": "per_class.csv",
        "pr_curve_csv": "pr_curve.csv",
        "detections_json": "detections.json",
    }
    return {key: tmp_path / "evaluation" / name for key, name in names.items()}


def test_without_test_images_all_files_are_valid_and_empty(tmp_path, outputs):
    (tmp_path / "ckpt.index").write_bytes(b"1")
    (tmp_path / "ckpt.data-00000-of-00001").write_bytes(b"2")
    label_map = tmp_path / "label_map.pbtxt"
    label_map.write_text("item { id: 1 name: 'bb8' } item { id: 2 name: 'r2d2' }")
    empty = write_record(tmp_path / "empty.tfrecord")
    metrics = evaluation.evaluate(
        tmp_path / "experiment.yaml", "retinanet", tmp_path / "ckpt", [empty], label_map, **outputs
    )
    assert json.loads(outputs["metrics_json"].read_text()) == metrics
    assert metrics["AP"] is None and metrics["images"] == 0 and "no test image" in metrics["notes"]["AP"]
    assert json.loads(outputs["detections_json"].read_text()) == []
    with open(outputs["per_class_csv"], newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["class"], row["id"], row["AP"], row["boxes"]) for row in rows] == [
        ("bb8", "1", "", "0"),
        ("r2d2", "2", "", "0"),
    ]
    assert outputs["pr_curve_csv"].read_text() == "class,recall,precision,score\n"
    assert plots.read_pr_curves(outputs["pr_curve_csv"], outputs["per_class_csv"]) == {}


def test_digest_is_of_all_files_of_a_checkpoint(tmp_path):
    for name, content in [("ckpt.index", b"1"), ("ckpt.data-00000-of-00001", b"2"), ("ckpt-2.index", b"3")]:
        (tmp_path / name).write_bytes(content)
    digest = serving.checkpoint_digest(tmp_path / "ckpt")
    (tmp_path / "ckpt-2.index").write_bytes(b"4")
    assert serving.checkpoint_digest(tmp_path / "ckpt") == digest
    (tmp_path / "ckpt.data-00000-of-00001").write_bytes(b"3")
    assert serving.checkpoint_digest(tmp_path / "ckpt") != digest
    with pytest.raises(InputError, match="no such files"):
        serving.checkpoint_digest(tmp_path / "elsewhere")
