"""Sources that lie in a bucket: images by the bucket's listing alone, annotations by copies that follow their etags.

A listing is one request for each 1,000 objects, and says all that the inventory needs of an image: its key, its size
and its etag. No image is fetched for it. Annotations are small, and are read here: each is fetched once for each etag
it has had, into a folder of copies from which they are read as any others.
"""

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from odtl import scratch
from odtl.annotations.model import Origin
from odtl.buckets import BucketError, Client, Listed, in_bucket, object_url, split_address
from odtl.errors import Problem
from odtl.file_cache import Key, key_of
from odtl.files import atomic_open
from odtl.inventory.folders import Folder, Tree
from odtl.inventory.names import NAME_FILES
from odtl.inventory.paths import IMAGE_EXTENSIONS, folder_of
from odtl.origins import shown_url

FOLDER = "buckets"
_VERSION = "copies 2"
_PARALLEL = 16
_CURE = "Correct the address, or what the environment says of endpoint and credentials: docs/storage.md."


class Buckets:
    """What buckets hold, each prefix listed once.

    cache: folder to keep copies of annotations in; None: in one of its own.
    """

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._client: Client | None = None
        self._listings: dict[str, list[tuple[str, Listed]] | None] = {}

    def images(self, address: str, field: str, problems: list[Problem]) -> Tree:
        """Return the images below an address, as a tree: their extension tells, for none of them is opened.

        Their paths are addresses, and the last number of their keys holds the etag (see `object_origin`).
        """
        folders: dict[str, Folder] = {}
        for relative, each in self._below(address, field, problems):
            if relative[relative.rfind(".") :].lower() in IMAGE_EXTENSIONS:
                prefix = folder_of(relative)
                path = f"{address}/{prefix}".rstrip("/")
                folder = folders.setdefault(prefix, Folder(prefix, path, [], []))
                folder.names.append(relative[len(prefix) :])
                folder.keys.extend(_key(each))
        return Tree(list(folders.values()))

    def copies(self, address: str, endings: Collection[str], field: str, problems: list[Problem]) -> str | None:
        """Bring copies of the annotations at or below an address up to date; return the path of the file or folder.

        None where there is nothing, which is added to `problems`.

        endings: of the names of annotations, in lower case.
        """
        below = self._below(address, field, problems)
        if not below:
            return None
        if self._cache is None:
            self._cache = Path(tempfile.mkdtemp(prefix="odtl-"))
        bucket, key = split_address(address)
        # Another source may have other annotations at the same address.
        mark = hashlib.sha256(repr((address, sorted(endings))).encode()).hexdigest()[:12]
        root = os.path.normpath(f"{self._cache.as_posix()}/{FOLDER}/{mark}")
        target = os.path.normpath(f"{root}/{bucket}/{key}")
        wanted = {
            os.path.normpath(f"{target}/{relative}"): each
            for relative, each in below
            if relative.lower().endswith(tuple(endings)) or relative.rpartition("/")[2] in NAME_FILES or not relative
        }
        marks_path = f"{root}.etags"
        kept = scratch.load(marks_path, _VERSION) or {}
        stale = {path: each for path, each in wanted.items() if kept.get(path) != (each.etag, key_of(path))}
        # Also what a killed run has copied, and has not told of.
        for folder, _, names in os.walk(root):
            for path in (f"{folder}/{name}" for name in names):
                if path not in wanted:
                    os.unlink(path)
        failed = self._copy(bucket, stale, field, problems)
        if stale or kept.keys() != wanted.keys():
            marks = {path: (each.etag, key_of(path)) for path, each in wanted.items() if path not in failed}
            scratch.save(marks_path, _VERSION, marks)
        return target

    def _copy(self, bucket: str, stale: dict[str, Listed], field: str, problems: list[Problem]) -> set[str]:
        def copy(path: str) -> BucketError | None:
            try:
                data = self._asked().read(bucket, stale[path].key, stale[path].etag)
            except BucketError as error:
                return error
            with atomic_open(path, "wb") as stream:
                stream.write(data)
            return None

        failed: set[str] = set()
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for path, error in zip(stale, pool.map(copy, stale), strict=True):
                if error is not None:
                    failed.add(path)
                    problems.append(Problem("config", field, f"{object_url(bucket, stale[path].key)} ({error})", _CURE))
        return failed

    def _below(self, address: str, field: str, problems: list[Problem]) -> Sequence[tuple[str, Listed]]:
        """Return what is at or below an address, (path relative to it, "" for itself; object) each."""
        if address not in self._listings:
            try:
                found = list(self._list(*split_address(address)))
                if not found:
                    problems.append(Problem("config", field, f"nothing at {address}", _CURE))
            except (BucketError, ValueError) as error:
                found = []
                problems.append(Problem("config", field, f"{shown_url(address)} ({error})", _CURE))
            self._listings[address] = found
        return self._listings[address]

    def _list(self, bucket: str, key: str) -> Iterator[tuple[str, Listed]]:
        for each in self._asked().listing(bucket, key):
            relative = each.key[len(key) :]
            if key and relative and not relative.startswith("/"):
                # s3://bucket/images is not s3://bucket/images-old.
                continue
            relative = relative.removeprefix("/") if key else relative
            parts = relative.split("/")
            # "a/" stands for a folder; as on a disk, hidden files are left out, and "..", which leads out of it.
            if not each.key.endswith("/") and not (relative and any(not part or part[0] == "." for part in parts)):
                yield relative, each

    def _asked(self) -> Client:
        if self._client is None:
            self._client = Client(_PARALLEL)
        return self._client


def _key(each: Listed) -> tuple[int, int, int, int]:
    # As old as can be: what is listed does not change without another etag.
    return each.size, each.mtime, 0, int.from_bytes(each.etag.encode(), "big")


def object_origin(path: str, key: Key) -> dict[str, str] | None:
    """Return the origin of an image that lies in a bucket, by its path and key, as a manifest's line has it."""
    if not in_bucket(path):
        return None
    number = key[3]
    etag = number.to_bytes((number.bit_length() + 7) // 8, "big").decode()
    bucket, name = split_address(path)
    origin = Origin(object_url(bucket, name), etag=etag)
    return {field: value for field, value in vars(origin).items() if value or field not in ("label",)}
