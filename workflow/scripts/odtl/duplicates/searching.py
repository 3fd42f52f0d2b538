"""Which of many hashes are alike, without comparing each with each.

Multi-index hashing (M. Norouzi, A. Punjani, D. J. Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR
2012): 64 bits are four bands of 16. Where two hashes differ in at most 7 bits, they differ in at most one bit in one of
the bands; so each band is looked up as it is and with each of its bits turned.
"""

from collections.abc import Iterator

import numpy as np

# Bits in which two hashes of one picture may differ. All pairs up to `SURE` are found, and most of the others.
MOST_BITS = 10
SURE = 7

_BAND_BITS = 16
_BANDS = 4
# More hashes than this with one band in common, and each is compared with its neighbours in numerical order only: with
# thousands of frames of a camera that stands still, each would be compared with each.
_CROWD = 100
_NEIGHBOURS = 16
# More pairs than so many for each hash, and the first ones of each are kept.
_MOST_EACH = 12
# Pairs looked at in one go.
_CHUNK = 2_000_000


def alike(hashes: np.ndarray) -> np.ndarray:
    """Return int64 (N, 2): pairs i < j of places of hashes, uint64 (M,), that differ in few bits. Sorted."""
    return _gathered(_joined(hashes, hashes), len(hashes))


def mirrored(hashes: np.ndarray, mirrors: np.ndarray) -> np.ndarray:
    """Return such pairs of which one image's hash is like the hash of the other one's mirror image, uint64 (M,)."""
    return _gathered(_joined(hashes, mirrors), len(hashes))


def _gathered(parts: Iterator[np.ndarray], count: int) -> np.ndarray:
    """Return pairs, each a number i * count + j, as pairs, each once; of crowds, some of them (see `_thinned`)."""
    numbers = np.empty(0, np.int64)
    waiting: list[np.ndarray] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) > _CHUNK:
            numbers, waiting = _thinned(np.unique(np.concatenate([numbers, *waiting])), count), []
    numbers = _thinned(np.unique(np.concatenate([numbers, *waiting])), count)
    return np.stack(np.divmod(numbers, max(count, 1)), axis=1)


def _thinned(numbers: np.ndarray, count: int) -> np.ndarray:
    """Return sorted pairs, or, where they are very many, the first few of each hash: these still join the crowd.

    The first ones are those of the first places: what comes later in the order, such as a test image after all training
    images, keeps some of what comes before.
    """
    if len(numbers) <= 2 * _MOST_EACH * count:
        return numbers
    i, j = np.divmod(numbers, count)
    order = np.argsort(j, kind="stable")
    rank_of_j = np.empty(len(j), np.int64)
    rank_of_j[order] = _ranks(j[order])
    return numbers[(_ranks(i) < _MOST_EACH) | (rank_of_j < _MOST_EACH)]


def _ranks(ordered: np.ndarray) -> np.ndarray:
    """Return for each of these numbers, which are in order, how many of the same come before it."""
    return np.arange(len(ordered)) - np.searchsorted(ordered, ordered)


def _joined(left: np.ndarray, right: np.ndarray) -> Iterator[np.ndarray]:
    count = len(left)
    for band in range(_BANDS):
        # With the band in front, one order serves buckets and neighbours in them.
        turn = np.uint64(_BAND_BITS * band)
        keys, probes = _rotated(right, turn), _rotated(left, turn)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        bounds = np.searchsorted(keys >> np.uint64(64 - _BAND_BITS), np.arange(2**_BAND_BITS + 1, dtype=np.uint64))
        for bit in (None, *range(_BAND_BITS)):
            flip = np.uint64(0 if bit is None else 1 << (64 - _BAND_BITS + bit))
            flipped = probes ^ flip
            bucket = (flipped >> np.uint64(64 - _BAND_BITS)).astype(np.int64)
            starts, ends = bounds[bucket], bounds[bucket + 1]
            crowded = ends - starts > _CROWD
            if crowded.any():
                place = np.searchsorted(keys, flipped[crowded])
                reach = _NEIGHBOURS // 2 if bit is None else 0
                starts[crowded] = np.maximum(starts[crowded], place - reach)
                ends[crowded] = np.minimum(ends[crowded], place + reach)
            for i, places in _expanded(starts, np.maximum(ends - starts, 0)):
                j = order[places]
                near = (np.bitwise_count(left[i] ^ right[j]) <= MOST_BITS) & (i != j)
                i, j = i[near], j[near]
                yield np.minimum(i, j) * count + np.maximum(i, j)


def _rotated(hashes: np.ndarray, bits: np.uint64) -> np.ndarray:
    return hashes if bits == 0 else (hashes << bits) | (hashes >> (np.uint64(64) - bits))


def _expanded(starts: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (row, place) for each place from a row's start on, count of them, some rows at a time."""
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _CHUNK, side="right")))
        some = counts[first:last]
        rows = np.repeat(np.arange(first, last), some)
        within = np.arange(len(rows)) - np.repeat(ends[first:last] - some - before, some)
        yield rows, np.repeat(starts[first:last], some) + within
        first = last
