"""Each line's id, group and shard."""

import json
import re
from collections.abc import Mapping

from odtl.errors import InputError, Problem
from odtl.inventory.entries import Entry
from odtl.inventory.listing import HEADLINE, Source
from odtl.inventory.paths import folder_split
from odtl.split import SPLITS, assign, group_of, shard_name, shard_names, shard_of

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_MOST_DUPLICATES = 20


class Placer:
    """From an image's path in its source to its id, group and shard; `config` is the `split` section."""

    def __init__(self, source: Source, config: Mapping, shards: int) -> None:
        self.prefix = f"{source.name}/" if source.name else ""
        self._mode = source.split
        self._fractions = config["fractions"]
        self._seed = str(config.get("seed") or "")
        self._pattern = re.compile(config["group"]) if config.get("group") else None
        self._shards = shards
        present = {split for split, _ in source.annotations if split is not None}
        if self._mode == "from_folders":
            present |= {folder_split(relative) for relative, *_ in source.images}
        share = float(config.get("val_from_train") or 0)
        # Only where the source has no val of its own.
        self._train = None if "val" in present or not share else {"train": 1 - share, "val": share}

    def place(self, relative: str, split: str | None) -> tuple[str, str, str]:
        """Return id, group and shard; `split` is what the configuration gives the image's annotation, if that."""
        image_id = self.prefix + relative
        group = group_of(image_id, self._pattern)
        shard = shard_name(self._split(relative, group, split), shard_of(image_id, self._shards), self._shards)
        return image_id, group, shard

    def _split(self, relative: str, group: str, split: str | None) -> str:
        if self._mode in SPLITS:
            return self._mode
        if split is None and self._mode == "from_folders":
            split = folder_split(relative)
        if split is None:
            return assign(group, self._fractions, self._seed)
        return assign(group, self._train, self._seed) if split == "train" and self._train else split


class Lines:
    """The lines of all shards as they come together, each id once."""

    def __init__(self, shards: int) -> None:
        self._of_shard: dict[str, list[tuple[str, str]]] = {name: [] for name in shard_names(shards)}
        self._ids: dict[str, str] = {}
        self._duplicates: list[Problem] = []

    def add(self, entry: Entry, placer: Placer) -> None:
        """Add an entry. All images come first: an annotation without image never takes the id of an image."""
        image_id, group, shard = placer.place(entry.relative, entry.split)
        if image_id in self._ids:
            if entry.line["image"] is not None:
                self._refuse(image_id, entry.line["image"])
                return
            # Not an image but an annotation without one: its own file tells it apart.
            image_id = placer.prefix + entry.fallback
            while image_id in self._ids:
                image_id += " (again)"
        self._ids[image_id] = entry.line["image"] or entry.fallback
        self._of_shard[shard].append((image_id, _encode({**entry.line, "id": image_id, "group": group})))

    def texts(self) -> dict[str, str]:
        """Return each shard's text, its lines sorted by id. InputError: two images with one id."""
        if self._duplicates:
            raise InputError(self._duplicates, HEADLINE)
        return {name: "".join(f"{text}\n" for _, text in sorted(lines)) for name, lines in self._of_shard.items()}

    def _refuse(self, image_id: str, image: str) -> None:
        if len(self._duplicates) < _MOST_DUPLICATES:
            found = f"{image_id} in both {self._ids[image_id]} and {image}"
            cure = "Give each source a name, which is put in front of its ids."
            self._duplicates.append(Problem("config", "data.sources[].name", found, cure))
