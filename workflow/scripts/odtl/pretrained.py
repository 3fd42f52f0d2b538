"""Pretrained weights: how a model's checkpoint gets here, from the repository, a mirror or its published address.

The same bytes ever after: a checksum that the zoo does not pin is recorded at the first fetch. Nothing of an archive is
trusted.
"""

import contextlib
import fcntl
import json
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from odtl.bundle import check_checkpoint
from odtl.download import NotFoundError, Policy, download, without_password
from odtl.errors import InputError, Problem, said_by
from odtl.files import atomic_folder, folder_sha256, sha256_of, write_json
from odtl.zoo import Model

_MAX_MEMBERS = 10_000
_MAX_UNPACKED_BYTES = 8 << 30
_ARCHIVE_SUFFIX = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$")


@dataclass(frozen=True)
class Fetching:
    """How `fetch` goes about it: the download's patience, where its messages go, and how it waits."""

    policy: Policy = field(default_factory=Policy)
    report: Callable[[str], None] = print
    sleep: Callable[[float], None] = time.sleep


def fetch(
    model: Model,
    target_folder: str | os.PathLike,
    mirror: str | None = None,
    checksums_path: str | os.PathLike | None = None,
    fetching: Fetching | None = None,
) -> dict[str, Any]:
    """Put a model's checkpoint and `source.json` into `target_folder`, whole or not at all; return the latter.

    The source is the model's `path`, else `mirror`, else its published address. `mirror` is a folder or an http(s)
    address that holds the archive under its name; a folder may also hold it unpacked, under its name without
    `.tar.gz`.

    checksums_path: a JSON file, to be kept with the project: name -> sha256. What is not pinned in the zoo is
    recorded there at the first fetch, and must be the same ever after.

    source.json: `model`, `prefix` (checkpoint prefix relative to the folder), `sha256`, `url` (an address or a path),
    `licence`. Raises InputError where nothing is found, a checksum differs, an archive is unsafe or damaged, or there
    is no whole checkpoint in it.
    """
    fetching = fetching or Fetching()
    parent = Path(target_folder).parent
    parent.mkdir(parents=True, exist_ok=True)
    # Not where the system keeps temporary files: that may be small, or in memory.
    with (
        tempfile.TemporaryDirectory(dir=parent, prefix=".download-") as scratch,
        atomic_folder(target_folder) as folder,
    ):
        found = _find(model, mirror, Path(scratch), fetching)
        digest = folder_sha256(found.path) if found.path.is_dir() else sha256_of(found.path)
        key = f"{model.name}/" if found.path.is_dir() else model.name
        # A pinned sum of an archive says nothing of the same archive unpacked.
        pin = model.sha256 if model.path or not found.path.is_dir() else None
        expected = pin or _read_checksums(checksums_path).get(key)
        if expected and expected != digest:
            raise _mismatch(model, found.url, expected, digest, None if pin else checksums_path, key)
        _unpack(found.path, folder)
        prefix = find_checkpoint(folder, found.url)
        check_checkpoint(prefix)
        source = {
            "model": model.name,
            "prefix": prefix.relative_to(folder).as_posix(),
            "sha256": digest,
            "url": found.url,
            "licence": dict(model.licence),
        }
        write_json(folder / "source.json", source)
        # What the repository itself holds is under its version control.
        if not expected and not model.path and checksums_path:
            _record_checksum(checksums_path, key, digest, found.url)
            fetching.report(f"{model.name}: sha256 {digest} recorded in {checksums_path}; keep that file.")
    return source


def find_checkpoint(folder: str | os.PathLike, source: str = "") -> Path:
    """Return the prefix of the checkpoint that lies anywhere in `folder`.

    Of several, the one that a file `checkpoint` beside it names, else the one with the highest step in its name.
    Raises InputError where there is none, or where that leaves more than one.
    """
    folder = Path(folder)
    prefixes = sorted(path.with_suffix("") for path in folder.rglob("*.index"))
    named = [prefix for prefix in prefixes if prefix.name == _latest(prefix.parent / "checkpoint")]
    best = named or _highest_step(prefixes)
    if len(best) == 1:
        return best[0]
    found = ", ".join(prefix.relative_to(folder).as_posix() for prefix in best) or "none"
    cure = "It must hold one TensorFlow checkpoint (`.index` and `.data-...` files), or a file `checkpoint` beside it."
    raise InputError(Problem(source or str(folder), "checkpoint", found, cure), "There is not one checkpoint")


@dataclass(frozen=True)
class _Found:
    """A checkpoint's archive or folder on this disk, and where it came from."""

    path: Path
    url: str


def _find(model: Model, mirror: str | None, scratch: Path, fetching: Fetching) -> _Found:
    if model.path:
        return _in_repository(model)
    if mirror and (found := _in_mirror(model, mirror, scratch, fetching)):
        return found
    if not model.archive_url:
        tried = f"not in the mirror {without_password(mirror)}" if mirror else "no address, and no mirror is set"
        cure = f"Put {model.archive_file} (or it unpacked, in a folder) into a mirror and set pretrained.mirror."
        raise InputError(Problem(model.name, "archive", tried, cure), "The weights cannot be found")
    return _download(model.archive_url, model, scratch, fetching)


def _in_repository(model: Model) -> _Found:
    if not model.path.is_dir():
        cure = (
            "The folder belongs to the project: restore it from version control, or rebuild it as docs/models.md says."
        )
        raise InputError(Problem(str(model.path), model.name, "no such folder", cure), "The weights cannot be found")
    # Within the project it is the same wherever the project lies.
    here = Path.cwd()
    inside = model.path.is_relative_to(here)
    return _Found(model.path, (model.path.relative_to(here) if inside else model.path).as_posix())


def _in_mirror(model: Model, mirror: str, scratch: Path, fetching: Fetching) -> _Found | None:
    if urlsplit(mirror).scheme in ("http", "https"):
        with contextlib.suppress(NotFoundError):
            return _download(f"{mirror.rstrip('/')}/{quote(model.archive_file)}", model, scratch, fetching)
    elif not Path(mirror).is_dir():
        cure = "Set it to a folder, or to an http(s) address, that holds the archives; or to null."
        raise InputError(Problem("config", "pretrained.mirror", mirror, cure), "There is no such mirror")
    else:
        archive, unpacked = Path(mirror) / model.archive_file, Path(mirror) / folder_name(model.archive_file)
        for path in (archive, unpacked):
            if path.is_file() or (path == unpacked and path.is_dir()):
                return _Found(path, path.as_posix())
    if model.archive_url:
        fetching.report(f"{model.name}: {model.archive_file} is not in the mirror {without_password(mirror)}")
    return None


def folder_name(archive_file: str) -> str:
    """Return the name of the folder that stands for an archive that is unpacked: its name without `.tar.gz`."""
    return _ARCHIVE_SUFFIX.sub("", archive_file)


def _download(url: str, model: Model, scratch: Path, fetching: Fetching) -> _Found:
    path = scratch / model.archive_file
    download(url, path, fetching.policy, fetching.report, fetching.sleep)
    return _Found(path, without_password(url))


def _unpack(source: Path, folder: Path) -> None:
    if source.is_dir():
        # Contents only: a read-only mirror must not make a read-only copy.
        for path in (path for path in sorted(source.rglob("*")) if path.is_file()):
            copy = folder / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        return
    try:
        with tarfile.open(source) as archive:
            _extract_all(archive, source, folder)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        # The decompressors' own have no number; a full disk has one, and is not the archive's fault.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        cure = "It must be a tar archive (.tar.gz): check what stands at the address, a login page for example."
        found = said_by(error)
        raise InputError(Problem(source.name, "archive", found, cure), "The archive cannot be read") from error


def _extract_all(archive: tarfile.TarFile, source: Path, folder: Path) -> None:
    total = 0
    for count, member in enumerate(archive, start=1):
        total += member.size
        refusal = _refusal(member)
        if count > _MAX_MEMBERS or total > _MAX_UNPACKED_BYTES:
            refusal = f"more than {_MAX_MEMBERS:,} members or {_MAX_UNPACKED_BYTES:,} bytes"
        if refusal:
            cure = "No checkpoint needs that, so the archive is refused: take it from a place you trust."
            raise InputError(Problem(source.name, member.name, refusal, cure), "The archive is not safe")
        archive.extract(member, folder, filter="data")


def _refusal(member: tarfile.TarInfo) -> str | None:
    path = PurePosixPath(member.name)
    if path.is_absolute():
        return "an absolute name"
    if ".." in path.parts:
        return "a name that leaves the folder"
    if member.issym() or member.islnk():
        return f"a link to {member.linkname}"
    if not (member.isreg() or member.isdir()):
        return "neither a file nor a folder"
    return None


def _latest(checkpoint_file: Path) -> str | None:
    """Return the name that a `checkpoint` file (text form of CheckpointState) gives as the latest."""
    if not checkpoint_file.is_file():
        return None
    text = checkpoint_file.read_text(encoding="utf-8", errors="replace")
    match = re.search(r'^\s*model_checkpoint_path:\s*"([^"]*)"', text, re.MULTILINE)
    return PurePosixPath(match[1]).name if match else None


def _highest_step(prefixes: list[Path]) -> list[Path]:
    steps = [int(match[1]) if (match := re.search(r"-(\d+)$", prefix.name)) else -1 for prefix in prefixes]
    return [prefix for prefix, step in zip(prefixes, steps, strict=True) if step == max(steps)]


def _mismatch(
    model: Model, url: str, expected: str, found: str, checksums_path: str | os.PathLike | None, key: str
) -> InputError:
    place = f'"{key}" in {checksums_path}' if checksums_path else f"models.{model.name}.sha256 in the zoo"
    cure = (
        f"Expected sha256 {expected} ({place}). A damaged copy is cured by fetching it again; if the publisher has "
        "replaced the file and you trust the new one, remove the expected sum there and run again."
    )
    return InputError(Problem(url, model.name, f"sha256 {found}", cure), "The weights are not those known before")


def _read_checksums(path: str | os.PathLike | None) -> dict[str, str]:
    if path is None or not Path(path).exists():
        return {}
    cure = "It maps a model's name to a sha256: restore it from version control, or delete it to record anew."
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(Problem(str(path), "file", str(error), cure)) from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise InputError(Problem(str(path), "file", "another structure", cure))
    return content


def _record_checksum(path: str | os.PathLike, key: str, digest: str, url: str) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The folder is what is locked: the file itself is replaced, and a lock file would be left behind.
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        known = _read_checksums(path)
        if known.get(key, digest) != digest:
            cure = "Two runs fetched different bytes at once: run again."
            raise InputError(Problem(url, key, f"sha256 {digest}, and {known[key]} a moment ago", cure))
        write_json(path, dict(sorted({**known, key: digest}.items())))
    finally:
        os.close(descriptor)
