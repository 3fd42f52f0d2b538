"""Repeat-factor sampling: images of rare classes are seen more often.

Gupta, Dollár and Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation" (arXiv:1908.03195), section
5.2: a class that is in a share f of the images is repeated r = max(1, sqrt(t / f)) times, an image as often as the
most repeated of its classes. The whole part of r is certain; the rest is drawn anew in each epoch.
"""

import csv
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np


def image_shares(boxes_csvs: Iterable[str | os.PathLike], split: str = "train") -> dict[str, float]:
    """Return class -> share of the images of a split that show it, in (0, 1], from boxes tables.

    Images that show nothing are counted among all images; classes that are in no image are left out.
    """
    images, showing = 0, Counter()
    for path in boxes_csvs:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = (row for row in csv.DictReader(stream) if row["split"] == split)
            for _, group in itertools.groupby(rows, key=lambda row: row["filename"]):
                images += 1
                showing.update({row["class"] for row in group} - {""})
    return {name: count / images for name, count in sorted(showing.items())}


def repeat_factors(shares: Mapping[str, float], threshold: float) -> dict[str, float]:
    """Return class -> how many times its images are repeated, at least 1.

    shares: class -> share of the images that show it, in (0, 1]. threshold: below which share classes are repeated.
    """
    return {name: max(1.0, math.sqrt(threshold / share)) for name, share in shares.items()}


def factors_by_id(factors: Mapping[str, float], label_map: Mapping[str, int]) -> np.ndarray:
    """Return the factors as float32 of shape (highest id + 1,), by id of the label map; 1 where there is none."""
    by_id = np.ones(max(label_map.values(), default=0) + 1, np.float32)
    for name, factor in factors.items():
        by_id[label_map[name]] = factor
    return by_id


def repeats(classes, by_id: np.ndarray, draw):
    """Return how often an image is to be seen in this epoch, as an int64 tensor; at least 1.

    classes: ids of the objects in an image, integers of shape (n,); none in a negative, which is seen once.
    by_id:   as `factors_by_id` gives it. draw: a number drawn from [0, 1).
    """
    import tensorflow as tf

    known = tf.gather(tf.constant(by_id), tf.clip_by_value(tf.cast(classes, tf.int64), 0, len(by_id) - 1))
    factor = tf.reduce_max(tf.concat([[1.0], known], axis=0))
    whole = tf.floor(factor)
    return tf.cast(whole, tf.int64) + tf.cast(draw < factor - whole, tf.int64)


def oversampled(dataset, classes_of, by_id: np.ndarray, seed: int | None):
    """Return a `tf.data.Dataset` in which each element comes as often as its image is to be repeated.

    dataset:    of one epoch, before it is shuffled and repeated: the copies of an element come one after the other.
    classes_of: a function from an element to the ids of its objects, integers of shape (n,).
    seed:       of the numbers that are drawn; other ones in each epoch, the same ones again in another run.
    """
    import tensorflow as tf

    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)

    def copies(element, number):
        # The numbers are int64 in [0, 2**32).
        count = repeats(classes_of(element), by_id, tf.cast(number, tf.float32) / 2**32)
        return tf.data.Dataset.from_tensors(element).repeat(count)

    return tf.data.Dataset.zip(dataset, draws).flat_map(copies)
