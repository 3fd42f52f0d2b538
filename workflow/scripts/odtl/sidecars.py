"""Sidecars: a small JSON file beside large ones that says what they hold, so that a change of content can be followed.

Snakemake compares the content of small files only; of a large one it sees the time stamp, which a copy, a clone or a
`touch` changes. So each job that writes large files writes a sidecar last, and later stages follow that:

    {"boxes": 31, "files": {"records": {"bytes": 81234, "sha256": "..."}}, "images": 12}
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from odtl.errors import InputError, Problem
from odtl.files import sha256_of, write_json

_CURE = "It is not what the workflow wrote there: delete the two files, and run again to make them anew."


def write_sidecar(path: str | os.PathLike, files: Mapping[str, str | os.PathLike], **facts: Any) -> None:
    """Write a sidecar of `files` (role -> path, all of them whole) with other facts beside them, keys sorted."""
    digests = {role: {"bytes": os.stat(file).st_size, "sha256": sha256_of(file)} for role, file in files.items()}
    write_json(path, dict(sorted({**facts, "files": dict(sorted(digests.items()))}.items())))


def read_sidecar(path: str | os.PathLike) -> dict[str, Any]:
    """Return what a sidecar says."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def recorded_sha256(path: str | os.PathLike, role: str) -> str:
    """Return the SHA-256 (hex) that a sidecar records for a file of this role."""
    return read_sidecar(path)["files"][role]["sha256"]


def check_content(pairs: Iterable[tuple[str | os.PathLike, str | os.PathLike]], role: str) -> None:
    """Raise InputError with each file of the pairs (file, sidecar) that does not hold what its sidecar says."""
    _check(pairs, role, lambda file, recorded: _found("sha256", sha256_of(file), recorded["sha256"]))


def check_sizes(pairs: Iterable[tuple[str | os.PathLike, str | os.PathLike]], role: str) -> None:
    """Raise InputError with each file of the pairs (file, sidecar) that has another size than its sidecar says."""
    _check(pairs, role, lambda file, recorded: _found("bytes", os.stat(file).st_size, recorded["bytes"]))


def _check(pairs, role: str, compare) -> None:
    problems = [
        Problem(str(file), role, found, _CURE)
        for file, sidecar in pairs
        if (found := compare(file, read_sidecar(sidecar)["files"][role]))
    ]
    if problems:
        raise InputError(problems, f"{len(problems)} file(s) are not what their sidecars say")


def _found(what: str, found: object, recorded: object) -> str:
    return "" if found == recorded else f"{what} {found}, recorded as {recorded}"
