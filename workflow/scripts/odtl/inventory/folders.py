"""The files of a folder, by extension, each with the key that tells whether it has changed."""

import os
from collections.abc import Iterable

from odtl.errors import Problem
from odtl.file_cache import Key, stat_key

# Path relative to the root it was found under, with "/"; path to open; key.
File = tuple[str, str, Key]


def walk(root: str, extensions: frozenset[str], field: str, problems: list[Problem]) -> list[File]:
    """List the files below `root` that have one of the extensions, in any case, sorted by relative path.

    Hidden files and folders (".name") are left out. Links are followed, each folder once. What cannot be listed, and
    names that are no UTF-8, are added to `problems` with the configuration's `field`.
    """
    files: list[File] = []
    seen: set[tuple[int, int]] = set()
    # Links last: a folder that is reached both ways then has its own name, not the link's.
    folders, links = [""], []
    while folders or links:
        relative = folders.pop() if folders else links.pop(0)
        path = f"{root}/{relative}" if relative else root
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                below, linked = _list_folder(entries, f"{relative}/" if relative else "", path, extensions, files)
        except OSError as error:
            cure = "Correct the path, or make the folder readable."
            problems.append(Problem("config", field, f"{path} ({error.strerror})", cure))
            continue
        folders += below
        links = sorted(links + linked)
    files.sort()
    for relative, *_ in files:
        if not relative.isascii() and not _is_text(relative):
            name = os.fsencode(relative).decode("latin-1")
            problems.append(Problem("config", field, f"a file name that is no UTF-8: {name}", "Rename the file."))
    return files


def _list_folder(
    entries: Iterable[os.DirEntry], prefix: str, path: str, extensions: frozenset[str], files: list[File]
) -> tuple[list[str], list[str]]:
    below, linked = [], []
    for entry in entries:
        name = entry.name
        if name[0] == ".":
            continue
        if _is_folder(entry):
            (linked if entry.is_symlink() else below).append(prefix + name)
        elif name[name.rfind(".") :].lower() in extensions:
            try:
                key = stat_key(entry.stat())
            except OSError:
                key = None
            files.append((prefix + name, f"{path}/{name}", key))
    return below, linked


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself; reading it as a file says what is wrong with it.
        return False


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
