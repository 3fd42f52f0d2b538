"""Evaluations: which is the best, and when they say that it is enough."""

import math

import pytest

from odtl.training.scores import Score, best_of, stopped_at


def test_best_is_the_highest_known_ap_and_of_equal_ones_the_latest():
    scores = [Score(1, 0.5, 0.9), Score(2, -1.0, -1.0), Score(3, 0.5, 0.8), Score(4, 0.4, 0.9), Score(5, math.nan, 0.0)]
    assert best_of(scores) == scores[2]
    assert best_of([scores[1], scores[4]]) is None
    assert best_of([]) is None


def scores_of(*aps):
    return [Score(10 * number, ap, ap) for number, ap in enumerate(aps, 1)]


@pytest.mark.parametrize(
    ("aps", "patience", "min_delta", "step"),
    [
        ([0.1, 0.2, 0.3], 1, 0.0, None),
        ([0.1, 0.1], 1, 0.0, 20),
        ([0.1, 0.2, 0.19, 0.2], 2, 0.0, 40),
        ([0.1, 0.2, 0.19, 0.21, 0.2], 2, 0.0, None),
        ([0.10, 0.11, 0.12], 2, 0.05, 30),
        # Small rises that add up are a rise.
        ([0.10, 0.14, 0.18, 0.22], 2, 0.05, None),
        ([-1, -1, -1, 0.1], 1, 0.0, None),
        ([math.nan, 0.2, math.nan, 0.1], 1, 0.0, 40),
        ([0.3, 0.1, 0.5], 1, 0.0, 20),
        ([0.3] * 9, None, 0.0, None),
        ([], 1, 0.0, None),
    ],
)
def test_training_stops_at_the_first_evaluation_after_too_many_without_a_rise(aps, patience, min_delta, step):
    assert stopped_at(scores_of(*aps), patience, min_delta) == step
