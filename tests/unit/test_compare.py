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
    assert report.within(TOLERANCES) is fine


def test_tolerances_are_what_decides():
    moved = compare_image("a.jpg", detections(ONE), detections((11, 10, 111, 110, 0.85, 1)), TOLERANCES)
    assert not moved.within(TOLERANCES)
    assert not moved.within(Tolerances(min_iou=0.98))
    assert not moved.within(Tolerances(max_score_difference=0.06))
    assert moved.within(Tolerances(min_iou=0.98, max_score_difference=0.06))


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
    assert "`frozen graph` differs from the checkpoint on 1 of 2 image(s)" in message
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
