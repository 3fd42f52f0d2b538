"""From the sources to the lines of the manifests: all of them, or those that a change concerns."""

import contextlib
import gc
import os
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from odtl import file_cache
from odtl.buckets import in_bucket
from odtl.errors import InputError, Problem
from odtl.file_cache import Report
from odtl.inventory.buckets import object_origin
from odtl.inventory.classes import Classifier
from odtl.inventory.entries import image_entry, orphan_entry, remote_entry, row_entry
from odtl.inventory.finding import find
from odtl.inventory.listing import HEADLINE, Source, list_sources, warn_of_lists
from odtl.inventory.misnamed import misnamed, problems_of
from odtl.inventory.origins import digest_of_marks
from odtl.inventory.pairing import Pairing, Unit, pair
from odtl.inventory.paths import stem_of
from odtl.inventory.pieces import Piece, files_of
from odtl.inventory.placing import Lines, Placer, Placing, placing_of
from odtl.inventory.reading import EXTRA
from odtl.inventory.tables import Tables, read_tables, stated_splits
from odtl.inventory.workers import work_off
from odtl.origins import shown_url
from odtl.sources import code_digest
from odtl.split import shard_names

_MOST_DUPLICATES = 20
# Pieces of the sources: few files are one, which costs one file of what is kept; else so many that one changed
# annotation costs a small part of what is kept, and that all processes have something to do.
_PIECES = 64
_SMALL = 2000


@dataclass(frozen=True)
class Inventory:
    """The manifests' texts by shard, the classes in use, sorted, by shard, and a digest of the origins by shard.

    All splits and shards have a text, be it empty; shards without a class have no entry in `shard_classes`, those
    whose images are all files have none in `origins`.
    """

    manifests: Mapping[str, str]
    shard_classes: Mapping[str, Sequence[str]]
    origins: Mapping[str, str]

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes in use, sorted."""
        return tuple(sorted(set().union(*self.shard_classes.values())))

    @property
    def size(self) -> int:
        """Number of images and of annotations without image."""
        return sum(text.count("\n") for text in self.manifests.values())


@dataclass(frozen=True)
class Plan:
    """What is to be done: each source with its pairing and its placing, and what tables hold."""

    sources: Sequence[Source]
    pairings: Sequence[Pairing]
    placings: Sequence[Placing]
    tables: Tables


@dataclass(frozen=True)
class Settings:
    """How it is done: the `labels` section, where to keep what files hold, and where progress is told."""

    labels: Mapping
    cache: Path | None
    report: Report | None


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
    data_config: Mapping, labels_config: Mapping, cache_path: str | os.PathLike | None, report: Report | None = None
) -> Inventory:
    """List the sources, read what is new or changed, match annotations with images, and give each its shard.

    data_config:   the user's `data` section: `sources`, `split`, `shards`.
    labels_config: the user's `labels` section: `classes` (a list, or None for whatever occurs) and `aliases`.
    cache_path:    folder of what was read before, by path, size, times and inode; damaged files in it are ignored.
    report:        called with a line of progress now and then; by default it is printed to stderr.

    An annotation belongs to the image with the same path without extension; else to the nearest one with the same base
    name; else to the one that it names itself, with a row in the ledger. It never leaves its folder if that holds
    images, nor goes from a folder that is named train, val or test to another of these. Where several claim one image,
    the one that names it wins; where none or all do, the image is rejected, with a row for each.

    Hidden files and folders (".name") are not looked at. Links are followed, each folder once.

    Raises InputError with every problem that concerns the sources as a whole: a folder or table that is not there, no
    images, no annotations, one id twice.
    """
    settings, started = Settings(labels_config, cache_path and Path(cache_path), report), time.time_ns()
    sources = list_sources(data_config, settings.cache)
    warn_of_lists(sources, report)
    tables = read_tables(sources, settings.cache, started)
    lines, _ = all_lines(make_plan(sources, data_config, tables), settings)
    return inventory_of(lines, int(data_config["shards"]))


def inventory_of(lines: Lines, shards: int) -> Inventory:
    """Return the inventory that consists of these lines."""
    texts = {name: join(lines.texts.get(name, ())) for name in shard_names(shards)}
    classes = {shard: sorted(names) for shard, names in lines.classes.items() if names}
    return Inventory(texts, classes, {shard: digest_of_marks(marks) for shard, marks in lines.origins.items()})


def join(lines: Collection[tuple[str, str]]) -> str:
    """Return a manifest's text from its lines, (id, text) each."""
    return "".join(f"{text}\n" for _, text in sorted(lines))


def make_plan(sources: Sequence[Source], data_config: Mapping, tables: Tables) -> Plan:
    """Return the plan for sources whose files have been listed. InputError: two images with one id."""
    placings = make_placings(sources, data_config, tables)
    pairings = [pair(source, tables) for source in sources]
    check_ids(sources, placings, pairings)
    return Plan(sources, pairings, placings, tables)


def make_placings(sources: Sequence[Source], data_config: Mapping, tables: Tables) -> list[Placing]:
    """Return the placing of each source."""
    config, shards = data_config["split"], int(data_config["shards"])
    return [placing_of(source, config, shards, stated_splits(source, tables)) for source in sources]


def all_lines(plan: Plan, settings: Settings) -> tuple[Lines, list[tuple[str, str]]]:
    """Return all lines, and shard and id of those that are not of a unit."""
    units = [(number, unit) for number, pairing in enumerate(plan.pairings) for unit in pairing.units]
    return some_lines(plan, settings, units, plan.sources, complete=True)


def some_lines(
    plan: Plan,
    settings: Settings,
    units: Sequence[tuple[int, Unit]],
    sources: Sequence[Source],
    complete: bool = False,
) -> tuple[Lines, list[tuple[str, str]]]:
    """Return the lines of some units, (number of the source, unit) each, and of all that is not settled.

    Also returns shard and id of the latter.

    sources:  with all their files, of which the plan may have some only.
    complete: these are all units there are.
    """
    lines, values = Lines(), {}
    pieces = _pieces(plan, settings, units, complete)
    progress = _Progress(pieces, settings.report)
    for done in work_off(pieces):
        lines.extend(done["texts"], done["classes"], done["origins"], done["misnamed"])
        values.update(done["values"])
        progress.add(done["count"])
    added = _add_open(lines, plan, settings, values)
    lines.add_problems(problems_of(lines.misnamed, sources))
    return lines, added


def check_ids(sources: Sequence[Source], placings: Sequence[Placing], pairings: Sequence[Pairing]) -> None:
    """Raise InputError where two images of different sources have one id."""
    if len(sources) < 2:
        # A path is in a source once, and so is an address.
        return
    owners: dict[str, str] = {}
    duplicates: list[tuple[str, str, str]] = []
    for source, placing, pairing in zip(sources, placings, pairings, strict=True):
        for relative, place in _images_of(source, pairing):
            image_id = placing.prefix + relative
            if image_id in owners:
                duplicates.append((image_id, owners[image_id], place))
            owners[image_id] = place
    _refuse(duplicates)


def _images_of(source: Source, pairing: Pairing) -> Iterator[tuple[str, str]]:
    """Yield (path in the source, where it is or is to be had) of each image that is there or settled."""
    yield from ((relative, path) for relative, path, _ in source.images)
    if not source.per_image and not source.images:
        yield from ((image[0], entry[1][EXTRA]["origin"]["url"]) for image, _, _, entry in pairing.units)


def _refuse(duplicates: Sequence[tuple[str, str, str]]) -> None:
    """Raise InputError if there are duplicates: an id, and the two places it is for."""
    cure = "Give each source a name, which is put in front of its ids."
    problems = []
    for image_id, one, other in duplicates[:_MOST_DUPLICATES]:
        both = shown_url(one) if one == other else f"both {shown_url(one)} and {shown_url(other)}"
        found = f"{image_id} in {both}{', which two sources name' if one == other else ''}"
        problems.append(Problem("config", "data.sources[].name", found, cure))
    if len(duplicates) > _MOST_DUPLICATES:
        found = f"{len(duplicates) - _MOST_DUPLICATES} more images with one id"
        problems.append(Problem("config", "data.sources[].name", found, cure))
    if problems:
        raise InputError(problems, HEADLINE)


def _pieces(plan: Plan, settings: Settings, units: Sequence[tuple[int, Unit]], complete: bool) -> list[Piece]:
    count = 1 if sum(len(source.images) for source in plan.sources) < _SMALL else _PIECES
    common = {
        "labels": {"classes": settings.labels.get("classes"), "aliases": settings.labels.get("aliases")},
        "placings": [astuple(placing) for placing in plan.placings],
        "readers": code_digest("inventory.reading"),
        "complete": complete,
    }
    pieces: list[Piece] = [
        {**common, "units": [], "files": [], "cache": _piece_path(settings, index, count)} for index in range(count)
    ]
    for unit in units:
        pieces[_piece_of(unit[1][0][0], count)]["units"].append(unit)
    for source, pairing in zip(plan.sources, plan.pairings, strict=True):
        for relative, path, key in pairing.open_images:
            if in_bucket(path):
                continue
            pieces[_piece_of(relative, count)]["files"].append(("image", path, key))
        for _, (relative, path, key) in pairing.open_annotations if source.per_image else ():
            pieces[_piece_of(relative[:-4], count)]["files"].append((source.format, path, key))
    return pieces if complete else [piece for piece in pieces if piece["units"] or piece["files"]]


def _piece_of(relative: str, count: int) -> int:
    # An image and its annotation have the same stem and so go together, whatever else there is.
    return zlib.crc32(stem_of(relative).encode("utf-8", "surrogatepass")) % count if count > 1 else 0


def _piece_path(settings: Settings, index: int, count: int) -> str | None:
    return None if settings.cache is None else str(settings.cache / f"piece-{index:03d}-of-{count:03d}")


def _add_open(lines: Lines, plan: Plan, settings: Settings, values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Add the lines of what is not settled; return shard and id of each."""
    classify = Classifier(settings.labels)
    added, remote, later = [], [], []
    planned = zip(plan.sources, plan.pairings, plan.placings, strict=True)
    for number, (source, pairing, placing) in enumerate(planned):
        if not pairing.open_annotations and not source.urls:
            continue
        found = find(source, pairing, {**plan.tables, **values})
        placer = Placer(placing)
        for relative, path, key in pairing.open_images:
            claim, problems = found.match.claims.get(relative), found.match.problems.get(relative, ())
            if (origin := object_origin(path, key)) is not None:
                entry = remote_entry(relative, origin, claim, problems, classify, found.split_of(relative))
            else:
                entry = image_entry(relative, path, values[path], claim, problems, classify, found.split_of(relative))
            added.append(lines.add_image(entry, placer))
            lines.misnamed.extend(misnamed(number, relative, added[-1], claim))
        for relative, each in found.remote.items():
            claim, problems = found.match.claims.get(relative), found.match.problems.get(relative, ())
            entry = remote_entry(relative, each.origin, claim, problems, classify, found.split_of(relative))
            added.append(lines.add_image(entry, placer))
            remote.append((added[-1][1], each.origin["url"]))
        later += [(orphan_entry(claim, why, classify), placer) for claim, why in found.match.orphans]
        later += [(row_entry(path, problem), placer) for path, problem in found.loose]
    if not remote and not later:
        return added
    taken = {
        placing.prefix + relative: place
        for source, placing, pairing in zip(plan.sources, plan.placings, plan.pairings, strict=True)
        for relative, place in _images_of(source, pairing)
    }
    duplicates = []
    for image_id, url in remote:
        if image_id in taken:
            duplicates.append((image_id, taken[image_id], url))
        taken[image_id] = url
    _refuse(duplicates)
    for entry, placer in later:
        added.append(lines.add_other(entry, placer, taken))
        taken[added[-1][1]] = ""
    return added


class _Progress:
    """A line now and then, of how far the reading is."""

    def __init__(self, pieces: Sequence[Piece], report: Report | None) -> None:
        units = [unit for piece in pieces for _, unit in piece["units"]]
        self._total = sum(map(files_of, units)) + sum(len(piece["files"]) for piece in pieces)
        self._report = report or file_cache.print_progress
        self._done = 0
        self._begun = self._told = time.monotonic()

    def add(self, count: int) -> None:
        """Tell that so many more files have been looked at."""
        self._done += count
        now = time.monotonic()
        if now - self._told > file_cache.PROGRESS_SECONDS and self._done:
            self._told = now
            left = (now - self._begun) / self._done * (self._total - self._done)
            self._report(f"inventory: {self._done:,} of {self._total:,} files looked at, about {left:.0f} s left")
