"""What was fetched, line by line as it came: what a kill leaves is known, and not fetched again.

One file for each shard, `results/images/.journal/{shard}.jsonl`. It is no output of a job, so it also outlives a job
that runs again. A line is one JSON object; one that a kill cut short is left out. Where the number of shards has
changed, an image's line is found in another shard's journal.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import orjson

FOLDER = ".journal"


@dataclass(frozen=True)
class Entry:
    """An image that was fetched.

    image:     its id.
    url:       its address, as `origins.version_url` has it; final_url: where it came from in the end.
    sha256:    of its bytes (hex); bytes: how many; format: by content.
    """

    image: str
    url: str
    final_url: str
    sha256: str
    bytes: int
    format: str


_TYPES = {each.name: each.type for each in fields(Entry)}


class Journal:
    """The journal of one shard, to write to: each entry is there for the next run as soon as `add` returns."""

    def __init__(self, folder: str | os.PathLike, shard: str) -> None:
        path = journal_path(folder, shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(path, "ab", buffering=0)  # noqa: SIM115 - open for as long as the journal is
        # What follows a line that was cut short must not be lost with it.
        if self._stream.tell() and path.read_bytes()[-1:] != b"\n":
            self._stream.write(b"\n")

    def add(self, entry: Entry) -> None:
        """Write an entry."""
        self._stream.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def journal_path(folder: str | os.PathLike, shard: str) -> Path:
    """Return where a shard's journal is; folder: that of the images."""
    return Path(folder) / FOLDER / f"{shard}.jsonl"


def recall(folder: str | os.PathLike, shard: str, images: Collection[str]) -> tuple[dict[str, Entry], set[str]]:
    """Return the last entry of each of the images, and which of them another shard's journal had."""
    own = journal_path(folder, shard)
    wanted = set(images)
    found = {entry.image: entry for entry in _read(own) if entry.image in wanted}
    missing = wanted - found.keys()
    elsewhere: dict[str, Entry] = {}
    if missing:
        others = (path for path in sorted(own.parent.glob("*.jsonl")) if path != own)
        elsewhere = {entry.image: entry for path in others for entry in _read(path) if entry.image in missing}
    return found | elsewhere, set(elsewhere)


def _read(path: Path) -> Iterator[Entry]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            values = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and {key: type(value) for key, value in values.items()} == _TYPES:
            yield Entry(**values)
