"""Which files each source has: its images, and its annotations with the split that the configuration gives them."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from odtl.errors import InputError, Problem
from odtl.file_cache import stat_key
from odtl.inventory.folders import File, walk
from odtl.inventory.paths import IMAGE_EXTENSIONS
from odtl.split import SPLITS

HEADLINE = "the data sources cannot be used as they are"


@dataclass(frozen=True)
class Source:
    """One of `data.sources`: its files; and its name and split as configured ("" for no name)."""

    name: str
    format: str
    split: str
    images: list[File]
    # (the split that the configuration gives to these annotations or None, their files)
    annotations: list[tuple[str | None, list[File]]]

    def every_file(self) -> Iterator[File]:
        yield from self.images
        for _, files in self.annotations:
            yield from files


def list_sources(data_config: Mapping) -> list[Source]:
    """Return the files of all sources of the `data` section.

    Raises InputError with every folder or table that is not there or has nothing to offer.
    """
    problems: list[Problem] = []
    sources = [_list_source(number, source, problems) for number, source in enumerate(data_config["sources"])]
    if not problems and not any(files for source in sources for _, files in source.annotations):
        cure = "Point data.sources[].annotations at the folder or table that holds them."
        problems.append(Problem("config", "data.sources", "no annotation at all", cure))
    if problems:
        raise InputError(problems, HEADLINE)
    return sources


def _list_source(number: int, source: Mapping, problems: list[Problem]) -> Source:
    field = f"data.sources[{number}]"
    root = _tidy(source["images"])
    is_csv = source["format"] == "csv"
    parts = _annotation_parts(source.get("annotations"))
    beside = not parts and not is_csv
    extensions = IMAGE_EXTENSIONS | {".xml"} if beside else IMAGE_EXTENSIONS
    found = walk(root, extensions, f"{field}.images", problems)
    annotations: list[tuple[str | None, list[File]]] = []
    if beside:
        annotations = [(None, [file for file in found if _is_xml(file[0])])]
        found = [file for file in found if not _is_xml(file[0])]
    for split, path in parts:
        where = f"{field}.annotations"
        files = _one_file(path, where, problems) if is_csv else walk(path, frozenset((".xml",)), where, problems)
        annotations.append((split, files))
    if is_csv and not parts:
        cure = "A source of format csv needs the path of its table(s)."
        problems.append(Problem("config", f"{field}.annotations", "nothing", cure))
    if not found and os.path.isdir(root):
        names = ", ".join(sorted(extension[1:] for extension in IMAGE_EXTENSIONS))
        problems.append(
            Problem("config", f"{field}.images", f"no image in {root}", f"Files named {names} are looked for.")
        )
    return Source(source.get("name") or "", source["format"], source.get("split") or "from_folders", found, annotations)


def _annotation_parts(annotations: object) -> list[tuple[str | None, str]]:
    if annotations is None:
        return []
    if isinstance(annotations, Mapping):
        return [(split, _tidy(annotations[split])) for split in SPLITS if annotations.get(split)]
    paths = [annotations] if isinstance(annotations, str | os.PathLike) else annotations
    return [(None, _tidy(path)) for path in paths]


def _tidy(path: str | os.PathLike) -> str:
    return os.path.normpath(os.fspath(path))


def _one_file(path: str, field: str, problems: list[Problem]) -> list[File]:
    try:
        status = os.stat(path)
    except OSError as error:
        problems.append(Problem("config", field, f"{path} ({error.strerror})", "Correct the path of the table."))
        return []
    if not stat.S_ISREG(status.st_mode):
        problems.append(Problem("config", field, f"{path}, which is no file", "Format csv takes the path of a table."))
        return []
    return [(os.path.basename(path), path, stat_key(status))]


def _is_xml(name: str) -> bool:
    return name[-4:].lower() == ".xml"
