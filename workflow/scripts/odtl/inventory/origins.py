"""Images that are no files yet: what to call them, and what to follow so that they are fetched once."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from odtl.inventory.paths import basename, slashes, stem_of
from odtl.origins import stable_url

_LONGEST = 60


def name_of_origin(url: str, named: str, sha256: str = "") -> str:
    """Return what an image is called in its source before it is a file: `{stem}-{8 hex digits}`, no extension.

    url:    where it is to be had; named: what its annotation calls it, which may be the address, too.
    sha256: of its bytes, "" where that is not known yet.

    Letters, digits, "-" and "_" only, so that it cannot leave a folder; the digits are of the address without its
    signature. Where the image lies in another file they are of its name and bytes: moving that file changes nothing,
    and two files may hold images of one name.
    """
    remote = url.lower().startswith(("http://", "https://"))
    identity = stable_url(url) if remote else f"{sha256}/{slashes(named)}".removeprefix("/")
    told = slashes(unquote(identity.partition("?")[0]))
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", stem_of(basename(told.rstrip("/"))))[:_LONGEST].strip("-") or "image"
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{stem}-{digest[:8]}"


def origin_mark(image_id: str, origin: Mapping[str, str]) -> str:
    """Return what differs when an image has to be fetched anew, or what is told of it does."""
    return json.dumps([image_id, {**origin, "url": stable_url(origin["url"])}], sort_keys=True)


def digest_of_marks(marks: Iterable[str]) -> str:
    """Return the digest (SHA-256, hex) of a shard's origins, in whatever order."""
    return hashlib.sha256("\n".join(sorted(marks)).encode("utf-8", "surrogatepass")).hexdigest()
