"""One piece of the sources: read what is new or changed in it, and make the lines of its units.

A piece is a plain dict, and so is what comes of it: both go through a pipe to and from another process.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from odtl import scratch
from odtl.buckets import in_bucket
from odtl.file_cache import Key, is_settled
from odtl.inventory import reading
from odtl.inventory.buckets import object_origin
from odtl.inventory.claims import entry_claim, file_claim
from odtl.inventory.classes import Classifier
from odtl.inventory.entries import image_entry, remote_entry
from odtl.inventory.misnamed import misnamed
from odtl.inventory.pairing import Unit
from odtl.inventory.placing import Lines, Placer, Placing

_CACHE_VERSION = "piece 2"


class Piece(TypedDict):
    """Some files of the sources.

    units:    (number of the source, unit): lines to make.
    files:    (kind, path, key): files that are only to be read.
    labels:   the `labels` section; placings: one for each source, as tuples.
    cache:    where to keep what files hold; None: nowhere.
    readers:  version of the annotations' readers: what another one read is read anew.
    complete: whether these are all files of the piece: the cache forgets all others.
    """

    units: list[tuple[int, Unit]]
    files: list[tuple[str, str, Key]]
    labels: dict
    placings: list[tuple]
    cache: str | None
    readers: str
    complete: bool


class Done(TypedDict):
    """What came of a piece.

    Lines, classes and origins by shard; the lines whose annotation names another image; what its files hold, how many
    were looked at.
    """

    texts: dict[str, list[tuple[str, str]]]
    classes: dict[str, set[str]]
    origins: dict[str, list[str]]
    misnamed: list[tuple]
    values: dict[str, object]
    count: int


def work(piece: Piece) -> Done:
    """Read and make the lines of a piece."""
    kept = _Kept(piece)
    classify = Classifier(piece["labels"])
    placers = [Placer(Placing(*placing)) for placing in piece["placings"]]
    lines = Lines()
    for number, (image, split, annotation, entry) in piece["units"]:
        placer, claim = placers[number], None
        if entry is not None:
            claim = entry_claim(annotation[1], split, entry)
        elif annotation is not None:
            content = kept.value(placer.kind, annotation[1], annotation[2])
            claim = file_claim(annotation, split, content, placer.names)
        if (origin := object_origin(image[1], image[2])) is not None:
            place = lines.add_image(remote_entry(image[0], origin, claim, (), classify, split), placer)
            lines.misnamed.extend(misnamed(number, image[0], place, claim))
        elif image[1]:
            value = kept.value("image", image[1], image[2])
            place = lines.add_image(image_entry(image[0], image[1], value, claim, (), classify, split), placer)
            lines.misnamed.extend(misnamed(number, image[0], place, claim))
        else:
            lines.add_image(remote_entry(image[0], claim.extra["origin"], claim, (), classify, split), placer)
    values = {path: kept.value(kind, path, key) for kind, path, key in piece["files"]}
    kept.save()
    count = sum(files_of(unit) for _, unit in piece["units"]) + len(values)
    # A pipe takes plain tuples only.
    other = {"misnamed": list(map(tuple, lines.misnamed)), "values": values, "count": count}
    return {"texts": lines.texts, "classes": lines.classes, "origins": lines.origins, **other}


def files_of(unit: Unit) -> int:
    """Return how many files are to be looked at for a unit."""
    image, _, annotation, entry = unit
    return bool(image[1] and not in_bucket(image[1])) + (annotation is not None and entry is None)


class _Kept:
    """What the files of a piece held when they were last read, by kind and path."""

    def __init__(self, piece: Piece) -> None:
        self._path = None if piece["cache"] is None else Path(piece["cache"])
        self._readers, self._started = piece["readers"], time.time_ns()
        content = None if self._path is None else scratch.load(self._path, _CACHE_VERSION)
        old: Mapping = content or {"readers": "", "files": {}}
        # The digest of an image's bytes is the same whoever reads it.
        same = old["readers"] == self._readers
        self._old = {kind: old["files"].get(kind, {}) if same or kind == "image" else {} for kind in reading.READERS}
        self._new: dict[str, dict] = {kind: {} if piece["complete"] else dict(self._old[kind]) for kind in self._old}
        self._changed = content is None

    def value(self, kind: str, path: str, key: Key) -> object:
        """Return what a file holds."""
        entry = self._old[kind].get(path)
        if entry is not None and key is not None and entry[0] == key:
            self._new[kind][path] = entry
            return entry[1]
        value = reading.READERS[kind](path, key)
        self._changed = True
        # An image that could not be read may be readable the next time, without a change of its key.
        if is_settled(key, self._started) and not (kind == "image" and isinstance(value, dict)):
            self._new[kind][path] = (key, value)
        else:
            self._new[kind].pop(path, None)
        return value

    def save(self) -> None:
        """Keep what is known now."""
        gone = any(len(self._new[kind]) != len(self._old[kind]) for kind in self._new)
        if self._path is not None and (self._changed or gone):
            scratch.save(self._path, _CACHE_VERSION, {"readers": self._readers, "files": self._new})
