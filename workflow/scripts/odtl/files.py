"""Files that appear whole or not at all."""

import contextlib
import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from odtl.errors import InputError, Problem

CHANGED_MEANWHILE = "It is not what it was when the run was planned: run again."


@contextlib.contextmanager
def atomic_open(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """Open a temporary file beside `path` for writing; rename it to `path` only if the block ends without an error.

    mode: "w" (UTF-8 text, newlines as written) or "wb".
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    try:
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with os.fdopen(descriptor, mode, **text) as stream:
            yield stream
            stream.flush()
            # The rename must not reach the disk before the content does.
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        _name_file(error, path)
        raise


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; it replaces `path` only if the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        os.chmod(temporary, 0o777 & ~_umask())
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        with _set_aside(path):
            os.replace(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _name_file(error, path)
        raise


@contextlib.contextmanager
def _set_aside(path: Path) -> Iterator[None]:
    """Rename a folder, if it is there, and remove it after the block: half removed, it would look like a result."""
    if not path.exists():
        yield
        return
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    os.replace(path, old)
    try:
        yield
    finally:
        shutil.rmtree(old, ignore_errors=True)


def write_text_if_changed(path: str | os.PathLike, text: str) -> bool:
    """Write `text` to `path` unless it holds just that already; say whether it was written."""
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError), open(path, encoding="utf-8", newline="") as old:
        if old.read() == text:
            return False
    with atomic_open(path) as stream:
        stream.write(text)
    return True


def dump_json(content: object, stream: IO[str]) -> None:
    """Write `content` as JSON that a person can read, keys in their order. ValueError for NaN, which JSON has not."""
    json.dump(content, stream, indent=1, allow_nan=False, ensure_ascii=False)
    stream.write("\n")


def write_json(path: str | os.PathLike, content: object) -> None:
    """Write `content` to `path` as `dump_json` does."""
    with atomic_open(path) as stream:
        dump_json(content, stream)


def write_csv(path: str | os.PathLike, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows (column -> value, None for an empty cell) under a header of `columns`."""
    with atomic_open(path) as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def open_regular(path: str | os.PathLike, mode: str = "r", **options) -> IO:
    """Open a file as `open` does; FileNotFoundError for a pipe, a device or a folder, whatever its name says."""
    # Opening a pipe or a device would wait for ever.
    if not os.path.isfile(path):
        raise FileNotFoundError("no such file, or not a regular file")
    return open(path, mode, **options)


def sha256_of(path: str | os.PathLike) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_sha256(folder: str | os.PathLike) -> str:
    """Return the SHA-256 over the files of a folder: of each, in order of path, `{sha256}  {path}` and a newline."""
    folder = Path(folder)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listing = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in files)
    return hashlib.sha256(listing.encode("utf-8")).hexdigest()


def _flush(file: Path) -> None:
    # As in `atomic_open`; and some file systems tell only now that there was no space.
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name_file(error: BaseException, path: Path) -> None:
    """Name the file in an error of the system that names none: a full disk does not say which one it was."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = os.fspath(path)


def read_checked(path: str | os.PathLike, sha256: str | None, cure: str) -> str:
    """Return the text of a file in UTF-8, newlines as they stand there; see `check_digest` for the rest."""
    data = Path(path).read_bytes()
    check_digest(path, hashlib.sha256(data).hexdigest(), sha256, cure)
    return data.decode("utf-8")


def check_digest(path: str | os.PathLike, found: str, wanted: str | None, cure: str) -> None:
    """Raise InputError where what was found in a file has another SHA-256 (hex) than wanted; None wants nothing."""
    if wanted is not None and found != wanted:
        raise InputError(Problem(str(path), "sha256", f"{found[:12]}..., not {wanted[:12]}...", cure))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
