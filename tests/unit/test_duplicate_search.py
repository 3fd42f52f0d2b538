"""The search finds what comparing each with each finds."""

import numpy as np
import pytest

from odtl.duplicates import searching
from odtl.duplicates.searching import MOST_BITS, SURE, alike, mirrored


def flipped(value: int, bits: int, generator) -> int:
    for bit in generator.choice(64, bits, replace=False):
        value ^= 1 << int(bit)
    return value


def hashes(count: int, seed: int = 0) -> np.ndarray:
    """Return random hashes, of which every third differs from the one before in 0 to 14 bits."""
    generator = np.random.default_rng(seed)
    values = [int(value) for value in generator.integers(0, 2**64, count, dtype=np.uint64)]
    for place in range(2, count, 3):
        values[place] = flipped(values[place - 1], place // 3 % 15, generator)
    return np.array(values, np.uint64)


def by_force(left: np.ndarray, right: np.ndarray, most: int) -> set[tuple[int, int]]:
    bits = np.bitwise_count(left[:, None] ^ right[None])
    return {(min(i, j), max(i, j)) for i, j in zip(*np.nonzero(bits <= most), strict=True) if i != j}


def test_all_pairs_up_to_the_sure_distance_are_found_and_none_beyond_the_limit():
    values = hashes(600)
    pairs = {tuple(pair) for pair in alike(values).tolist()}
    assert by_force(values, values, SURE) <= pairs <= by_force(values, values, MOST_BITS)
    assert len(by_force(values, values, SURE)) == 109
    assert SURE == 7


def test_mirror_images_are_found_by_the_hash_of_either():
    generator = np.random.default_rng(3)
    own, other = hashes(200, 1), hashes(200, 2)
    own[7] = flipped(int(other[150]), 5, generator)
    own[120] = flipped(int(other[3]), 7, generator)
    assert mirrored(own, other).tolist() == [[3, 120], [7, 150]]


def test_pairs_are_sorted_and_each_once():
    values = np.array([5, 1, 5, 5], np.uint64)
    assert alike(values).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]


@pytest.mark.parametrize("count", [0, 1])
def test_few_have_no_pairs(count):
    values = np.zeros(count, np.uint64)
    assert alike(values).shape == (0, 2)
    assert mirrored(values, values).shape == (0, 2)


def test_a_crowd_is_not_compared_each_with_each(monkeypatch):
    monkeypatch.setattr(searching, "_CROWD", 50)
    monkeypatch.setattr(searching, "_NEIGHBOURS", 8)
    pairs = alike(np.full(2000, 77, np.uint64))
    assert len(pairs) <= 2000 * 8
    # All of them still hang together by the first few.
    assert set(np.unique(pairs[pairs[:, 0] < 4]).tolist()) == set(range(2000))


def test_results_do_not_depend_on_the_size_of_the_chunks(monkeypatch):
    values = hashes(400, 5)
    expected = alike(values).tolist()
    monkeypatch.setattr(searching, "_CHUNK", 7)
    assert alike(values).tolist() == expected


def test_frames_of_a_camera_that_stands_still_stay_one_group_at_a_bounded_number_of_pairs():
    generator = np.random.default_rng(5)
    base = np.uint64(0x9C3F52E1A07BD486)
    bits = generator.integers(0, 64, (3000, 2)).astype(np.uint64)
    frames = base ^ (np.uint64(1) << bits[:, 0]) ^ (np.uint64(1) << bits[:, 1])
    pairs = searching.alike(frames)
    # Each with each would be 4.5 million.
    assert len(pairs) <= 24 * len(frames)
    group = list(range(len(frames)))

    def root(place):
        while group[place] != place:
            group[place] = place = group[group[place]]
        return place

    for i, j in pairs.tolist():
        group[root(i)] = root(j)
    assert len({root(place) for place in range(len(frames))}) == 1
