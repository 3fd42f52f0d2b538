"""A shard's table of fingerprints: one row per image that can be decoded, in the order of the manifest."""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from odtl import images
from odtl.duplicates.fingerprints import LEAST_PIXELS, Fingerprint, fingerprint
from odtl.errors import InputError, Problem
from odtl.fetching.ledger import Row, as_fetched
from odtl.files import CHANGED_MEANWHILE, atomic_open, check_digest, sha256_of
from odtl.images import ImageError
from odtl.manifest import Line, image_digest, read_manifest
from odtl.sidecars import read_sidecar, write_sidecar

COLUMNS = ("image", "sha256", "hash", "mirror_hash", "thumbnail")


@dataclass(frozen=True)
class Hashed:
    """One row: an image's id, the SHA-256 of its file (hex), and what it looks like."""

    image: str
    sha256: str
    look: Fingerprint


def hash_images(
    manifest_path: str | os.PathLike,
    hashes_path: str | os.PathLike,
    sidecar_path: str | os.PathLike,
    images_sha256: str | None = None,
    fetched: Mapping[str, Row] | None = None,
) -> dict[str, int]:
    """Write the fingerprints of one shard's images; return how many there are, and how many are too plain for one.

    images_sha256: what `image_digest` of the manifest must be; None: whatever it is.
    fetched:       the rows of the ledger of images that were fetched, by image; None: there are none.

    What is no whole image has no row: the boxes stage rejects it. Annotations play no part, so that a relabelled image
    is not decoded again. Raises InputError where an image is no longer what the inventory listed.
    """
    lines = read_manifest(manifest_path)
    check_digest(manifest_path, image_digest(lines), images_sha256, CHANGED_MEANWHILE)
    counts = {"images": 0, "plain": 0}
    with atomic_open(hashes_path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in look_at(as_fetched(line, fetched or {}) for line in lines):
            counts["images"] += 1
            counts["plain"] += row.look.hash is None
            look = row.look
            writer.writerow([row.image, row.sha256, _hex(look.hash), _hex(look.mirror), look.thumbnail.hex()])
    write_sidecar(sidecar_path, {"hashes": hashes_path}, of_images=image_digest(lines), **counts)
    return counts


def look_at(lines: Iterable[Line]) -> Iterator[Hashed]:
    """Yield what each image looks like; InputError, after the last one, with all that are no longer what was listed."""
    changed: list[Problem] = []
    for line in lines:
        try:
            look = _look(line)
        except _ChangedError as error:
            cure = "It has changed since it was listed; run again."
            changed.append(Problem(str(line.image), "image", str(error), cure))
            continue
        if look is not None:
            yield Hashed(line.id, str(line.sha256), look)
    if changed:
        raise InputError(changed, f"{len(changed)} image(s) changed while the workflow ran")


def is_current(hashes_path: str | os.PathLike, sidecar_path: str | os.PathLike, lines: Iterable[Line]) -> bool:
    """Return whether a table is there, whole, and of the images that these lines name."""
    try:
        sidecar = read_sidecar(sidecar_path)
        recorded = sidecar["files"]["hashes"]["sha256"]
        return sidecar["of_images"] == image_digest(lines) and sha256_of(hashes_path) == recorded
    except (OSError, ValueError, KeyError):
        return False


def read_hashes(path: str | os.PathLike) -> Iterator[Hashed]:
    """Yield the rows of a table that `hash_images` wrote."""
    with open(path, encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        if tuple(next(reader, ())) != COLUMNS:
            cure = f"Expected the columns {','.join(COLUMNS)}: delete the file and run again."
            raise InputError(Problem(str(path), "header", "others", cure))
        for image, sha256, look, mirror, thumbnail in reader:
            yield Hashed(image, sha256, Fingerprint(_number(look), _number(mirror), bytes.fromhex(thumbnail)))


def as_arrays(looks: list[Fingerprint]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hashes and mirror hashes, uint64 (N,), and thumbnails, uint8 (N, `THUMBNAIL_BYTES`); none may be plain."""
    hashes = np.array([look.hash for look in looks], dtype=np.uint64)
    mirrors = np.array([look.mirror for look in looks], dtype=np.uint64)
    thumbnails = np.frombuffer(b"".join(look.thumbnail for look in looks), dtype=np.uint8)
    return hashes, mirrors, thumbnails.reshape(len(looks), -1)


class _ChangedError(Exception):
    pass


def _look(line: Line) -> Fingerprint | None:
    if line.image is None or line.sha256 is None:
        return None
    try:
        data = images.read_listed(line.image, line.sha256)
    except ImageError as error:
        raise _ChangedError(error.found) from error
    try:
        return fingerprint(images.small_rgb(data, LEAST_PIXELS, images.probe(data)))
    except ImageError:
        return None


def _hex(value: int | None) -> str:
    return "" if value is None else f"{value:016x}"


def _number(text: str) -> int | None:
    return int(text, 16) if text else None
