"""Repeat-factor sampling: the paper's arithmetic, and what a real pipeline makes of it."""

import csv
import itertools
from collections import Counter

import numpy as np
import pytest

from odtl.boxes import COLUMNS
from odtl.oversampling import factors_by_id, image_shares, oversampled, repeat_factors

LABEL_MAP = {"common": 1, "rare": 2, "unseen": 3}
# Twice and a quarter, so that both the whole part and the drawn one show.
FACTORS = factors_by_id({"common": 1.0, "rare": 2.25}, LABEL_MAP)


def write_boxes(path, images):
    """Write a boxes table; images: (name, split, classes)."""
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for name, split, classes in images:
            writer.writerows({"filename": name, "split": split, "class": label} for label in classes or [""])


def test_shares_count_images_and_not_boxes(tmp_path):
    one = [("a", "train", ["common", "common"]), ("b", "train", ["common", "rare"]), ("c", "train", [])]
    write_boxes(tmp_path / "1.csv", one)
    write_boxes(tmp_path / "2.csv", [("d", "train", ["common"]), ("e", "val", ["rare"])])
    assert image_shares([tmp_path / "1.csv", tmp_path / "2.csv"]) == {"common": 0.75, "rare": 0.25}


@pytest.mark.parametrize(
    ("share", "factor"),
    [
        pytest.param(0.01, 1.0, id="common"),
        pytest.param(0.001, 1.0, id="at the threshold"),
        pytest.param(0.00025, 2.0, id="a quarter of it"),
        pytest.param(0.00001, 10.0, id="a hundredth of it"),
    ],
)
def test_factor_is_the_root_of_how_far_a_class_is_below_the_threshold(share, factor):
    assert repeat_factors({"a": share}, 0.001) == pytest.approx({"a": factor})


def test_class_without_images_has_no_factor_of_its_own():
    assert FACTORS.tolist() == [1.0, 1.0, 2.25, 1.0]


KINDS = ([1], [2, 2], [1, 2], [])
IMAGES = 800


def passes(seed, epochs, shuffled=0):
    """Return the numbers of the images in each epoch; image i is of kind i % 4."""
    import tensorflow as tf

    classes = tf.ragged.constant(list(KINDS) * (IMAGES // 4), tf.int64)
    dataset = tf.data.Dataset.zip(tf.data.Dataset.range(IMAGES), tf.data.Dataset.from_tensor_slices(classes))
    dataset = oversampled(dataset, lambda element: element[1], FACTORS, seed)
    dataset = dataset.shuffle(shuffled, seed=1) if shuffled else dataset
    # Repeated as a whole: each epoch is drawn anew.
    epoch = dataset.map(lambda number, classes: number)
    return [list(epoch.as_numpy_iterator()) for _ in range(epochs)]


def test_images_come_as_often_as_their_rarest_class_asks_for():
    for numbers in passes(seed=1, epochs=2):
        seen = Counter(numbers)
        counts = {kind: np.array([seen[number] for number in range(kind, IMAGES, 4)]) for kind in range(4)}
        assert set(counts[0]) == set(counts[3]) == {1}
        for kind in (1, 2):
            assert set(counts[kind]) == {2, 3}
            # Of 200 draws with a chance of a quarter; five standard deviations.
            assert counts[kind].mean() == pytest.approx(2.25, abs=5 * np.sqrt(0.25 * 0.75 / 200))


def test_each_epoch_draws_anew_and_another_run_draws_the_same():
    first, second = passes(seed=3, epochs=2)
    assert first != second
    assert passes(seed=3, epochs=2) == [first, second]
    assert passes(seed=4, epochs=1) != [first]


def test_shuffle_moves_the_copies_apart():
    (numbers,) = passes(seed=1, epochs=1, shuffled=IMAGES)
    beside = sum(one == two for one, two in itertools.pairwise(numbers))
    # Unshuffled, two or more of each rare image's copies lie side by side: 500 such pairs.
    assert beside < 25
