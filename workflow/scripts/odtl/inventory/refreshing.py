"""The inventory brought up to date, at a cost that goes by what has changed.

Nothing changed: every file is looked at (one stat each), nothing is read. Some files changed: these are read, and the
manifests of their shards are written anew. Settings, code or much changed: all lines are made anew, but what the files
hold is still known. What allows that is kept in the cache folder, and may be lost at any time.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from odtl import scratch
from odtl.duplicates.groups_file import digest_of
from odtl.file_cache import Report, is_settled, stat_key
from odtl.inventory.entries import classes_in_use
from odtl.inventory.listing import Source, list_sources, warn_of_lists
from odtl.inventory.manifests import CLASSES_FILE, ORIGINS_FILE, SHARD_CLASSES_FILE, write, write_some
from odtl.inventory.misnamed import Misnamed, concerned
from odtl.inventory.misnamed import kept as kept_misnamed
from odtl.inventory.origins import digest_of_marks, origin_mark
from odtl.inventory.pairing import Unit, pair
from odtl.inventory.paths import root_of
from odtl.inventory.scanning import (
    Plan,
    Settings,
    all_lines,
    check_ids,
    collector_paused,
    inventory_of,
    join,
    make_placings,
    make_plan,
    some_lines,
)
from odtl.inventory.tables import Tables, changed_names, kept_table, read_tables, tables_of
from odtl.manifest import manifest_path
from odtl.sources import code_digest
from odtl.split import SPLITS, shard_name, shard_of

# Above this share of the images, all lines are made anew: processes do that side by side.
_MOST_CHANGED = 0.05
_FEW = 100
_VERSION = "state 4"


@dataclass(frozen=True)
class _State:
    """What was there the last time.

    settings: digest of settings and code; listing: of the sources' files ("": one was too young to be trusted).
    outputs:  file name -> key of what was written; digests: shard -> SHA-256 of its manifest.
    """

    settings: str
    listing: str
    outputs: Mapping[str, tuple]
    digests: Mapping[str, str]


@dataclass(frozen=True)
class _Memory:
    """What it takes to see which lines a change concerns, too large to be loaded when nothing has changed.

    files:    state of each source.
    young:    relative paths of files, per source, that may have changed again without a trace.
    placings: per source.
    open:     shard and id of each line that is not of a unit.
    classes:  shard -> classes in use; origins: shard -> digest of its origins.
    misnamed: lines that hang on whether there is another image, too (see `misnamed.Misnamed`).
    """

    files: Sequence[Sequence]
    young: Sequence[Sequence[str]]
    placings: Sequence[tuple]
    open: Sequence[tuple[str, str]]
    classes: Mapping[str, Sequence[str]]
    origins: Mapping[str, str]
    misnamed: Sequence[tuple]


@collector_paused()
def refresh(
    data_config: Mapping,
    labels_config: Mapping,
    cache_path: str | os.PathLike,
    folder: str | os.PathLike,
    report: Report | None = None,
) -> dict[str, str]:
    """Bring the manifests and lists of classes in `folder` up to date.

    Returns the SHA-256 (hex) of each shard's manifest. The result is that of `write(scan(...), folder)`, whatever was
    there before. Arguments as for these.
    """
    return _Refresh(data_config, labels_config, Path(cache_path), Path(folder), report).run()


class _Refresh:
    def __init__(
        self, data_config: Mapping, labels_config: Mapping, cache: Path, folder: Path, report: Report | None
    ) -> None:
        self.data, self.folder, self.cache = data_config, folder, cache
        self.settings = Settings(labels_config, cache, report)
        self.started = time.time_ns()
        self.sources = list_sources(data_config, cache)
        warn_of_lists(self.sources, report)
        groups = digest_of(data_config["split"].get("groups"))
        self.identity = _digest(code_digest("inventory"), data_config, labels_config, groups)

    def run(self) -> dict[str, str]:
        """Do as little as will do."""
        state = self._load_state()
        listing = _listing_digest(self.sources)
        if state is not None and state.listing == listing:
            return dict(state.digests)
        memory = self._load_memory() if state is not None else None
        # Before what is kept of the tables is replaced.
        names = None if memory is None else _Tables.before(self.sources, memory, self.cache)
        tables = read_tables(self.sources, self.cache, self.started)
        change = None if names is None else _change(self.sources, self.data, memory, tables, names.changed(tables))
        if change is None:
            digests, memory = self._all(tables)
        else:
            digests, memory = self._some(change, state, memory)
        self._save(listing, digests, memory)
        return digests

    def _all(self, tables: Tables) -> tuple[dict[str, str], _Memory]:
        plan = make_plan(self.sources, self.data, tables)
        lines, added = all_lines(plan, self.settings)
        inventory = inventory_of(lines, int(self.data["shards"]))
        memory = self._memory(plan, added, inventory.shard_classes, inventory.origins, lines.misnamed)
        return write(inventory, self.folder), memory

    def _some(self, change: "_Change", state: _State, memory: _Memory) -> tuple[dict[str, str], _Memory]:
        """Replace the lines of what has changed, and of all that is not settled."""
        lines, added = some_lines(change.plan, self.settings, change.units, self.sources)
        removed: dict[str, set[str]] = {}
        for shard, line_id in [*_places(change.ids, int(self.data["shards"])), *memory.open]:
            removed.setdefault(shard, set()).add(line_id)
        texts, classes, origins = {}, dict(memory.classes), dict(memory.origins)
        for shard in removed.keys() | lines.texts.keys():
            kept = [(line["id"], text, line) for text, line in _read_lines(manifest_path(self.folder, shard))]
            kept = [entry for entry in kept if entry[0] not in removed.get(shard, ())]
            texts[shard] = join([(line_id, text) for line_id, text, _ in kept] + lines.texts.get(shard, []))
            used = lines.classes.get(shard, set()).union(*(classes_in_use(line) for *_, line in kept))
            classes[shard] = sorted(used)
            marks = [origin_mark(line_id, line["origin"]) for line_id, _, line in kept if "origin" in line]
            marks += lines.origins.get(shard, [])
            origins[shard] = digest_of_marks(marks) if marks else ""
        classes = {shard: names for shard, names in classes.items() if names}
        origins = {shard: digest for shard, digest in origins.items() if digest}
        digests = write_some(texts, classes, origins, self.folder)
        misnamed = [*kept_misnamed([Misnamed(*each) for each in memory.misnamed], removed), *lines.misnamed]
        return {**state.digests, **digests}, self._memory(change.plan, added, classes, origins, misnamed)

    def _memory(
        self,
        plan: Plan,
        added: Sequence[tuple[str, str]],
        classes: Mapping[str, Sequence[str]],
        origins: Mapping[str, str],
        misnamed: Sequence[Misnamed],
    ) -> _Memory:
        return _Memory(
            files=[source.state for source in self.sources],
            young=[_young(source, self.started) for source in self.sources],
            placings=[astuple(placing) for placing in plan.placings],
            open=list(added),
            classes=classes,
            origins=origins,
            misnamed=list(map(tuple, misnamed)),
        )

    def _load_state(self) -> _State | None:
        """Return the last state if it was of these settings and its outputs are as they were left."""
        content = scratch.load(self.cache / "state", _VERSION)
        if content is None:
            return None
        state = _State(*content)
        with contextlib.suppress(OSError):
            if state.settings == self.identity and all(
                stat_key(os.stat(self.folder / name)) == key for name, key in state.outputs.items()
            ):
                return state
        return None

    def _load_memory(self) -> _Memory | None:
        content = scratch.load(self.cache / "memory", _VERSION)
        return None if content is None else _Memory(*content)

    def _save(self, listing: str, digests: Mapping[str, str], memory: _Memory) -> None:
        # The state last: it vouches for the memory and for the outputs.
        (self.cache / "state").unlink(missing_ok=True)
        scratch.save(self.cache / "memory", _VERSION, list(vars(memory).values()))
        outputs = {name: stat_key(os.stat(self.folder / name)) for name in _outputs(digests)}
        state = _State(self.identity, "" if any(memory.young) else listing, outputs, dict(digests))
        scratch.save(self.cache / "state", _VERSION, list(vars(state).values()))


@dataclass(frozen=True)
class _Change:
    """What is not as it was: the units to make anew, and the ids of all images that are, or were, concerned."""

    plan: Plan
    units: list[tuple[int, Unit]]
    ids: set[str]


@dataclass(frozen=True)
class _Tables:
    """What each table held the last time, by source."""

    held: Sequence[Mapping[str, Mapping]]

    @classmethod
    def before(cls, sources: Sequence[Source], memory: _Memory, cache: Path) -> "_Tables | None":
        """Return that; None where it is not known, or where other files were looked at."""
        held = []
        for source, state in zip(sources, memory.files, strict=True):
            then = source.as_it_was(state)
            if source.per_image:
                held.append({})
                continue
            # What is beside the tables, and whether there is any image, concerns all of their entries.
            if source.asides != tuple(state[1 + len(source.parts) :]) or bool(source.images) != bool(then.images):
                return None
            files, now = (
                {file[1]: file for kind, _, file in tables_of(each) if kind != "urls"} for each in (then, source)
            )
            kept = {path: kept_table(source.format, path, key, cache) for path, (_, _, key) in files.items()}
            if None in kept.values() or kept.keys() != now.keys():
                return None
            held.append(kept)
        return cls(held)

    def changed(self, tables: Tables) -> list[set[str]]:
        """Return what tells the images that a table no longer says the same of, by source (see `changed_names`)."""
        return [set().union(*(changed_names(old, tables[path]) for path, old in held.items())) for held in self.held]


def _change(
    sources: Sequence[Source], data_config: Mapping, memory: _Memory, tables: Tables, names: Sequence[set[str]]
) -> _Change | None:
    """Return what is concerned by files that are not as they were; None if that is too much.

    names: what tells the images that tables no longer say the same of, by source.
    """
    placings = make_placings(sources, data_config, tables)
    if [astuple(placing) for placing in placings] != list(memory.placings):
        return None
    before = [source.as_it_was(state) for source, state in zip(sources, memory.files, strict=True)]
    roots = []
    for now, then, young, named in zip(sources, before, memory.young, names, strict=True):
        roots.append(named | {root_of(path) for path in [*now.differences(then), *young]})
    # Lines that hang on one of these files, too.
    known = [Misnamed(*each) for each in memory.misnamed]
    roots = [changed | concerned(known, number, changed) for number, changed in enumerate(roots)]
    count = sum(source.root.count() for source in sources) + sum(len(table["annotations"]) for table in tables.values())
    if sum(map(len, roots)) > max(_FEW, _MOST_CHANGED * count):
        return None
    # Where all was settled, other files have no say, but for those that were just added. If all is not settled now, the
    # plan says so.
    some = [
        source.select(wanted) if source.per_image else source for source, wanted in zip(sources, roots, strict=True)
    ]
    plan = Plan(some, [pair(source, tables) for source in some], placings, tables)
    listed = any(source.urls for source in sources)
    if memory.open or listed or any(pairing.open_annotations for pairing in plan.pairings):
        plan = Plan(sources, [pair(source, tables) for source in sources], placings, tables)
    check_ids(sources, placings, plan.pairings)
    once_open = {line_id for _, line_id in memory.open}
    units, ids = [], set()
    for number, (pairing, wanted) in enumerate(zip(plan.pairings, roots, strict=True)):
        prefix = placings[number].prefix
        # The lines of what is, or was, not settled are made anew in any case.
        ids |= {prefix + image[0] for image in pairing.open_images}
        images = [*plan.sources[number].images, *before[number].select(wanted).images]
        ids |= {prefix + image[0] for image in images if root_of(image[0]) in wanted}
        # Images that are no files are called so.
        ids |= {prefix + name for name in names[number]}
        units += [
            (number, unit)
            for unit in pairing.units
            if root_of(unit[0][0]) in wanted or prefix + unit[0][0] in once_open
        ]
    return _Change(plan, units, ids)


def _young(source: Source, at: int) -> list[str]:
    """Return the files that may change once more within the resolution of their time stamps."""
    files = [*(part for _, part in source.parts if isinstance(part, tuple)), *source.urls, *source.aside]
    tables = [path for _, path, key in files if not is_settled(key, at)]
    trees = [part for _, part in source.parts if not isinstance(part, tuple)]
    return tables + [path for tree in (source.root, *trees) for path in tree.young(at)]


def _places(ids: set[str], shards: int) -> Iterator[tuple[str, str]]:
    # Only the split of a line is not known from its id.
    for line_id in ids:
        for split in SPLITS:
            yield shard_name(split, shard_of(line_id, shards), shards), line_id


def _read_lines(path: Path) -> Iterator[tuple[str, dict]]:
    with open(path, encoding="utf-8", newline="\n") as stream:
        for text in stream:
            yield text[:-1], json.loads(text)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _listing_digest(sources: Sequence[Source]) -> str:
    hasher = hashlib.sha256()
    for source in sources:
        for part in source.state:
            hasher.update(part if isinstance(part, bytes) else repr(part).encode("utf-8", "surrogatepass"))
    return hasher.hexdigest()


def _outputs(digests: Mapping[str, str]) -> list[str]:
    return [CLASSES_FILE, SHARD_CLASSES_FILE, ORIGINS_FILE, *(f"{name}.jsonl" for name in digests)]
