"""Looks at what came and keeps it: whole, once, under a name that its content and its id give it.

Nothing is flushed to the disk here, file by file: that would take longer than the download. What a machine that loses
its power has lost is noticed by its size, and by its sum wherever it is read.
"""

import contextlib
import hashlib
import os
import secrets
import threading
from dataclasses import dataclass
from urllib.parse import quote

from odtl import images
from odtl.fetching.client import UnfitError
from odtl.images import ImageError

EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tiff"}
# File systems take 255 bytes; the name of a file that is not finished yet is longer by 14.
_LONGEST = 200


@dataclass(frozen=True)
class Kept:
    """A file that holds an image.

    path:   relative to the folder of all images, with "/".
    sha256: hex, of its bytes; bytes: how many. format: by content, as `images.FORMATS` names it.
    """

    path: str
    sha256: str
    bytes: int
    format: str


def image_path(image: str, kind: str) -> str:
    """Return the path of an image's file in the folder of all images, with "/".

    image: its id; kind: its format, by content.

    Whatever the id, the path stays in the folder, has no hidden part, and no two ids have the same one.
    """
    *folders, name = image.split("/")
    return "/".join([*map(_part, folders), f"{_part(name)}{EXTENSIONS[kind]}"])


def _part(text: str) -> str:
    # quote() leaves dots as they are.
    encoded = quote(text, safe=" ()+,=@!", encoding="utf-8", errors="surrogatepass")
    if encoded.startswith("."):
        encoded = f"%2E{encoded[1:]}"
    if len(encoded) > _LONGEST:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        encoded = f"{encoded[: _LONGEST - 17].rstrip('%')}%{digest}"
    # A percent sign of its own stands for nothing else.
    return encoded or "%"


class Store:
    """The folder of all images. Its functions may be called by several threads."""

    def __init__(self, folder: str | os.PathLike) -> None:
        self._folder = os.fspath(folder)
        # The name of a file that is not finished, as `run_lock.UNFINISHED` knows it: it goes with the next run.
        self._mark = f"{secrets.token_hex(4)}.tmp"
        self._lock = threading.Lock()
        # By the first two digits of what is written.
        self._writing = {f"{number:02x}": threading.Lock() for number in range(256)}
        # Where bytes lie already: SHA-256 to the path of a file.
        self._known: dict[str, str] = {}
        self._folders: set[str] = set()

    def known(self, kept: Kept) -> None:
        """Say that a file is there and holds what `kept` says."""
        with self._lock:
            self._known.setdefault(kept.sha256, self._place(kept))

    def keep(self, image: str, data: bytes, sha256: str = "") -> Kept:
        """Write an image's file, as a hard link where the same bytes are there already and the disk can do that.

        sha256: what the bytes are known to be (hex), or "".
        Raises UnfitError for bytes that are no image that can be used, or not those.
        """
        digest = hashlib.sha256(data).hexdigest()
        if sha256 and digest != sha256:
            raise UnfitError(f"other bytes than it was annotated with: sha256 {digest[:12]}..., not {sha256[:12]}...")
        try:
            kind = images.probe(data).format
        except ImageError as error:
            # Cut off on its way, perhaps, where the server does not say how long it is.
            raise UnfitError(str(error), passing=error.reason in ("image_damaged", "image_empty")) from error
        kept = Kept(image_path(image, kind), digest, len(data), kind)
        # The same bytes twice at the same moment: the second one finds the first.
        with self._writing[digest[:2]]:
            self._write(self._place(kept), data, digest)
            self.known(kept)
        return kept

    def recall(self, image: str, sha256: str, size: int, kind: str) -> Kept | None:
        """Return an image's file if it is there, whole, with these bytes; else None."""
        if kind not in EXTENSIONS:
            return None
        kept = Kept(image_path(image, kind), sha256, size, kind)
        try:
            data = _read(self._place(kept))
        except OSError:
            return None
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            return None
        self.known(kept)
        return kept

    def _place(self, kept: Kept) -> str:
        return f"{self._folder}/{kept.path}"

    def _write(self, path: str, data: bytes, sha256: str) -> None:
        parent, _, name = path.rpartition("/")
        if parent not in self._folders:
            os.makedirs(parent, exist_ok=True)
            self._folders.add(parent)
        temporary = f"{parent}/.{name}.{self._mark}"

        try:
            linked = self._link(temporary, data, sha256)
            if not linked:
                # Not through a link that somebody has put there.
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
                with open(descriptor, "wb", buffering=0) as stream:
                    left = memoryview(data)
                    while left:
                        left = left[stream.write(left) :]
            os.replace(temporary, path)
        except BaseException:
            _remove(temporary)
            raise
        if linked:
            # Both names may have been links to one file already: then nothing is renamed.
            _remove(temporary)

    def _link(self, temporary: str, data: bytes, sha256: str) -> bool:
        with self._lock:
            other = self._known.get(sha256)
        if other is None:
            return False
        try:
            # It may have been changed since it was recorded.
            if _read(other) != data:
                return False
            os.link(other, temporary)
        except OSError:
            return False
        return True


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as stream:
        return stream.read()
