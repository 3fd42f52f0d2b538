"""A shard's boxes table and ledger, from its manifest and the images that it names."""

import csv
import os
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from odtl import images
from odtl.boxes import COLUMNS, BoxRow, to_cells
from odtl.cleaning import clean
from odtl.errors import InputError, Problem
from odtl.fetching.ledger import Row, as_fetched
from odtl.files import atomic_open
from odtl.images import ImageError, ImageInfo
from odtl.manifest import Line, iterate_manifest
from odtl.repairs import COLUMNS as LEDGER_COLUMNS
from odtl.repairs import REJECTED, STATUS_OF, LedgerRow, ledger_row
from odtl.sidecars import write_sidecar
from odtl.split import parse_shard_name


@dataclass(frozen=True)
class Counts:
    """What became of the images of a shard: images = kept + repaired + rejected."""

    images: int
    kept: int
    repaired: int
    rejected: int


def make_boxes(
    manifest_path: str | os.PathLike,
    boxes_path: str | os.PathLike,
    repairs_path: str | os.PathLike,
    sidecar_path: str | os.PathLike | None = None,
    manifest_sha256: str | None = None,
    decode: bool = False,
    fetched: Mapping[str, Row] | None = None,
) -> Counts:
    """Make one shard's boxes table and ledger (CSV, with headers even when empty) from its manifest.

    manifest_path:   `{split}-{index}-of-{n}.jsonl`; the name says which split it is.
    sidecar_path:    where to write the `Counts` and the digests of both tables (see `sidecars`); None: nowhere.
    manifest_sha256: what the manifest's digest must be; None: whatever it is.
    decode:          whether to look for damage behind the headers of JPEGs, too (see `images.probe`).
    fetched:         the rows of the ledger of images that were fetched, by image; None: there are none.

    Raises InputError if an image is no longer what the inventory listed, or the manifest is another one.
    """
    split = parse_shard_name(Path(manifest_path).stem)[0]
    changed: list[Problem] = []
    kept = repaired = rejected = total = 0
    with atomic_open(boxes_path) as boxes_stream, atomic_open(repairs_path) as repairs_stream:
        boxes_writer = csv.writer(boxes_stream, lineterminator="\n")
        repairs_writer = csv.writer(repairs_stream, lineterminator="\n")
        boxes_writer.writerow(COLUMNS)
        repairs_writer.writerow(LEDGER_COLUMNS)
        for line in iterate_manifest(manifest_path, manifest_sha256):
            total += 1
            try:
                rows, repairs = _clean_file(as_fetched(line, fetched or {}), split, decode)
            except _ChangedError as error:
                changed.append(error.problem)
                continue
            boxes_writer.writerows(to_cells(row) for row in rows)
            repairs_writer.writerows(astuple(row) for row in repairs)
            rejected += any(row.status == REJECTED for row in repairs)
            repaired += bool(rows and repairs)
            kept += bool(rows and not repairs)
        if changed:
            raise InputError(changed, f"{len(changed)} image(s) changed while the workflow ran")
        if total != kept + repaired + rejected:
            raise AssertionError(f"{total} images in, but {kept} kept + {repaired} repaired + {rejected} rejected")
    counts = Counts(total, kept, repaired, rejected)
    if sidecar_path is not None:
        write_sidecar(sidecar_path, {"boxes": boxes_path, "repairs": repairs_path}, **asdict(counts))
    return counts


class _ChangedError(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def _clean_file(line: Line, split: str, decode: bool) -> tuple[list[BoxRow], list[LedgerRow]]:
    refused = any(STATUS_OF[problem.reason] == REJECTED for problem in line.problems)
    if refused or line.image is None or line.sha256 is None or line.annotation is None:
        return clean(line, ImageInfo("", 0, 0), split)
    try:
        data = images.read_listed(line.image, line.sha256)
    except ImageError as error:
        raise _ChangedError(_changed(line, error.found)) from error
    try:
        info = images.probe(data, decode=decode)
    except ImageError as error:
        repairs = [ledger_row(line.id, problem.reason, **problem.texts()) for problem in line.problems]
        row = ledger_row(line.id, error.reason, file=line.image, field="image", found=error.found, done="left out")
        return [], [*repairs, row]
    return clean(line, info, split)


def _changed(line: Line, found: str) -> Problem:
    if line.origin is not None:
        cure = "It is not what was fetched: delete it and run again, and it is fetched anew."
        return Problem(line.image or line.id, "image", found, cure)
    return Problem(line.image or line.id, "image", found, "It has changed since it was listed; run again.")
