"""All pairs of images that show the same, in and across splits, and the groups that would keep them together."""

import itertools
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from odtl.duplicates import searching
from odtl.duplicates.fingerprints import THUMBNAIL_BYTES, compare
from odtl.duplicates.grouping import Placed, propose_groups
from odtl.duplicates.groups_file import read_groups, write_groups
from odtl.duplicates.hashes import Hashed, read_hashes
from odtl.duplicates.reporting import IDENTICAL, MIRROR, NEAR, Pair, Report, write_pairs
from odtl.files import CHANGED_MEANWHILE, check_digest, write_json
from odtl.manifest import Line, is_used, placing_digest, read_manifest
from odtl.split import parse_shard_name

# Pairs whose thumbnails are compared in one go.
_CHUNK = 20_000


@dataclass(frozen=True)
class _Looks:
    """Each different file among the images, with what it looks like.

    images: id of the first image of each file, in order; copies: place in `images` -> ids of all that have this file,
            where they are several.
    places: of those in `images` that are not too plain, in order; hashes, mirrors, thumbnails: of these.
    """

    images: list[str] = field(default_factory=list)
    copies: dict[int, list[str]] = field(default_factory=dict)
    places: array = field(default_factory=lambda: array("q"))
    hashes: array = field(default_factory=lambda: array("Q"))
    mirrors: array = field(default_factory=lambda: array("Q"))
    thumbnails: bytearray = field(default_factory=bytearray)


def find_duplicates(
    hashes_csvs: Iterable[str | os.PathLike],
    manifests: Iterable[str | os.PathLike],
    groups_csv: str | os.PathLike | None,
    duplicates_csv: str | os.PathLike,
    proposal_csv: str | os.PathLike,
    summary_json: str | os.PathLike,
    placings: Mapping[str, str] | None = None,
) -> dict:
    """Write which images show the same, and the groups to configure so that no split leaks; return the summary.

    hashes_csvs:    of all shards, as `hash_images` writes them.
    manifests:      of all shards: images without a usable annotation are not used, and do not count.
    groups_csv:     the configured groups; None: there are none.
    duplicates_csv, summary_json: see `write_pairs` and `Report`.
    proposal_csv:   see `propose_groups`.
    placings:       by shard, what `placing_digest` of its manifest must be, else InputError; None: whatever it is.
    """
    used: dict[str, Placed] = {}
    for path in manifests:
        lines = read_manifest(path)
        wanted = placings[Path(path).stem] if placings else None
        check_digest(path, placing_digest(lines), wanted, CHANGED_MEANWHILE)
        used.update(placed_images(path, lines))
    report, plain = compare_all(itertools.chain.from_iterable(map(read_hashes, hashes_csvs)), used)
    write_pairs(duplicates_csv, report)
    joined = ((pair.image, pair.other) for pair in report.pairs)
    write_groups(proposal_csv, propose_groups(used, joined, read_groups(groups_csv)))
    summary = {"images": len(used), "plain": plain, **report.summary()}
    write_json(summary_json, summary)
    return summary


def compare_all(rows: Iterable[Hashed], used: Mapping[str, Placed]) -> tuple[Report, int]:
    """Return which of the images that are used show the same, and how many different files are too plain to tell."""
    looks = _gather_looks(rows, used)
    return Report([*_identical(looks, used), *_alike(looks, used)], used), len(looks.images) - len(looks.places)


def placed_images(manifest: str | os.PathLike, lines: Iterable[Line]) -> Iterator[tuple[str, Placed]]:
    """Yield id and place of each image of a manifest that is used."""
    split = parse_shard_name(Path(manifest).stem)[0]
    return ((line.id, Placed(split, line.group)) for line in lines if is_used(line))


def _gather_looks(rows: Iterable[Hashed], used: Mapping[str, Placed]) -> _Looks:
    looks = _Looks()
    seen: dict[bytes, int] = {}
    for row in rows:
        if row.image not in used:
            continue
        place = seen.setdefault(bytes.fromhex(row.sha256), len(looks.images))
        if place < len(looks.images):
            looks.copies.setdefault(place, [looks.images[place]]).append(row.image)
            continue
        looks.images.append(row.image)
        if row.look.hash is not None:
            looks.places.append(place)
            looks.hashes.append(row.look.hash)
            looks.mirrors.append(row.look.mirror)
            looks.thumbnails.extend(row.look.thumbnail)
    return looks


def _identical(looks: _Looks, used: Mapping[str, Placed]) -> Iterator[Pair]:
    """Yield each copy with the first of its own and of each other split: that joins all, and tells every leak."""
    for images in looks.copies.values():
        firsts = _firsts(images, used)
        pairs = {tuple(sorted((image, first))) for image in images for first in firsts if image != first}
        yield from (Pair(IDENTICAL, *pair, 0.0) for pair in sorted(pairs))


def _alike(looks: _Looks, used: Mapping[str, Placed]) -> Iterator[Pair]:
    hashes, mirrors = (np.frombuffer(each, dtype=np.uint64) for each in (looks.hashes, looks.mirrors))
    thumbnails = np.frombuffer(looks.thumbnails, dtype=np.uint8).reshape(-1, THUMBNAIL_BYTES)
    near = set()
    for kind, candidates in ((NEAR, searching.alike(hashes)), (MIRROR, searching.mirrored(hashes, mirrors))):
        for start in range(0, len(candidates), _CHUNK):
            some = candidates[start : start + _CHUNK]
            distances, same = compare(thumbnails[some[:, 0]], thumbnails[some[:, 1]], kind == MIRROR)
            for (i, j), distance in zip(some[same].tolist(), distances[same].tolist(), strict=True):
                # A picture that is its own mirror image is told once.
                if kind == MIRROR and (i, j) in near:
                    continue
                near.add((i, j))
                ours, theirs = (_firsts(_copies(looks, looks.places[place]), used) for place in (i, j))
                for pair in itertools.product(ours, theirs):
                    yield Pair(kind, *sorted(pair), round(distance, 2))


def _copies(looks: _Looks, place: int) -> list[str]:
    return looks.copies.get(place) or [looks.images[place]]


def _firsts(images: Iterable[str], used: Mapping[str, Placed]) -> list[str]:
    """Return the first of some images in each split that has any."""
    firsts: dict[str, str] = {}
    for image in sorted(images):
        firsts.setdefault(used[image].split, image)
    return list(firsts.values())
