"""The manifests and the classes as files."""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from odtl.files import write_text_if_changed
from odtl.inventory.scanning import Inventory
from odtl.manifest import manifest_path
from odtl.split import parse_shard_name

CLASSES_FILE = "classes.txt"
SHARD_CLASSES_FILE = "classes.json"
ORIGINS_FILE = "origins.json"


def write(inventory: Inventory, folder: str | os.PathLike) -> dict[str, str]:
    """Write the manifests and lists of classes and origins into `folder`, each only when its content has changed.

    Manifests of shards that are no more are removed. Returns the SHA-256 (hex) of each shard's text.
    """
    digests = write_some(inventory.manifests, inventory.shard_classes, inventory.origins, folder)
    for path in Path(folder).glob("*.jsonl"):
        with contextlib.suppress(ValueError):
            parse_shard_name(path.stem)
            if path.stem not in inventory.manifests:
                path.unlink()
    return digests


def write_some(
    texts: Mapping[str, str],
    shard_classes: Mapping[str, Sequence[str]],
    origins: Mapping[str, str],
    folder: str | os.PathLike,
) -> dict[str, str]:
    """Write the manifests of some shards, leave all others as they are, and write the lists of all shards."""
    folder = Path(folder)
    for name, text in texts.items():
        write_text_if_changed(manifest_path(folder, name), text)
    classes = sorted(set().union(*shard_classes.values()))
    write_text_if_changed(folder / CLASSES_FILE, "".join(f"{name}\n" for name in classes))
    for name, by_shard in ((SHARD_CLASSES_FILE, shard_classes), (ORIGINS_FILE, origins)):
        text = json.dumps(by_shard, indent=1, sort_keys=True, ensure_ascii=False)
        write_text_if_changed(folder / name, f"{text}\n")
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def read_shard_classes(folder: str | os.PathLike) -> dict[str, list[str]]:
    """Return the classes in use by shard, as `write` left them in `folder`; shards without any are left out."""
    return json.loads((Path(folder) / SHARD_CLASSES_FILE).read_text(encoding="utf-8"))


def read_origins(folder: str | os.PathLike) -> dict[str, str]:
    """Return a digest of what is to be fetched by shard, as `write` left it in `folder`; shards without are left out.

    It differs where an image is to be fetched from elsewhere or is new or gone, and where what is told of it differs; a
    changed annotation does not count.
    """
    return json.loads((Path(folder) / ORIGINS_FILE).read_text(encoding="utf-8"))


def read_classes(folder: str | os.PathLike) -> list[str]:
    """Return the classes in use, sorted, as `write` left them in `folder`."""
    return (Path(folder) / CLASSES_FILE).read_text(encoding="utf-8").splitlines()
