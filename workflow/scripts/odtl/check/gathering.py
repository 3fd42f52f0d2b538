"""Which images of a data set are worth a look, found in one pass over its tables with little memory."""

import csv
import heapq
import itertools
import json
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from odtl.boxes import COLUMNS as BOX_COLUMNS
from odtl.manifest import parse_line
from odtl.repairs import REJECTED, LedgerRow

# Of each kind: together, with two for each pair, at most 60 thumbnails.
PAIRS = 8
COPIES = 4
EACH = 8
FEW = 6
SPARE = 3
# Lines of the ledger, and boxes, that are told and drawn of one image.
MOST_ROWS = 4
MOST_BOXES = 100
# Upper ends of the histogram's bins: the side of a square of the box's area, as a share of that of the image.
SIZE_BINS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0)

_PLACE = {name: place for place, name in enumerate(BOX_COLUMNS)}
_EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Box:
    """A box: class, and xmin, ymin, xmax, ymax in upright pixels."""

    label: str
    edges: tuple[float, float, float, float]


@dataclass(frozen=True)
class Shown:
    """An image to be shown: where it is, its size in upright pixels (0 where that is not known) and its first boxes.

    count: of all its boxes.
    """

    id: str
    path: str | None
    split: str
    width: int = 0
    height: int = 0
    boxes: tuple[Box, ...] = ()
    count: int = 0


@dataclass
class Sizes:
    """How large boxes are, and where the extremes are.

    histogram: boxes in each of `SIZE_BINS`. smallest: (area in pixels, image id, box), smallest first, one of each
    image. most: (number of boxes, image id), most first. rare: ids of images with the class that has the fewest boxes.
    """

    histogram: list[int] = field(default_factory=lambda: [0] * len(SIZE_BINS))
    smallest: list[tuple[float, str, Box]] = field(default_factory=list)
    most: list[tuple[int, str]] = field(default_factory=list)
    rare: list[str] = field(default_factory=list)


def rarest_class(classes: Mapping[str, Mapping[str, int]]) -> str | None:
    """Return the class with the fewest boxes, if there are several and it has any; see the card's `classes`."""
    totals = {name: sum(counts.values()) for name, counts in classes.items()}
    used = {name: total for name, total in totals.items() if total}
    return min(sorted(used), key=used.get) if len(used) > 1 else None


def measure(boxes_csvs: Iterable[str | os.PathLike], rare: str | None) -> Sizes:
    """Go once over the boxes tables of all shards; `rare` is the class whose images are looked for."""
    sizes = Sizes()
    # Heaps keep the smallest of what they hold on top: sizes are negative where the smallest are wanted.
    smallest: list[tuple[float, str, Box]] = []
    most: list[tuple[int, str]] = []
    for image, rows in _by_image(boxes_csvs):
        boxes = [box for box in map(_box, rows) if box is not None]
        if not boxes:
            continue
        whole = float(rows[0][_PLACE["width"]]) * float(rows[0][_PLACE["height"]])
        areas = [_area(box) for box in boxes]
        for area in areas:
            side = math.sqrt(area / whole)
            sizes.histogram[next((n for n, end in enumerate(SIZE_BINS) if side <= end), len(SIZE_BINS) - 1)] += 1
        area, place = min(zip(areas, range(len(areas)), strict=True))
        _keep(smallest, (-area, image, boxes[place]), EACH)
        _keep(most, (len(boxes), image), FEW)
        if len(sizes.rare) < FEW and any(box.label == rare for box in boxes):
            sizes.rare.append(image)
    sizes.smallest = sorted(((-area, image, box) for area, image, box in smallest), key=lambda each: each[:2])
    sizes.most = sorted(most, key=lambda each: (-each[0], each[1]))
    return sizes


def pick_repairs(repairs_csv: str | os.PathLike) -> tuple[dict[str, list[LedgerRow]], dict[str, list[LedgerRow]]]:
    """Return the rows of the ledger about some rejected and some repaired images, id -> the first few.

    Of each reason, or set of reasons, there is one before there are two of any; those with the most rows go first.
    There are `SPARE` times as many rejected ones as are to be shown: some cannot be.
    """
    rejected: dict[tuple, list] = {}
    repaired: dict[tuple, list] = {}
    with open(repairs_csv, encoding="utf-8", newline="") as stream:
        ledger = (LedgerRow(**row) for row in csv.DictReader(stream))
        for image, group in itertools.groupby(ledger, key=lambda row: row.image):
            rows = list(group)
            reasons = tuple(sorted({row.reason for row in rows if row.status == REJECTED}))
            if reasons:
                kept = rejected.setdefault(reasons, [])
            else:
                kept = repaired.setdefault(tuple(sorted({row.reason for row in rows})), [])
            kept.append((-len(rows), image, rows[:MOST_ROWS]))
            kept.sort(key=lambda each: each[:2])
            del kept[EACH * SPARE :]
    return _in_turn(rejected, EACH * SPARE), _in_turn(repaired, EACH)


def look_up(images: Collection[str], boxes_csvs: Iterable[str | os.PathLike]) -> dict[str, Shown]:
    """Return what the boxes tables say about some images."""
    found = {}
    for image, rows in _by_image(boxes_csvs) if images else ():
        if image in images:
            first = dict(zip(BOX_COLUMNS, rows[0], strict=True))
            boxes = tuple(box for box in map(_box, rows[:MOST_BOXES]) if box is not None)
            size = int(first["width"]), int(first["height"])
            count = len(rows) if first["class"] else 0
            found[image] = Shown(image, first["image"], first["split"], *size, boxes, count)
    return found


def look_up_rejected(images: Collection[str], manifests: Iterable[tuple[str, str | os.PathLike]]) -> dict[str, Shown]:
    """Return where some images are that are in no boxes table; `manifests`: (split, path) of all shards."""
    # Most lines are about other images: reading them as JSON would take most of the time.
    marks = [json.dumps(image, ensure_ascii=False).encode("utf-8", "surrogatepass") for image in images]
    found = {}
    for split, path in manifests if images else ():
        with open(path, "rb") as stream:
            for text in stream:
                if any(mark in text for mark in marks) and (line := parse_line(text)).id in images:
                    found[line.id] = Shown(line.id, line.image, split)
    return found


def _by_image(boxes_csvs: Iterable[str | os.PathLike]) -> Iterator[tuple[str, list[list[str]]]]:
    for path in boxes_csvs:
        with open(path, encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            next(reader, None)
            for image, rows in itertools.groupby(reader, key=lambda row: row[0]):
                yield image, list(rows)


def _box(row: Sequence[str]) -> Box | None:
    if not row[_PLACE["class"]]:
        return None
    xmin, ymin, xmax, ymax = (float(row[_PLACE[edge]]) for edge in _EDGES)
    return Box(row[_PLACE["class"]], (xmin, ymin, xmax, ymax))


def _area(box: Box) -> float:
    xmin, ymin, xmax, ymax = box.edges
    return (xmax - xmin) * (ymax - ymin)


def _keep(heap: list, entry: tuple, limit: int) -> None:
    # Image ids are unique, so that boxes are never compared.
    (heapq.heappush if len(heap) < limit else heapq.heappushpop)(heap, entry)


def _in_turn(kept: Mapping[tuple, Sequence[tuple]], limit: int) -> dict[str, list[LedgerRow]]:
    """Return the first of each, then the second of each, and so on, until there are enough."""
    kinds = sorted(kept.values(), key=lambda each: each[0][:2])
    turns = itertools.chain.from_iterable(itertools.zip_longest(*kinds))
    return {image: rows for _, image, rows in itertools.islice((each for each in turns if each is not None), limit)}
