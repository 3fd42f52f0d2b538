"""Which files each source has: its images, and its annotations with the split that the configuration gives them."""

import dataclasses
import functools
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from odtl.errors import InputError, Problem
from odtl.file_cache import stat_key
from odtl.inventory.folders import File, Tree, walk
from odtl.inventory.paths import IMAGE_EXTENSIONS
from odtl.split import SPLITS

HEADLINE = "the data sources cannot be used as they are"
_XML = frozenset((".xml",))


@dataclass(frozen=True)
class Source:
    """One of `data.sources`, as listed; and its name and split as configured ("" for no name).

    root:  what lies below its image folder.
    parts: (the split that the configuration gives to these annotations or None, the folder or table that holds them).
    """

    name: str
    format: str
    split: str
    root: Tree
    parts: tuple[tuple[str | None, Tree | File], ...]

    @functools.cached_property
    def images(self) -> list[File]:
        """The images, sorted by relative path."""
        return self.root.files(IMAGE_EXTENSIONS)

    @functools.cached_property
    def annotations(self) -> list[tuple[str | None, list[File]]]:
        """The annotation files, by part."""
        return [(split, [part] if isinstance(part, tuple) else part.files(_XML)) for split, part in self.parts]

    @functools.cached_property
    def state(self) -> list:
        """What differs as soon as any file of the source does: one entry for the image folder and for each part."""
        return [self.root.state(), *(part if isinstance(part, tuple) else part.state() for _, part in self.parts)]

    def as_it_was(self, state: Sequence) -> "Source":
        """Return this source with the files that it had when its state was this one."""
        root, *parts = (part if isinstance(part, tuple) else Tree.of_state(part) for part in state)
        splits = [split for split, _ in self.parts]
        return dataclasses.replace(self, root=root, parts=tuple(zip(splits, parts, strict=True)))

    def select(self, roots: Collection[str]) -> "Source":
        """Return this source with those files only whose `root_of` is one of these; tables stay."""
        parts = tuple((split, part if isinstance(part, tuple) else part.select(roots)) for split, part in self.parts)
        return dataclasses.replace(self, root=self.root.select(roots), parts=parts)

    def differences(self, other: "Source") -> set[str]:
        """Return the relative paths of files, tables apart, that the source did not have at both times as they are."""
        mine, others = ([source.root, *(part for _, part in source.parts)] for source in (self, other))
        pairs = zip(mine, others, strict=True)
        return {path for one, two in pairs if isinstance(one, Tree) for path in one.differences(two)}


def list_sources(data_config: Mapping) -> list[Source]:
    """Return the files of all sources of the `data` section.

    Raises InputError with every folder or table that is not there or has nothing to offer.
    """
    problems: list[Problem] = []
    sources = [_list_source(number, source, problems) for number, source in enumerate(data_config["sources"])]
    if not problems and not any(_has_annotations(part) for source in sources for _, part in source.parts):
        cure = "Point data.sources[].annotations at the folder or table that holds them."
        problems.append(Problem("config", "data.sources", "no annotation at all", cure))
    if problems:
        raise InputError(problems, HEADLINE)
    return sources


def _list_source(number: int, source: Mapping, problems: list[Problem]) -> Source:
    field = f"data.sources[{number}]"
    root = _tidy(source["images"])
    is_csv = source["format"] == "csv"
    places = _annotation_places(source.get("annotations"))
    beside = not places and not is_csv
    images = walk(root, IMAGE_EXTENSIONS | _XML if beside else IMAGE_EXTENSIONS, f"{field}.images", problems)
    parts: list[tuple[str | None, Tree | File]] = [(None, images)] if beside else []
    for split, path in places:
        where = f"{field}.annotations"
        if not is_csv:
            parts.append((split, walk(path, _XML, where, problems)))
        elif (file := _one_file(path, where, problems)) is not None:
            parts.append((split, file))
    if is_csv and not places:
        cure = "A source of format csv needs the path of its table(s)."
        problems.append(Problem("config", f"{field}.annotations", "nothing", cure))
    if not images.has(IMAGE_EXTENSIONS) and os.path.isdir(root):
        names = ", ".join(sorted(extension[1:] for extension in IMAGE_EXTENSIONS))
        problems.append(
            Problem("config", f"{field}.images", f"no image in {root}", f"Files named {names} are looked for.")
        )
    split = source.get("split") or "from_folders"
    return Source(source.get("name") or "", source["format"], split, images, tuple(parts))


def _has_annotations(part: Tree | File) -> bool:
    return isinstance(part, tuple) or part.has(_XML)


def _annotation_places(annotations: object) -> list[tuple[str | None, str]]:
    if annotations is None:
        return []
    if isinstance(annotations, Mapping):
        return [(split, _tidy(annotations[split])) for split in SPLITS if annotations.get(split)]
    paths = [annotations] if isinstance(annotations, str | os.PathLike) else annotations
    return [(None, _tidy(path)) for path in paths]


def _tidy(path: str | os.PathLike) -> str:
    return os.path.normpath(os.fspath(path))


def _one_file(path: str, field: str, problems: list[Problem]) -> File | None:
    try:
        status = os.stat(path)
    except OSError as error:
        problems.append(Problem("config", field, f"{path} ({error.strerror})", "Correct the path of the table."))
        return None
    if not stat.S_ISREG(status.st_mode):
        problems.append(Problem("config", field, f"{path}, which is no file", "Format csv takes the path of a table."))
        return None
    return os.path.basename(path), path, stat_key(status)
