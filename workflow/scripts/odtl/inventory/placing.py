"""Each line's id, group and shard."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from odtl.duplicates.groups_file import digest_of, read_groups
from odtl.inventory.entries import Entry
from odtl.inventory.kinds import is_image_name
from odtl.inventory.listing import Source
from odtl.inventory.misnamed import Misnamed
from odtl.inventory.origins import origin_mark
from odtl.inventory.paths import folder_split
from odtl.split import SPLITS, assign, group_of, shard_name, shard_of

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


@dataclass(frozen=True)
class Placing:
    """What a source's ids, groups, shards and classes follow from, besides what its files hold and are called.

    prefix:    goes in front of the ids.
    mode:      the source's `split`.
    fractions: share of each split for images that go by hash; train: the same for those of the train split, if some
               of them are to be taken for validation.
    group:     regular expression, or None.
    groups:    path of a file that goes before it, or None; groups_digest: of what it says.
    kind:      the source's format.
    names:     of classes that annotations give by number, or None.
    lists:     digest of what lists say about splits.
    """

    prefix: str
    mode: str
    fractions: Mapping[str, float]
    train: Mapping[str, float] | None
    seed: str
    group: str | None
    groups: str | None
    groups_digest: str
    shards: int
    kind: str
    names: tuple[str, ...] | None
    lists: str


def placing_of(source: Source, config: Mapping, shards: int, stated: Collection[str] = ()) -> Placing:
    """Return a source's placing; `config` is the `split` section, `stated` the splits that its tables state."""
    present = {split for split, _ in source.parts if split is not None} | set(stated)
    if source.split == "from_folders":
        folders = (each for each in source.root.folders if any(map(is_image_name, each.names)))
        present |= {folder_split(folder.prefix) for folder in folders}
        present |= source.lists.splits if source.lists else set()
    share = float(config.get("val_from_train") or 0)
    return Placing(
        prefix=f"{source.name}/" if source.name else "",
        mode=source.split,
        fractions=dict(config["fractions"]),
        # Only where the source has no val of its own.
        train=None if "val" in present or not share else {"train": 1 - share, "val": share},
        seed=str(config.get("seed") or ""),
        group=config.get("group") or None,
        groups=config.get("groups") or None,
        groups_digest=digest_of(config.get("groups")),
        shards=shards,
        kind=source.format,
        names=source.names,
        lists=source.lists.digest if source.lists else "",
    )


class Placer:
    """From an image's path in its source to its id, group and shard."""

    def __init__(self, placing: Placing) -> None:
        self.prefix, self.kind, self.names = placing.prefix, placing.kind, placing.names
        self._placing = placing
        self._pattern = re.compile(placing.group) if placing.group else None
        self._groups = read_groups(placing.groups, placing.groups_digest)

    def place(self, relative: str, split: str | None) -> tuple[str, str, str]:
        """Return id, group and shard; `split` is what the configuration gives the image's annotation, if that."""
        image_id, shards = self.prefix + relative, self._placing.shards
        listed = self._groups.get(image_id)
        group = listed.name if listed else group_of(image_id, self._pattern)
        # The groups' file has the last word: an image that folders put into two splits leaves one of them.
        split = (listed and listed.split) or self._split(relative, group, split)
        return image_id, group, shard_name(split, shard_of(image_id, shards), shards)

    def _split(self, relative: str, group: str, split: str | None) -> str:
        placing = self._placing
        if placing.mode in SPLITS:
            return placing.mode
        if split is None and placing.mode == "from_folders":
            split = folder_split(relative)
        if split is None:
            return assign(group, placing.fractions, placing.seed)
        return assign(group, placing.train, placing.seed) if split == "train" and placing.train else split


@dataclass(frozen=True)
class Lines:
    """Some lines of the manifests, by shard: (id, text), the classes in use through them, and the origins they name.

    An origin is here as `origin_mark` has it. Those in `misnamed` may get a problem more: see `add_problems`.
    """

    texts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    classes: dict[str, set[str]] = field(default_factory=dict)
    origins: dict[str, list[str]] = field(default_factory=dict)
    misnamed: list[Misnamed] = field(default_factory=list)

    def add_image(self, entry: Entry, placer: Placer) -> tuple[str, str]:
        """Add the line of an image; return its shard and id."""
        image_id, group, shard = placer.place(entry.relative, entry.split)
        return self._add(shard, image_id, group, entry)

    def add_other(self, entry: Entry, placer: Placer, taken: Collection[str]) -> tuple[str, str]:
        """Add the line of what has no image; return its shard and id.

        taken: ids that it must not get: its own file tells it apart.
        """
        image_id, group, shard = placer.place(entry.relative, entry.split)
        if image_id in taken:
            image_id = placer.prefix + entry.fallback
            while image_id in taken:
                image_id += " (again)"
        return self._add(shard, image_id, group, entry)

    def extend(
        self,
        texts: Mapping[str, Iterable[tuple[str, str]]],
        classes: Mapping[str, Iterable[str]],
        origins: Mapping[str, Iterable[str]],
        misnamed: Iterable[tuple] = (),
    ) -> None:
        """Add lines that were made elsewhere."""
        for shard, lines in texts.items():
            self.texts.setdefault(shard, []).extend(lines)
        for shard, names in classes.items():
            self.classes.setdefault(shard, set()).update(names)
        for shard, marks in origins.items():
            self.origins.setdefault(shard, []).extend(marks)
        self.misnamed.extend(Misnamed(*each) for each in misnamed)

    def add_problems(self, problems: Mapping[str, Mapping[str, dict[str, str]]]) -> None:
        """Add a problem, which rejects nothing, to some lines: shard -> id -> problem."""
        for shard, by_id in problems.items():
            for index, (line_id, text) in enumerate(self.texts[shard]):
                if line_id in by_id:
                    line = json.loads(text)
                    line["problems"].append(by_id[line_id])
                    self.texts[shard][index] = (line_id, _encode(line))

    def _add(self, shard: str, image_id: str, group: str, entry: Entry) -> tuple[str, str]:
        text = _encode({**entry.line, "id": image_id, "group": group})
        self.texts.setdefault(shard, []).append((image_id, text))
        self.classes.setdefault(shard, set()).update(entry.classes)
        if "origin" in entry.line:
            self.origins.setdefault(shard, []).append(origin_mark(image_id, entry.line["origin"]))
        return shard, image_id
