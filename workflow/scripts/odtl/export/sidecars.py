"""What is said of a candidate: its files and their sums, the checkpoint it is of, the classes it knows."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odtl.errors import InputError, Problem
from odtl.export.choice import Choice
from odtl.files import sha256_of, write_json
from odtl.serving import checkpoint_digest
from odtl.sidecars import read_sidecar

# Snakemake puts it into folders that it has made.
_NO_RESULT = ".snakemake_timestamp"
_CURE = "It is not what the workflow wrote there: delete the folder and its .json, and run again to make them anew."


def files_of(folder: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """Return `sha256` and `bytes` of each file in a folder, by its path there."""
    folder = Path(folder)
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _NO_RESULT
    }


def describe(path: str | os.PathLike, folder: str | os.PathLike, choice: Choice, facts: Mapping[str, Any]) -> None:
    """Write the sidecar of a candidate: `files` of its folder, the `checkpoint` that it is of, and facts."""
    checkpoint = {
        "sha256": checkpoint_digest(choice.prefix),
        "wanted": choice.wanted,
        "step": choice.step,
        "reason": choice.reason,
    }
    write_json(path, {"checkpoint": checkpoint, **facts, "files": files_of(folder)})


def check(folder: str | os.PathLike, sidecar: str | os.PathLike) -> dict[str, Any]:
    """Return what a candidate's sidecar says; InputError where the folder does not hold that."""
    said = read_sidecar(sidecar)
    found = files_of(folder)
    differing = [name for name in sorted(found.keys() | said["files"]) if found.get(name) != said["files"].get(name)]
    if differing:
        problem = Problem(str(folder), "files", f"others than recorded: {', '.join(differing)}", _CURE)
        raise InputError(problem, "A candidate is not what its sidecar says")
    return said
