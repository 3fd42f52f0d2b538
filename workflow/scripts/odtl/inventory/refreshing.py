"""The inventory brought up to date, with a short cut where nothing has changed."""

import contextlib
import hashlib
import json
import marshal
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from odtl.file_cache import Report, is_settled, stat_key
from odtl.files import atomic_open
from odtl.inventory.listing import Source, list_sources
from odtl.inventory.manifests import CLASSES_FILE, write
from odtl.inventory.scanning import collector_paused, scan_sources
from odtl.sources import code_digest


@collector_paused()
def refresh(
    data_config: Mapping,
    labels_config: Mapping,
    cache_path: str | os.PathLike,
    folder: str | os.PathLike,
    report: Report | None = None,
) -> dict[str, str]:
    """Scan and write, but take a short cut when no file, setting or manifest has changed since the last time.

    Arguments as for `scan` and `write`; returns the SHA-256 (hex) of each shard's manifest. Every file is still
    looked at (one stat each), but nothing is parsed, not even the cache.
    """
    started = time.time_ns()
    sources = list_sources(data_config)
    state_path = Path(f"{os.fspath(cache_path)}.state")
    fingerprint = _fingerprint(sources, data_config, labels_config)
    if (digests := _unchanged(state_path, fingerprint, Path(folder))) is not None:
        return digests
    digests = write(scan_sources(sources, data_config, labels_config, cache_path, report), folder)
    keys = {name: stat_key(os.stat(Path(folder) / name)) for name in _outputs(digests)}
    if all(is_settled(key, started) for source in sources for *_, key in source.every_file()):
        with atomic_open(state_path) as stream:
            json.dump({"fingerprint": fingerprint, "digests": digests, "keys": keys}, stream)
    return digests


def _fingerprint(sources: Sequence[Source], data_config: Mapping, labels_config: Mapping) -> str:
    settings = json.dumps([code_digest("inventory"), data_config, labels_config], sort_keys=True, default=str)
    hasher = hashlib.sha256(settings.encode())
    for source in sources:
        # Version 2 of marshal writes equal content as equal bytes; later ones look at object identity too.
        hasher.update(marshal.dumps([source.images, source.annotations], 2))
    return hasher.hexdigest()


def _unchanged(state_path: Path, fingerprint: str, folder: Path) -> dict[str, str] | None:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        state = json.loads(state_path.read_text(encoding="utf-8"))
        if state["fingerprint"] == fingerprint and all(
            stat_key(os.stat(folder / name)) == key for name, key in state["keys"].items()
        ):
            return state["digests"]
    return None


def _outputs(digests: Mapping[str, str]) -> list[str]:
    return [CLASSES_FILE, *(f"{name}.jsonl" for name in digests)]
