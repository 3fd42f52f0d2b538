"""The files below a folder, by extension, each with the key that tells whether it has changed."""

import marshal
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from odtl import file_cache
from odtl.errors import Problem
from odtl.file_cache import Key, key_of
from odtl.inventory.kinds import is_image_name, tells_nothing
from odtl.inventory.paths import plain, root_of

# Path relative to the root it was found under, with "/"; path to open; key.
File = tuple[str, str, Key]
Unknown = Callable[[Sequence[tuple[str, Key]]], Collection[str]]
_NO_KEY = (-1, -1, -1, -1)


@dataclass(frozen=True)
class Folder:
    """The files of one folder, as they were listed: most runs only ask whether it is all as it was.

    prefix: what goes in front of a name to make it relative to the tree's root.
    keys:   four numbers per name, those of its key; _NO_KEY for what is no regular file.
    """

    prefix: str
    path: str
    names: list[str]
    keys: list[int]

    def entries(self) -> Iterator[tuple[str, int, int, int, int]]:
        """Yield each name with the four numbers of its key."""
        keys = iter(self.keys)
        return zip(self.names, keys, keys, keys, keys, strict=True)

    def files(self, extensions: Collection[str]) -> Iterator[File]:
        """Yield the files that have one of the extensions."""
        return self._files(lambda name: name[name.rfind(".") :].lower() in extensions)

    def images(self) -> Iterator[File]:
        """Yield the images."""
        return self._files(is_image_name)

    def _files(self, wanted: Callable[[str], bool]) -> Iterator[File]:
        for name, *numbers in self.entries():
            if wanted(name):
                key = tuple(numbers)
                yield self.prefix + name, f"{self.path}/{name}", key if key != _NO_KEY else None


@dataclass(frozen=True)
class Tree:
    """All folders below a root that could be listed."""

    folders: list[Folder]

    def files(self, extensions: Collection[str]) -> list[File]:
        """Return the files that have one of the extensions, in any case, sorted by relative path."""
        return sorted(file for folder in self.folders for file in folder.files(extensions))

    def images(self) -> list[File]:
        """Return the images, sorted by relative path."""
        return sorted(file for folder in self.folders for file in folder.images())

    def has(self, extensions: Collection[str]) -> bool:
        """Say whether there is a file with one of the extensions."""
        return any(True for folder in self.folders for _ in folder.files(extensions))

    def count(self) -> int:
        """Return how many files there are."""
        return sum(len(folder.names) for folder in self.folders)

    def young(self, at: int) -> list[str]:
        """Return the relative paths of files that were young at a time (ns since the epoch; see `is_settled`)."""
        limit = at - file_cache.YOUNG_NS
        # The third number of each key is the time of the last change.
        if all(max(folder.keys[2::4], default=0) < limit for folder in self.folders):
            return []
        return [
            folder.prefix + name
            for folder in self.folders
            for name, _, _, ctime, _ in folder.entries()
            if ctime >= limit
        ]

    def state(self) -> bytes:
        """Return what differs as soon as any file does: in its name, its place or its key."""
        # Version 2 of marshal writes equal content as equal bytes; later ones look at object identity too.
        return marshal.dumps([[each.prefix, each.path, each.names, each.keys] for each in self.folders], 2)

    @classmethod
    def of_state(cls, state: bytes) -> "Tree":
        """Return the tree whose state it is."""
        return cls([Folder(*folder) for folder in marshal.loads(state)])

    def differences(self, other: "Tree") -> set[str]:
        """Return the relative paths of files that are in one of the two only, or have another key."""
        mine, others = ({folder.prefix: folder for folder in tree.folders} for tree in (self, other))
        found = set()
        for prefix in mine.keys() | others.keys():
            one, two = mine.get(prefix), others.get(prefix)
            if one is None or two is None or one.names != two.names:
                entries = {(each and frozenset(each.entries())) or frozenset() for each in (one, two)}
                changed = {name for name, *_ in frozenset.union(*entries) - frozenset.intersection(*entries)}
            elif one.keys != two.keys:
                changed = {before[0] for before, now in zip(one.entries(), two.entries(), strict=True) if before != now}
            else:
                continue
            found |= {prefix + name for name in changed}
        return found

    def select(self, roots: Collection[str]) -> "Tree":
        """Return the tree of those files whose `root_of` is one of these."""
        folders = []
        for folder in self.folders:
            prefix = plain(folder.prefix)
            bases = tuple(root[len(prefix) :] for root in roots if root.startswith(prefix))
            # Most names are told by their beginning, at little cost.
            near = (each for each in folder.entries() if each[0].startswith(bases)) if bases else ()
            entries = [each for each in near if root_of(folder.prefix + each[0]) in roots]
            names, keys = [each[0] for each in entries], [number for each in entries for number in each[1:]]
            folders.append(Folder(folder.prefix, folder.path, names, keys))
        return Tree(folders)


def walk(
    root: str, extensions: frozenset[str], field: str, problems: list[Problem], unknown: Unknown | None = None
) -> Tree:
    """List the files below `root` that have one of the extensions, in any case.

    unknown: from files whose extension tells nothing (path and key) to the paths of those that are to be listed, too;
             None: none of them are.

    Hidden files and folders (".name") are left out. Links are followed, each folder once. What cannot be listed, and
    names that are no UTF-8, are added to `problems` with the configuration's `field`.
    """
    listed: list[Folder] = []
    seen: set[tuple[int, int]] = set()
    # Links last: a folder that is reached both ways then has its own name, not the link's.
    folders, links = [""], []
    unsure: list[tuple[Folder, str, Key]] = []
    while folders or links:
        relative = folders.pop() if folders else links.pop(0)
        path = f"{root}/{relative}" if relative else root
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            folder = Folder(f"{relative}/" if relative else "", path, [], [])
            others: list[os.DirEntry] = []
            with os.scandir(path) as entries:
                below, linked = _list_folder(entries, extensions, folder, others)
            if unknown is not None:
                unsure += ((folder, entry.name, key_of(entry.path)) for entry in others if tells_nothing(entry.name))
        except OSError as error:
            cure = "Correct the path, or make the folder readable."
            problems.append(Problem("config", field, f"{path} ({error.strerror})", cure))
            continue
        listed.append(folder)
        folders += below
        links = sorted(links + linked)
    if unknown is not None:
        _add_unsure([entry for entry in unsure if entry[2] is not None], unknown)
    for folder in listed:
        if not "".join([folder.prefix, *folder.names]).isascii():
            _check_names(folder, field, problems)
    return Tree(listed)


def _list_folder(
    entries: Iterable[os.DirEntry], extensions: frozenset[str], folder: Folder, others: list[os.DirEntry]
) -> tuple[list[str], list[str]]:
    below, linked = [], []
    names, keys = folder.names, folder.keys
    for entry in entries:
        name = entry.name
        if name[0] == ".":
            continue
        # Hundreds of thousands of times in every run: hence no function of its own, and one look at each file.
        if name[name.rfind(".") :].lower() in extensions:
            try:
                status = entry.stat()
            except OSError:
                names.append(name)
                keys += _NO_KEY
                continue
            if stat.S_ISDIR(status.st_mode):
                (linked if entry.is_symlink() else below).append(folder.prefix + name)
                continue
            names.append(name)
            if stat.S_ISREG(status.st_mode):
                keys += (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
            else:
                keys += _NO_KEY
        elif _is_folder(entry):
            (linked if entry.is_symlink() else below).append(folder.prefix + name)
        else:
            others.append(entry)
    return below, linked


def _add_unsure(unsure: Sequence[tuple[Folder, str, Key]], unknown: Unknown) -> None:
    found = unknown([(f"{folder.path}/{name}", key) for folder, name, key in unsure])
    for folder, name, key in unsure:
        if f"{folder.path}/{name}" in found:
            folder.names.append(name)
            folder.keys.extend(key)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself; reading it as a file says what is wrong with it.
        return False


def _check_names(folder: Folder, field: str, problems: list[Problem]) -> None:
    for name in folder.names:
        relative = folder.prefix + name
        try:
            relative.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(relative).decode("latin-1")
            problems.append(Problem("config", field, f"a file name that is no UTF-8: {shown}", "Rename the file."))
