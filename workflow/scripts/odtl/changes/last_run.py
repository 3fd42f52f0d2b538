"""The record of the last finished run: the settings and the manifests it went by."""

import contextlib
import datetime
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from odtl.files import atomic_open, sha256_of, write_json
from odtl.manifest import manifest_path

RECORD = "run.json"


@dataclass(frozen=True)
class LastRun:
    """What the last finished run went by.

    finished: when it ended.
    settings: the whole configuration, defaults filled in.
    classes:  the classes in the data.
    digests:  shard -> SHA-256 (hex) of its manifest.
    folder:   where the manifests are kept.
    """

    finished: datetime.datetime
    settings: Mapping
    classes: tuple[str, ...]
    digests: Mapping[str, str]
    folder: Path

    def manifest(self, shard: str) -> Path:
        """Return the manifest of a shard as that run had it; ValueError or OSError: what was kept is not that."""
        path = self.folder / _kept_name(shard, self.digests[shard])
        if sha256_of(path) != self.digests[shard]:
            raise ValueError(f"{path} is damaged")
        return path


def read_last_run(folder: str | os.PathLike) -> LastRun | None:
    """Return the record that `keep_last_run` left in `folder`; None where there is none that can be read."""
    folder = Path(folder)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        finished = datetime.datetime.fromisoformat(record["finished"])
        return LastRun(finished, record["settings"], tuple(record["classes"]), dict(record["manifests"]), folder)
    return None


def keep_last_run(
    settings: Mapping,
    classes: Sequence[str],
    digests: Mapping[str, str],
    inventory: str | os.PathLike,
    folder: str | os.PathLike,
    finished: datetime.datetime,
) -> bool:
    """Make what a run went by the record of the last finished run.

    settings:  the whole configuration; classes: those in the data; finished: when the run ended, with its time zone.
    digests:   shard -> SHA-256 (hex) of its manifest in the folder `inventory`, as the run began with it.
    folder:    where the record is kept.

    Only manifests that changed are copied, each under a name of its own: until the last step, which replaces one small
    file, the old record stands as it was. Returns False, and leaves it so, where a manifest is no longer as the run
    began with it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    kept = {_kept_name(shard, digest): (shard, digest) for shard, digest in digests.items()}
    present = {path.name for path in folder.iterdir()}
    for name, (shard, digest) in kept.items():
        if name not in present:
            # Not a hard link: a link alters the ctime, by which the scan knows that a manifest is its own.
            content = manifest_path(inventory, shard).read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                return False
            with atomic_open(folder / name, "wb") as stream:
                stream.write(content)
    record = {"finished": finished.isoformat(timespec="seconds"), "settings": settings, "classes": list(classes)}
    # Through JSON once: YAML knows dates, JSON does not.
    record = json.loads(json.dumps({**record, "manifests": dict(digests)}, default=str))
    write_json(folder / RECORD, record)
    for name in present - kept.keys() - {RECORD}:
        (folder / name).unlink(missing_ok=True)
    return True


def _kept_name(shard: str, digest: str) -> str:
    return f"{shard}.{digest[:16]}.jsonl"
