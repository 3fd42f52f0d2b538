"""How much memory the decoded images of a training would take, told from its records before any is decoded."""

import itertools
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from odtl.tf_example import parse_example

# Length of the message, CRC of that; behind the message, its CRC.
HEAD, TAIL = 12, 4
# A look at so many records of each of so many files tells whether a closer look is worth it.
GLANCE_RECORDS, GLANCE_FILES = 8, 16
# Of so many records, evenly spread, the picture's size is read.
SAMPLES = 128
# What a glance may be wrong by.
DOUBT = 2
# Of the memory that is free, what caches may take at most: the model and the system need the rest.
SHARE_OF_MEMORY = 0.25
MAX_CACHE_BYTES = 1024**3


@dataclass(frozen=True)
class Estimate:
    """What the decoded images of some records come to: how many `images`, and their `bytes` in all."""

    images: int
    bytes: int


def cache_budget() -> int:
    """Return how many bytes a cache of images may take: a quarter of the free memory, at most 1 GiB."""
    return min(MAX_CACHE_BYTES, int(SHARE_OF_MEMORY * free_memory()))


def free_memory() -> int:
    """Return the bytes that processes here may still take: of the machine, or of a container that has less."""
    free = [_free_of_machine()]
    cgroup = Path("/sys/fs/cgroup")
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        free += [] if limit == "max" else [max(0, int(limit) - used)]
    except (OSError, ValueError):
        pass  # No container, or none that tells.
    return min(free)


def _free_of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        # Where nothing tells what is free, half of what there is.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def estimate(
    paths: Sequence[str | os.PathLike], bound: tuple[float, float] | None, budget: int, covering: bool = False
) -> Estimate | None:
    """Return what the images of TFRecord files come to once decoded and shrunk; None: more than `budget` bytes.

    bound, covering: as for `shrunk_size`; bound None: images are not shrunk. Only as many records are looked for as
    could fit, and of a few the size of the picture is read.
    """
    glance = [span for path in paths[:GLANCE_FILES] for span in itertools.islice(spans(path), GLANCE_RECORDS)]
    if not glance:
        return Estimate(0, 0)
    limit = DOUBT * budget / _mean_bytes(glance, bound, covering)
    found = first_spans(paths, int(limit) + 1)
    if len(found) > limit:
        return None
    sample = found[:: -(-len(found) // SAMPLES)]
    total = round(len(found) * _mean_bytes(sample, bound, covering))
    return Estimate(len(found), total) if total <= budget else None


def shrunk_size(height: float, width: float, bound: tuple[float, float], covering: bool = False) -> tuple[float, float]:
    """Return (height, width) of an image that is shrunk to fit in `bound`, (height, width); never enlarged.

    covering: it is shrunk until one side fits instead, so that neither gets smaller than the bound.
    """
    ratios = (bound[0] / height, bound[1] / width)
    ratio = min(1.0, max(ratios) if covering else min(ratios))
    return height * ratio, width * ratio


def first_spans(paths: Iterable[str | os.PathLike], limit: int) -> list["Span"]:
    """Return where the first records of some files stand, at most `limit` of them."""
    return list(itertools.islice(itertools.chain.from_iterable(map(spans, paths)), limit))


@dataclass(frozen=True)
class Span:
    """Where a record's message stands in its file, in bytes."""

    path: str
    offset: int
    length: int


def spans(path: str | os.PathLike) -> Iterator[Span]:
    """Yield where each record of a TFRecord file stands, without reading it."""
    with open(path, "rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        offset = 0
        while offset + HEAD <= end:
            (length,) = struct.unpack("<Q", os.pread(file.fileno(), 8, offset))
            if offset + HEAD + length > end:
                return  # Cut off: whoever reads it finds out.
            yield Span(str(path), offset + HEAD, length)
            offset += HEAD + length + TAIL


def _mean_bytes(sample: Sequence[Span], bound: tuple[float, float] | None, covering: bool) -> float:
    return sum(_decoded_bytes(span, bound, covering) for span in sample) / len(sample)


def _decoded_bytes(span: Span, bound: tuple[float, float] | None, covering: bool) -> float:
    with open(span.path, "rb") as file:
        features = parse_example(os.pread(file.fileno(), span.length, span.offset))
    height, width = features["image/height"][0], features["image/width"][0]
    if bound:
        height, width = shrunk_size(height, width, bound, covering)
    return 3 * height * width
