"""From the sources to the manifests' texts."""

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from odtl.file_cache import Report
from odtl.inventory.claims import csv_claims, exact_name, same_stem, voc_claims
from odtl.inventory.classes import Classifier
from odtl.inventory.entries import image_entry, orphan_entry, row_entry
from odtl.inventory.listing import Source, list_sources
from odtl.inventory.matching import Match, match
from odtl.inventory.placing import Lines, Placer
from odtl.inventory.reading import read_sources


@dataclass(frozen=True)
class Inventory:
    """The manifests' texts by shard (all splits and shards, empty ones too), and the classes in use, sorted."""

    manifests: Mapping[str, str]
    classes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of images and of annotations without image."""
        return sum(text.count("\n") for text in self.manifests.values())


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector: it would go through millions of small objects, none in a cycle, over and over."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@collector_paused()
def scan(
    data_config: Mapping, labels_config: Mapping, cache_path: str | os.PathLike, report: Report | None = None
) -> Inventory:
    """List the sources, read what is new or changed, match annotations with images, and give each its shard.

    data_config:   the user's `data` section: `sources`, `split`, `shards`.
    labels_config: the user's `labels` section: `classes` (a list, or None for whatever occurs) and `aliases`.
    cache_path:    what was read before, by path, size, times and inode; a damaged one is ignored.
    report:        called with a line of progress now and then; by default it is printed to stderr.

    An annotation belongs to the image with the same path without extension; else to the nearest one with the same base
    name; else to the one that it names itself, with a row in the ledger. It never leaves its folder if that holds
    images, nor goes from a folder that is named train, val or test to another of these. Where several claim one image,
    the one that names it wins; where none or all do, the image is rejected, with a row for each.

    Hidden files and folders (".name") are not looked at. Links are followed, each folder once.

    Raises InputError with every problem that concerns the sources as a whole: a folder or table that is not there, no
    images, no annotations, one id twice.
    """
    return scan_sources(list_sources(data_config), data_config, labels_config, cache_path, report)


def scan_sources(
    sources: Sequence[Source],
    data_config: Mapping,
    labels_config: Mapping,
    cache_path: str | os.PathLike,
    report: Report | None,
) -> Inventory:
    """Do what `scan` does with sources whose files have been listed."""
    values = read_sources(sources, cache_path, report)
    shards = int(data_config["shards"])
    classify = Classifier(labels_config)
    lines = Lines(shards)
    matched = [(Placer(source, data_config["split"], shards), *_match_source(source, values)) for source in sources]
    for source, (placer, found, _) in zip(sources, matched, strict=True):
        for relative, path, _ in source.images:
            lines.add(image_entry(relative, path, values[path], found, classify), placer)
    for placer, found, loose in matched:
        for claim, why in found.orphans:
            lines.add(orphan_entry(claim, why, classify), placer)
        for path, problem in loose:
            lines.add(row_entry(path, problem), placer)
    return Inventory(lines.texts(), tuple(sorted(classify.used)))


def _match_source(source: Source, values: Mapping[str, object]) -> tuple[Match, list[tuple[str, dict]]]:
    images = [relative for relative, *_ in source.images]
    if source.format == "csv":
        claims, loose = csv_claims(source, values)
        return match(images, claims, exact_name(images)), loose
    return match(images, voc_claims(source, values), same_stem(images)), []
