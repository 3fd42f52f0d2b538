"""The data check as one page that needs nothing beside it: no script, no network, no other file."""

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from odtl.check import gathering
from odtl.check.gathering import SIZE_BINS, Box, Shown
from odtl.check.histogram import bar_chart
from odtl.check.template import PAGE, STYLE
from odtl.check.thumbnails import thumbnail
from odtl.duplicates.reporting import read_pairs
from odtl.duplicates.telling import describe_findings
from odtl.files import atomic_open
from odtl.label_map import read_label_map
from odtl.repairs import LedgerRow
from odtl.split import parse_shard_name

_MOST_CLASSES = 200
_MOST_LABELS = 4
_MOST_HIDDEN = 3
_LONGEST_LINE = 300
_ALIKE = {"identical": "the same file", "near": "nearly the same picture", "mirror": "each other's mirror image"}


@dataclass(frozen=True)
class Tables:
    """The files that the page is made from, as the other stages write them; lists are of all shards."""

    card: str | os.PathLike
    repairs: str | os.PathLike
    duplicates: str | os.PathLike
    copies: str | os.PathLike
    label_map: str | os.PathLike
    boxes: Sequence[str | os.PathLike]
    inventory: Sequence[str | os.PathLike]


def write_page(tables: Tables, path: str | os.PathLike) -> None:
    """Write the page: at most 60 thumbnails and 200 classes, whatever the number of images."""
    card = json.loads(Path(tables.card).read_text(encoding="utf-8"))
    rare = gathering.rarest_class(card["classes"])
    sizes = gathering.measure(tables.boxes, rare)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(PAGE).render(
        style=Markup(STYLE),
        chart=bar_chart(_bin_names(), sizes.histogram, "Number of boxes by size"),
        sections=[section for section in _sections(tables, rare, sizes) if section["cases"]],
        **_facts(card),
    )
    with atomic_open(path, "wb") as stream:
        # A name that is no UTF-8 must not cost the page.
        stream.write(text.lstrip().encode("utf-8", "replace"))


def _facts(card: Mapping[str, Any]) -> dict[str, Any]:
    images, splits = card["images"], card["splits"]
    totals = {name: sum(counts.values()) for name, counts in card["classes"].items()}
    tiles = [
        *(("images", images["in"]), ("kept", images["kept"]), ("repaired", images["repaired"])),
        *(("rejected", images["rejected"]), ("boxes", sum(totals.values())), ("classes", len(totals))),
        ("training images also in val or test", card["duplicates"]["leaks"]["images"]),
    ]
    classes = sorted(card["classes"], key=lambda name: (-totals[name], name))
    return {
        "tiles": tiles,
        "warnings": card["warnings"],
        "split_names": list(splits),
        "splits": [
            (name, *(f"{split[key]:,}" for key in ("images", "negatives", "boxes", "max_boxes")))
            for name, split in splits.items()
        ],
        "classes": [
            (name, *(f"{card['classes'][name][split]:,}" for split in splits), f"{totals[name]:,}")
            for name in classes[:_MOST_CLASSES]
        ],
        "more_classes": max(0, len(classes) - _MOST_CLASSES),
        "reasons": [
            (reason, status, f"{count:,}")
            for status, counts in sorted(card["reasons"].items())
            for reason, count in counts.items()
        ],
        "duplicates": f"{describe_findings(card['duplicates'])}.".capitalize(),
    }


def _sections(tables: Tables, rare: str | None, sizes: gathering.Sizes) -> list[dict[str, Any]]:
    leaks = (row for row in read_pairs(tables.duplicates) if row["leak"] == "1")
    leaks = list(itertools.islice(leaks, gathering.PAIRS))
    copies = (row for row in read_pairs(tables.copies) if row["same_boxes"] == "0")
    copies = list(itertools.islice(copies, gathering.COPIES))
    rejected, repaired = gathering.pick_repairs(tables.repairs)
    of_pairs = {row[key] for row in [*leaks, *copies] for key in ("image", "other")}
    singles = {*repaired, *sizes.rare, *(image for _, image, _ in sizes.smallest), *(image for _, image in sizes.most)}
    found = gathering.look_up(of_pairs | singles, tables.boxes)
    manifests = [(parse_shard_name(Path(path).stem)[0], path) for path in tables.inventory]
    found |= gathering.look_up_rejected((set(rejected) | of_pairs) - found.keys(), manifests)
    ids = read_label_map(tables.label_map)

    def show(image: str, around: Box | None = None) -> dict[str, Any]:
        shown = found.get(image, Shown(image, None, ""))
        size = f"{shown.width} x {shown.height}, {_classes(shown)}" if shown.width else ""
        return {"id": image, "split": shown.split, "size": size, "picture": thumbnail(shown, ids, around)}

    def pair(row: Mapping[str, str], *lines: str) -> dict[str, Any]:
        return {"shown": [show(row["image"]), show(row["other"])], "lines": lines}

    return [
        _section(
            "Leaks between the splits",
            "Training images that are also in val or test: the scores would be better than the model. Keep each pair "
            "in one split (data.split.groups), or remove one of the two.",
            [pair(row, f"{_ALIKE[row['kind']]}: {row['split']} and {row['other_split']}") for row in leaks],
            pairs=True,
        ),
        _section(
            "The same file with different boxes",
            "One of the two teaches what is wrong.",
            [pair(row, f"{_boxes(row['boxes'])} and {_boxes(row['other_boxes'])}") for row in copies],
            pairs=True,
        ),
        _section(
            "Left out",
            "Some of the rejected images, of each reason. They take no part until they are mended.",
            _mostly_shown({"shown": [show(image)], "lines": _ledger_lines(rows)} for image, rows in rejected.items()),
        ),
        _section(
            "Most repaired",
            "Images and boxes as they are used. Check that the boxes are where they belong.",
            [{"shown": [show(image)], "lines": _ledger_lines(rows)} for image, rows in repaired.items()],
        ),
        _section(
            "Smallest boxes",
            "Enlarged, with what is around them. Slips of the hand look like this; so do objects too small to learn.",
            [
                {"shown": [show(image, box)], "lines": [f"{box.label}: {_side(box, 0)} x {_side(box, 1)} pixels"]}
                for _, image, box in sizes.smallest
            ],
        ),
        _section(
            "Most boxes",
            "Crowds are often labelled in part: what is not labelled is taught as background.",
            [{"shown": [show(image)], "lines": [_boxes(count)]} for count, image in sizes.most],
        ),
        _section(
            f"The class with the fewest boxes: {rare}",
            "Is it one of its own, or another spelling of a common one?",
            [{"shown": [show(image)], "lines": []} for image in sizes.rare],
        ),
    ]


def _mostly_shown(cases: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first of some cases, but only a few of those without a picture."""
    chosen: list[dict[str, Any]] = []
    hidden = 0
    for case in cases:
        hidden += not case["shown"][0]["picture"]
        if case["shown"][0]["picture"] or hidden <= _MOST_HIDDEN:
            chosen.append(case)
        if len(chosen) == gathering.EACH:
            break
    return chosen


def _section(title: str, text: str, cases: list[dict[str, Any]], pairs: bool = False) -> dict[str, Any]:
    return {"title": title, "text": text, "cases": cases, "pairs": pairs}


def _ledger_lines(rows: Sequence[LedgerRow]) -> list[str]:
    return [_cut(f"{row.reason}, {row.field or 'image'}: {row.found}; {row.done}") for row in rows]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}..."


def _boxes(count: int | str) -> str:
    return f"{int(count):,} box{'' if int(count) == 1 else 'es'}"


def _classes(shown: Shown) -> str:
    """Return what is in an image: labels in a thumbnail may be too small to read."""
    if shown.count > len(shown.boxes):
        return _boxes(shown.count)
    counts = Counter(box.label for box in shown.boxes).most_common()
    told = [f"{count} {name}" if count > 1 else name for name, count in counts[:_MOST_LABELS]]
    return _cut(", ".join([*told, "..."] if len(counts) > _MOST_LABELS else told)) or "no objects"


def _side(box: Box, axis: int) -> str:
    return f"{box.edges[axis + 2] - box.edges[axis]:.3g}"


def _bin_names() -> list[str]:
    lows = [0, *SIZE_BINS[:-1]]
    return [f"{low * 100:g}-{high * 100:g} %" for low, high in zip(lows, SIZE_BINS, strict=True)]
