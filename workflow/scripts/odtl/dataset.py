"""The data set as a whole: one table per split, one ledger, and a card that says what is in it.

Tables of shards are merged as streams, in order of image id, so that memory does not grow with the number of images
and the result does not depend on the number of shards.
"""

import csv
import hashlib
import heapq
import itertools
import json
import os
import tempfile
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from odtl.boxes import COLUMNS as BOX_COLUMNS
from odtl.duplicates.telling import describe_findings, warn_of_findings
from odtl.errors import InputError, Problem
from odtl.files import atomic_open, dump_json, write_csv
from odtl.label_map import read_label_map
from odtl.labels import LookAlike, look_alikes
from odtl.name_clashes import name_clashes
from odtl.repairs import COLUMNS as LEDGER_COLUMNS
from odtl.repairs import REJECTED, REPAIRED

# The columns of the tutorials' CSV files, in their order.
LABEL_COLUMNS = BOX_COLUMNS[:8]
SPLITS = ("train", "val", "test")
# What reaches a record, and so what a model can depend on; not where the image lies.
_DIGESTED = tuple(column for column in BOX_COLUMNS if column not in ("group", "image"))
# An operating system grants a process some hundred open files by default.
_MAX_OPEN_FILES = 200
# So that the card fits one screen.
_MOST_CLASSES, _MOST_REASONS, _MOST_WARNING_LINES, _LONGEST_NAME = 12, 7, 18, 60
# Of the classes that one warning is about.
_NAMED = 3
# See `gaps`.
_REFUSED = ", so a training is refused (data.gaps)"


def write_split_tables(
    boxes_csvs: Sequence[str | os.PathLike],
    labels_csv: str | os.PathLike,
    summary_json: str | os.PathLike,
    split: str,
) -> dict[str, Any]:
    """Merge the boxes tables of one split's shards into `labels_csv` and `summary_json`; return the latter.

    labels_csv:   filename,width,height,class,xmin,ymin,xmax,ymax, one row per box, in order of image id. An image
                  without objects (a negative) has no row there, as in the tutorials.
    summary_json: `split`; `images`, of which `negatives`; `boxes`; `classes` (name -> boxes); `max_boxes` in an
                  image; `image_bytes` of all files together; `digest`, which changes when, and only when, what
                  the split's records are made of does (apart from the label map).
    Raises InputError for rows of another split, and with every image file that is missing.
    """
    images = negatives = boxes = most = size = 0
    classes: Counter[str] = Counter()
    digest = hashlib.sha256()
    problems: list[Problem] = []
    with atomic_open(labels_csv) as stream, atomic_open(summary_json) as summary_stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(LABEL_COLUMNS)
        for _, group in itertools.groupby(merged(boxes_csvs, BOX_COLUMNS), key=lambda row: row["filename"]):
            rows = list(group)
            labelled = [row for row in rows if row["class"]]
            writer.writerows([row[column] for column in LABEL_COLUMNS] for row in labelled)
            images += 1
            negatives += not labelled
            boxes += len(labelled)
            most = max(most, len(labelled))
            classes.update(row["class"] for row in labelled)
            for row in rows:
                digest.update(json.dumps([row[column] for column in _DIGESTED]).encode("utf-8"))
            problems += _misplaced(rows[0], split)
            try:
                size += os.stat(rows[0]["image"]).st_size
            except OSError as error:
                cure = "It was there when the boxes were made: restore it, or run again."
                problems.append(Problem(rows[0]["image"], "image", error.strerror or str(error), cure))
        if problems:
            raise InputError(problems, f"The {split} split cannot be used")
        summary = {
            "split": split,
            "images": images,
            "negatives": negatives,
            "boxes": boxes,
            "classes": dict(sorted(classes.items())),
            "max_boxes": most,
            "image_bytes": size,
            "digest": digest.hexdigest(),
        }
        dump_json(summary, summary_stream)
    return summary


def write_card(
    summary_jsons: Sequence[str | os.PathLike],
    inventories: Sequence[str | os.PathLike],
    ledgers: Sequence[str | os.PathLike],
    label_map_file: str | os.PathLike,
    findings: Mapping[str, Any],
    repairs_csv: str | os.PathLike,
    card_json: str | os.PathLike,
) -> str:
    """Write the whole data set's ledger and card; return the card as a short text.

    summary_jsons: of the splits, as `write_split_tables` makes them.
    inventories:   the manifests of all shards: how many images there are, and what they are called.
    findings:      on duplicates, as `read_findings` returns them.
    ledgers:       of all shards. `repairs_csv` holds all their rows, in order of image id.
    card_json:     `images` (in, kept, repaired, rejected), `reasons` (status -> reason -> images), `splits` (name ->
                   summary), `classes` (name -> split -> boxes), `duplicates` (the findings), `warnings`.

    Raises InputError where images in = kept + repaired + rejected does not hold for these files; what is in the
    ledgers is no error here, so that a data set that a training refuses is still shown (see `strict`).
    """
    summaries = [json.loads(Path(path).read_text(encoding="utf-8")) for path in summary_jsons]
    splits = {summary["split"]: summary for summary in sorted(summaries, key=lambda summary: _order(summary["split"]))}
    with atomic_open(repairs_csv) as stream, atomic_open(card_json) as card_stream:
        status, reasons = _copy_ledger(merged(ledgers, LEDGER_COLUMNS), stream)
        images_in, used = sum(map(_count_lines, inventories)), sum(summary["images"] for summary in summaries)
        if images_in != used + status[REJECTED]:
            found = f"{images_in} in the inventory, {used} in the boxes tables, {status[REJECTED]} rejected"
            cure = "The files are of different runs: delete results/boxes and results/repairs, and run again."
            raise InputError(Problem(str(card_json), "images", found, cure), "Images are not accounted for")
        images = {
            "in": images_in,
            "kept": used - status[REPAIRED],
            "repaired": status[REPAIRED],
            "rejected": status[REJECTED],
        }
        names = set(read_label_map(label_map_file)).union(*(summary["classes"] for summary in summaries))
        classes = {
            name: {split: summary["classes"].get(name, 0) for split, summary in splits.items()}
            for name in sorted(names)
        }
        card = {
            "images": images,
            "reasons": reasons,
            "splits": splits,
            "classes": classes,
            "warnings": [
                *_warnings(splits, classes),
                *map(_merge_advice, _look_alikes(classes)),
                *_clash_warnings(name_clashes(inventories)),
                *warn_of_findings(findings),
            ],
            "duplicates": findings,
        }
        dump_json(card, card_stream)
    return describe(card)


def describe(card: Mapping[str, Any]) -> str:
    """Return a card, as `write_card` makes it, as a text for a person: at most 50 lines of at most 120 characters.

    What is left out of it is counted, and is in card.json.
    """
    images, splits = card["images"], card["splits"]
    lines = [
        f"{images['in']} images: {images['kept']} kept, {images['repaired']} repaired, {images['rejected']} rejected",
        *(line for status, counts in card["reasons"].items() for line in _wrap(f"  {status}: {_told_reasons(counts)}")),
    ]
    # The rarest first: these are what a person must know of.
    rarest = sorted(card["classes"], key=lambda name: (card["classes"][name].get("train", 0), name))
    shown = sorted(card["classes"]) if len(rarest) <= _MOST_CLASSES else rarest[:_MOST_CLASSES]
    width = max([len("split"), *map(len, splits), *(len(_short(name)) for name in shown)])
    lines += ["", f"{'split':<{width}}  images  negatives  boxes"]
    lines += [
        f"{name:<{width}}  {split['images']:>6}  {split['negatives']:>9}  {split['boxes']:>5}"
        for name, split in splits.items()
    ]
    lines += ["", f"{'class':<{width}}  {'  '.join(f'{name:>6}' for name in splits)}  (boxes)"]
    lines += [
        f"{_short(name):<{width}}  {'  '.join(f'{counts[split]:>6}' for split in splits)}"
        for name, counts in ((name, card["classes"][name]) for name in shown)
    ]
    if len(rarest) > len(shown):
        lines.append(f"and {len(rarest) - len(shown)} classes with more boxes for training: see card.json, check.html")
    lines += ["", describe_findings(card["duplicates"])]
    lines += ["", *_told_warnings(card["warnings"])] if card["warnings"] else []
    return "\n".join(lines) + "\n"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, 120, subsequent_indent="    ", break_on_hyphens=False)


def _told_reasons(counts: Mapping[str, int]) -> str:
    told = [f"{reason} ({count})" for reason, count in list(counts.items())[:_MOST_REASONS]]
    more = len(counts) - len(told)
    return ", ".join([*told, *([f"and {more} more reasons: see card.json"] if more else [])])


def _told_warnings(warnings: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for index, warning in enumerate(warnings):
        of_warning = _wrap(f"Warning: {warning}")
        if len(lines) + len(of_warning) > _MOST_WARNING_LINES:
            return [*lines, f"and {len(warnings) - index} more warning(s): see card.json, check.html"]
        lines += of_warning
    return lines


def merged(paths: Sequence[str | os.PathLike], columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of tables that are each in order of their first column, in the order of all of them.

    columns: what the header of each must be, else InputError.
    """
    if len(paths) > _MAX_OPEN_FILES:
        with tempfile.TemporaryDirectory(prefix="merge-") as scratch:
            parts = []
            for start in range(0, len(paths), _MAX_OPEN_FILES):
                parts.append(Path(scratch) / f"{start}.csv")
                write_csv(parts[-1], columns, merged(paths[start : start + _MAX_OPEN_FILES], columns))
            yield from merged(parts, columns)
        return
    with ExitStack() as stack:
        tables = [_rows(stack.enter_context(open(path, encoding="utf-8", newline="")), columns) for path in paths]
        yield from heapq.merge(*tables, key=lambda row: row[columns[0]])


def _rows(stream: IO[str], columns: Sequence[str]) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(stream)
    if tuple(reader.fieldnames or ()) != tuple(columns):
        found = ",".join(reader.fieldnames or ()) or "nothing"
        cure = f"Expected {','.join(columns)}: delete the file and run again."
        raise InputError(Problem(stream.name, "header", found, cure))
    yield from reader


def _misplaced(row: Mapping[str, str], split: str) -> Iterator[Problem]:
    if row["split"] != split:
        cure = f"Expected {split}: delete the boxes tables and run again."
        yield Problem(row["filename"], "split", row["split"], cure)


def _copy_ledger(rows: Iterator[dict[str, str]], stream: Any) -> tuple[Counter[str], dict[str, dict[str, int]]]:
    """Write ledger rows; return the images per status, and status -> reason -> images that have such a row."""
    writer = csv.DictWriter(stream, LEDGER_COLUMNS, lineterminator="\n")
    writer.writeheader()
    images: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    for _, group in itertools.groupby(rows, key=lambda row: row["image"]):
        of_image = list(group)
        writer.writerows(of_image)
        images[REJECTED if any(row["status"] == REJECTED for row in of_image) else REPAIRED] += 1
        reasons.update({(row["status"], row["reason"]) for row in of_image})
    nested: dict[str, dict[str, int]] = {}
    for (status, reason), count in sorted(reasons.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
        nested.setdefault(status, {})[reason] = count
    return images, nested


def _warnings(splits: Mapping[str, Mapping[str, Any]], classes: Mapping[str, Mapping[str, int]]) -> list[str]:
    texts = []
    for split, use in (("train", "nothing can be learnt"), ("val", "no best model can be chosen"), ("test", "no AP")):
        if not splits.get(split, {}).get("boxes"):
            # Without images nothing is evaluated, which is fine.
            refused = split == "val" and splits.get(split, {}).get("images")
            texts.append(f"The {split} split has no boxes: {use}{_REFUSED if refused else ''}.")
    # What is wrong -> the classes that it is wrong with: one sentence for each kind, however many classes there are.
    kinds: dict[tuple[str, str], list[str]] = {}
    for name, counts in classes.items():
        if not any(counts.values()):
            kind = ("no boxes at all", "cannot be learnt")
        elif not counts.get("train"):
            kind = ("no boxes for training", f"cannot be learnt{_REFUSED}")
        else:
            scored = [split for split in ("val", "test") if splits.get(split, {}).get("boxes")]
            missing = [split for split in scored if not counts.get(split)]
            if not missing:
                continue
            kind = (f"no boxes in {' and '.join(missing)}", "AP")
        kinds.setdefault(kind, []).append(name)
    for (what, use), names in kinds.items():
        one = len(names) == 1
        if use == "AP":
            effect = f"{'its' if one else 'their'} AP there is unknown"
        else:
            effect = f"{'it' if one else 'they'} {use}"
        texts.append(f"{_named(names)} {'has' if one else 'have'} {what}: {effect}.")
    return texts


def _named(names: Sequence[str]) -> str:
    told = ", ".join(repr(_short(name)) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"Class {told}" if len(names) == 1 else f"{len(names)} classes ({told}{more})"


def _look_alikes(classes: Mapping[str, Mapping[str, int]]) -> list[LookAlike]:
    return look_alikes({name: sum(counts.values()) for name, counts in classes.items()})


def _merge_advice(pair: LookAlike) -> str:
    # JSON quotes what YAML would take for something else; and YAML reads JSON.
    alias = json.dumps({pair.rare: pair.frequent}, ensure_ascii=False)
    rare, frequent = (f"{count} box{'' if count == 1 else 'es'}" for count in (pair.rare_boxes, pair.frequent_boxes))
    return (
        f"Class {pair.rare!r} ({rare}) looks like {pair.frequent!r} ({frequent}). If they are one, put this into your "
        f"configuration: labels: {{aliases: {alias}}}"
    )


def _clash_warnings(clashes: Sequence[Sequence[str]]) -> list[str]:
    if not clashes:
        return []
    several = f"; {len(clashes)} such names in all" if len(clashes) > 1 else ""
    names = " and ".join(map(repr, clashes[0]))
    return [
        f"The names of {names} differ only in case or in how accents are written{several}: on Windows and macOS they "
        "are one file. Rename all but one of them."
    ]


def _count_lines(path: str | os.PathLike) -> int:
    with open(path, "rb") as stream:
        return sum(1 for line in stream if line.strip())


def _order(split: str) -> tuple[int, str]:
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)
