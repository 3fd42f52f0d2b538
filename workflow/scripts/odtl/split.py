"""Which split and which shard an image belongs to: by hash, so that adding images never moves another one."""

import hashlib
import re
from collections.abc import Mapping

SPLITS = ("train", "val", "test")
# What folders, subsets and columns of tables are called that mean a split.
NAMES = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val", "verification": "val"},
    **{"test": "test", "testing": "test"},
}
_SHARD_NAME = re.compile(r"(train|val|test)-(\d{5,})-of-(\d{5,})")


def assign(group: str, fractions: Mapping[str, float], seed: str = "") -> str:
    """Return the split ("train", "val" or "test") of a group of images.

    group:     what must not be torn apart; by default an image's id.
    fractions: share of each split, each in [0, 1], together 1; one that is missing counts as 0.
    seed:      another seed gives another split.

    The group's hash is a point on [0, 1). Test takes the lower end, val the upper end and train what lies between: so
    moving a share between train and one of the others moves only that share of the groups.

    Raises ValueError if the fractions are not shares of 1.
    """
    train, val, test = fractions.get("train", 0), fractions.get("val", 0), fractions.get("test", 0)
    if min(train, val, test) < 0 or not abs(train + val + test - 1) <= 1e-6:
        raise ValueError(f"split fractions must be shares that add up to 1, found {dict(fractions)}")
    point = _hash(f"{seed}\0{group}") / 2**64
    if point < test:
        return "test"
    # Rounding may leave a sliver between test and val; it belongs to train only if train has a share at all.
    if point >= 1 - val or (train == 0 and val > 0):
        return "val"
    return "train" if train > 0 else "test"


def split_named(name: str) -> str | None:
    """Return the split that a folder, subset or cell so named means ("Training": train); None for any other name."""
    return NAMES.get(name.strip().lower())


def group_of(image_id: str, pattern: str | re.Pattern | None) -> str:
    """Return the group of an image: what `pattern` (a regular expression, searched for) finds in its id.

    The first capturing group if the pattern has one, else the whole match. No pattern, no match, or a capturing group
    that took no part in the match: the id itself.
    """
    if not pattern:
        return image_id
    match = re.search(pattern, image_id)
    if match is None:
        return image_id
    found = match[1] if match.re.groups else match[0]
    return image_id if found is None else found


def shard_of(image_id: str, n: int) -> int:
    """Return the index, 0 to n - 1, of the shard an image belongs to."""
    return _hash(image_id) % n


def shard_name(split: str, index: int, n: int) -> str:
    """Return a shard's stem, for example "train-00001-of-00004"."""
    return f"{split}-{index:05d}-of-{n:05d}"


def shard_names(n: int) -> tuple[str, ...]:
    """Return the stems of all shards of all splits, in order."""
    return tuple(shard_name(split, index, n) for split in SPLITS for index in range(n))


def shard_pattern(n: int) -> str:
    """Return a regular expression for the stems of `shard_names(n)` and no others, short however many these are.

    A list of all of them would be gone through for each file of the DAG.
    """
    last = f"{n - 1:05d}"
    below = (
        f"{last[:place]}[0-{int(digit) - 1}]{'[0-9]' * (len(last) - place - 1)}"
        for place, digit in enumerate(last)
        if digit != "0"
    )
    return f"(?:{'|'.join(SPLITS)})-(?:{'|'.join([*below, last])})-of-{n:05d}"


def parse_shard_name(name: str) -> tuple[str, int, int]:
    """Return (split, index, n) of a shard's stem; ValueError if it is none."""
    match = _SHARD_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"not the name of a shard: {name!r} (expected something like train-00001-of-00004)")
    return match[1], int(match[2]), int(match[3])


def _hash(text: str) -> int:
    # surrogatepass: an id may hold a file name's bytes that are no UTF-8, and must not crash here.
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
