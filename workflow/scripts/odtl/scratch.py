"""What can be made again, kept for speed: a damaged file, or one of another version, counts as none."""

import contextlib
import marshal
import os
import sys
import tempfile
import zlib
from pathlib import Path

_MAGIC = b"odtl\x01"


def load(path: str | os.PathLike, version: str) -> object:
    """Return what `save` kept at `path` under the same version; None if there is nothing of use."""
    with contextlib.suppress(OSError):
        data = Path(path).read_bytes()
        head, body = data[: len(_MAGIC) + 4], data[len(_MAGIC) + 4 :]
        # marshal is fast, but must not be given anything that it has not written.
        if head == _MAGIC + zlib.crc32(body).to_bytes(4, "big"):
            kept, content = marshal.loads(body)
            return content if kept == _full(version) else None
    return None


def save(path: str | os.PathLike, version: str, content: object) -> None:
    """Keep `content` (None, numbers, strings, bytes, and lists, tuples, sets and dicts of these) at `path`, whole.

    Not forced to the disk: what a power cut takes is made again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    body = marshal.dumps((_full(version), content))
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(_MAGIC + zlib.crc32(body).to_bytes(4, "big"))
            stream.write(body)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _full(version: str) -> str:
    # marshal's format is Python's own affair.
    return f"{version} {sys.implementation.cache_tag}"
