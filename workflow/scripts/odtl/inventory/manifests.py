"""The manifests and the classes as files."""

import contextlib
import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from odtl.files import write_text_if_changed
from odtl.inventory.scanning import Inventory
from odtl.manifest import manifest_path
from odtl.split import parse_shard_name

CLASSES_FILE = "classes.txt"


def write(inventory: Inventory, folder: str | os.PathLike) -> dict[str, str]:
    """Write the manifests and classes.txt into `folder`, each only when its content has changed.

    Manifests of shards that are no more are removed. Returns the SHA-256 (hex) of each shard's text.
    """
    digests = write_some(inventory.manifests, inventory.classes, folder)
    for path in Path(folder).glob("*.jsonl"):
        with contextlib.suppress(ValueError):
            parse_shard_name(path.stem)
            if path.stem not in inventory.manifests:
                path.unlink()
    return digests


def write_some(texts: Mapping[str, str], classes: Collection[str], folder: str | os.PathLike) -> dict[str, str]:
    """Do what `write` does for the manifests of some shards, and leave all others as they are."""
    folder = Path(folder)
    for name, text in texts.items():
        write_text_if_changed(manifest_path(folder, name), text)
    write_text_if_changed(folder / CLASSES_FILE, "".join(f"{name}\n" for name in classes))
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def read_classes(folder: str | os.PathLike) -> list[str]:
    """Return the classes in use, sorted, as `write` left them in `folder`."""
    return (Path(folder) / CLASSES_FILE).read_text(encoding="utf-8").splitlines()
