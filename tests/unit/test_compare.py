"""Comparing detections: known differences give known reports; what is equal is never called different."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odtl.compare import ParityError, Tolerances, check_parity, compare_image
from odtl.detections import Detections, from_outputs, no_detections, pairwise_iou

TOLERANCES = Tolerances(min_iou=0.99, max_score_difference=0.01, score_threshold=0.05)


def detections(*rows) -> Detections:
    """Make detections of rows (xmin, ymin, xmax, ymax, score, class)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


ONE = (10, 10, 110, 110, 0.9, 1)
FAR = (300, 300, 400, 400, 0.8, 2)


@pytest.mark.parametrize(
    ("candidate", "missing", "added", "min_iou", "score_difference"),
    [
        pytest.param([ONE, FAR], 0, 0, 1.0, 0.0, id="same"),
        pytest.param([FAR, ONE], 0, 0, 1.0, 0.0, id="another order"),
        # 100 x 100 against the same moved by 1: 99 / 101.
        pytest.param([(11, 10, 111, 110, 0.9, 1), FAR], 0, 0, 99 / 101, 0.0, id="moved by a pixel"),
        pytest.param([(10, 10, 110, 110, 0.85, 1), FAR], 0, 0, 1.0, 0.05, id="another score"),
        pytest.param([FAR], 1, 0, 1.0, 0.0, id="one missing"),
        pytest.param([ONE, FAR, (0, 0, 5, 5, 0.5, 1)], 0, 1, 1.0, 0.0, id="one added"),
        pytest.param([(10, 10, 110, 110, 0.9, 2), FAR], 1, 1, 1.0, 0.0, id="another class"),
        pytest.param([(200, 10, 300, 110, 0.9, 1), FAR], 1, 1, 1.0, 0.0, id="elsewhere"),
        pytest.param([ONE, ONE, FAR], 0, 1, 1.0, 0.0, id="twice"),
        pytest.param([], 2, 0, None, None, id="nothing"),
    ],
)
def test_known_differences(candidate, missing, added, min_iou, score_difference):
    report = compare_image("a.jpg", detections(ONE, FAR), detections(*candidate), TOLERANCES)
    assert (report.missing, report.added) == (missing, added)
    assert report.min_iou == (None if min_iou is None else pytest.approx(min_iou))
    assert report.max_score_difference == (None if min_iou is None else pytest.approx(score_difference))
    fine = not missing and not added and min_iou == 1.0 and score_difference == 0.0
    assert (report.outliers == 0) is fine


def test_tolerances_are_what_decides():
    def outliers(**tolerances):
        moved = detections((11, 10, 111, 110, 0.85, 1))
        return compare_image("a.jpg", detections(ONE), moved, Tolerances(**tolerances)).outliers

    assert outliers() == 1
    assert outliers(min_iou=0.98) == 1
    assert outliers(max_score_difference=0.06) == 1
    assert outliers(min_iou=0.98, max_score_difference=0.06) == 0


def test_low_scores_are_not_compared():
    low = (500, 500, 520, 520, 0.04, 1)
    assert compare_image("a.jpg", detections(ONE, low), detections(ONE), TOLERANCES).missing == 0
    assert compare_image("a.jpg", detections(ONE), detections(ONE, low), TOLERANCES).added == 0


def test_a_score_at_the_threshold_may_be_listed_by_one_side_only():
    at_the_edge, beyond_it = (500, 500, 520, 520, 0.055, 1), (500, 500, 520, 520, 0.065, 1)
    assert compare_image("a.jpg", detections(ONE, at_the_edge), detections(ONE), TOLERANCES).missing == 0
    assert compare_image("a.jpg", detections(ONE, beyond_it), detections(ONE), TOLERANCES).missing == 1


def test_the_last_of_a_full_list_may_be_another_one():
    first, last, other = (0, 0, 9, 9, 0.9, 1), (50, 50, 59, 59, 0.5, 1), (90, 90, 99, 99, 0.5, 1)
    full = compare_image("a.jpg", detections(first, last), detections(first, other), TOLERANCES, max_detections=2)
    assert (full.missing, full.added) == (0, 0)
    not_full = compare_image("a.jpg", detections(first, last), detections(first, other), TOLERANCES, max_detections=3)
    assert (not_full.missing, not_full.added) == (1, 1)


def test_parity_error_names_format_amount_and_image():
    reference = [detections(ONE), detections(ONE, FAR)]
    candidate = [detections(ONE), detections((11, 10, 111, 110, 0.85, 1))]
    with pytest.raises(ParityError) as error:
        check_parity("frozen graph", ["fine.jpg", "bad.jpg"], reference, candidate, TOLERANCES)
    message = str(error.value)
    assert "`frozen graph` differs from the checkpoint by more than is allowed" in message
    # Of three detections one is missing, one is elsewhere with another score.
    assert "2 of 3 detections (66.7%) differ, on 1 of 2 image(s); 0.0% may" in message
    assert (
        "bad.jpg: 1 detection(s) of the checkpoint missing, least IoU 0.9802, largest score difference 0.0500"
        in message
    )
    assert "fine.jpg" not in message
    assert "0.99" in message and "0.01" in message


def test_parity_report():
    pair = [detections(ONE), no_detections()]
    report = check_parity("frozen graph", ["a.jpg", "b.jpg"], pair, pair, TOLERANCES)
    assert report["passed"] is True
    assert (report["images"], report["detections"]) == (2, 1)
    assert (report["min_iou"], report["max_score_difference"]) == (1.0, 0.0)
    assert [image["min_iou"] for image in report["per_image"]] == [1.0, None]


def test_some_detections_may_differ_where_that_is_allowed():
    reference = [detections(ONE, FAR), detections(ONE, FAR)]
    candidate = [detections(ONE, FAR), detections(ONE)]
    assert check_parity("int8", ["a", "b"], reference, candidate, Tolerances(max_outliers=0.25))["outliers"] == 1
    with pytest.raises(ParityError, match=r"1 of 4 detections \(25.0%\) differ, on 1 of 2 image\(s\); 24.0% may"):
        check_parity("int8", ["a", "b"], reference, candidate, Tolerances(max_outliers=0.24))


def test_ap_of_a_class_must_not_fall():
    pair = [detections(ONE)]
    ap = [
        ("mug", 0.75, 0.70),
        ("leaf", 0.5, 0.25),
        ("unseen", None, None),
        ("better", 0.25, 0.5),
        ("gone", 0.125, None),
    ]
    with pytest.raises(ParityError) as error:
        check_parity("int8", ["a.jpg"], pair, pair, Tolerances(max_ap_drop=0.06), ap)
    assert error.value.drops == (("leaf", 0.5, 0.25), ("gone", 0.125, 0.0))
    assert "AP of class leaf falls by 0.2500, from 0.5000 to 0.2500; allowed are 0.06" in str(error.value)
    assert "mug" not in str(error.value)
    report = check_parity("int8", ["a.jpg"], pair, pair, Tolerances(max_ap_drop=0.25), ap)
    assert report["per_class"][0] == {"class": "mug", "AP": {"checkpoint": 0.75, "export": 0.70}}


def test_the_worst_images_are_named_first_and_not_all_of_them():
    images = [f"{number}.jpg" for number in range(12)]
    reference = [*[detections(ONE)] * 11, detections(ONE, FAR)]
    with pytest.raises(ParityError) as error:
        check_parity("int8", images, reference, [detections()] * 12, TOLERANCES)
    named = [line for line in str(error.value).splitlines() if ".jpg: " in line]
    assert len(named) == 10
    assert named[0].startswith("  - 11.jpg: 2 detection(s) of the checkpoint missing")


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError):
        check_parity("frozen graph", ["a.jpg"], [no_detections()], [], TOLERANCES)


def test_outputs_become_pixels_and_padding_is_left_out():
    outputs = {
        "detection_boxes": np.array([[[0.1, 0.2, 0.5, 0.4], [0, 0, 1, 1], [9, 9, 9, 9]]], np.float32),
        "detection_scores": np.array([[0.75, 0.5, 9]], np.float32),
        "detection_classes": np.array([[2, 1, 9]], np.float32),
        "num_detections": np.array([2], np.float32),
    }
    found = from_outputs(outputs, 0, width=200, height=100)
    np.testing.assert_allclose(found.boxes, [[40, 10, 80, 50], [0, 0, 200, 100]], rtol=1e-6)
    assert found.scores.tolist() == [0.75, 0.5]
    assert found.classes.tolist() == [2, 1]
    assert len(found.at_least(0.6)) == 1


def test_iou():
    boxes = np.array([[0, 0, 10, 10], [5, 5, 5, 5]], float)
    others = np.array([[5, 0, 15, 10], [20, 20, 30, 30], [5, 5, 5, 5]], float)
    np.testing.assert_allclose(pairwise_iou(boxes, others), [[50 / 150, 0, 0], [0, 0, 0]])


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        Detections(np.zeros((3, 4)), np.zeros(2), np.zeros(3, int))


coordinate = st.floats(0, 1000, width=32)
row = st.builds(
    lambda x, y, w, h, score, label: (x, y, x + w + 1, y + h + 1, score, label),
    coordinate, coordinate, coordinate, coordinate, st.floats(0, 1, width=32), st.integers(1, 3),
)  # fmt: skip


@given(st.lists(row, max_size=20), st.randoms())
def test_order_never_matters(rows, random):
    shuffled = random.sample(rows, len(rows))
    report = compare_image("a.jpg", detections(*rows), detections(*shuffled), TOLERANCES)
    assert (report.missing, report.added) == (0, 0)


@given(st.lists(row, max_size=10), st.lists(row, max_size=10))
def test_what_one_side_lacks_the_other_has_too_much(rows, others):
    one, other = detections(*rows), detections(*others)
    there, back = compare_image("a", one, other, TOLERANCES), compare_image("a", other, one, TOLERANCES)
    assert (there.missing, there.added, there.compared) == (back.added, back.missing, back.compared)
