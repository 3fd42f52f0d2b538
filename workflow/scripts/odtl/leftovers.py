"""What earlier runs left in the results folder that no stage reads any more.

Stages expand their inputs from the shards and experiments of the configuration and never list a folder: leftovers take
room, nothing more.
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from odtl.split import parse_shard_name

# Folders with a file, or a few, for each shard.
SHARDED = (
    *("fetched", "hashes", "boxes", "repairs", "records"),
    *("logs/fetch_images", "logs/hash_images", "logs/make_boxes", "logs/write_records"),
)
# Where an experiment's folder is told by: nothing else has it.
_EXPERIMENT = "experiment.yaml"


def files_of_other_shards(results: str | os.PathLike, shards: Collection[str]) -> Iterator[Path]:
    """Yield the files below the folder `results` that belong to a shard which is not one of `shards`."""
    for folder in SHARDED:
        for path in sorted((Path(results) / folder).glob("*")):
            if path.is_file() and _is_shard(path.stem) and path.stem not in shards:
                yield path


def other_experiments(results: str | os.PathLike, experiments: Collection[str]) -> Iterator[Path]:
    """Yield the folders in `results` of experiments that are not among `experiments`."""
    for path in sorted(Path(results).glob(f"*/{_EXPERIMENT}")):
        if path.parent.name not in experiments:
            yield path.parent


def tidy(results: str | os.PathLike, shards: Collection[str], experiments: Collection[str]) -> str:
    """Remove the files of other shards; return what was removed and which other experiments there are, as a text.

    Files of shards can be made again at any time. An experiment may have taken days, and its training may be gone on
    with: its folder is only named.
    """
    files = list(files_of_other_shards(results, shards))
    size = sum(path.stat().st_size for path in files)
    for path in files:
        path.unlink()
    lines = [f"Removed: {len(files)} file(s) of shards that are no more, {size / 1e6:.1f} MB."]
    lines += [
        f"Not in the configuration, and left alone: {folder.as_posix()}, {_size(folder) / 1e6:.1f} MB. "
        "Delete it yourself if it is not needed."
        for folder in other_experiments(results, experiments)
    ]
    return "\n".join(lines)


def _is_shard(stem: str) -> bool:
    try:
        parse_shard_name(stem)
    except ValueError:
        return False
    return True


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
