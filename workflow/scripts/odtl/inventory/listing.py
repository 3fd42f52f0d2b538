"""Which files each source has: its images, and its annotations with the split that the configuration gives them."""

import dataclasses
import functools
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from odtl.annotations.formats import FORMATS, Format
from odtl.buckets import in_bucket
from odtl.errors import InputError, Problem
from odtl.file_cache import Report, key_of, print_progress, stat_key
from odtl.inventory.buckets import Buckets
from odtl.inventory.folders import File, Tree, walk
from odtl.inventory.kinds import opened
from odtl.inventory.lists import SplitLists, list_files
from odtl.inventory.names import find_names
from odtl.inventory.paths import IMAGE_EXTENSIONS
from odtl.split import SPLITS

HEADLINE = "the data sources cannot be used as they are"
# Where the searches of the configuration make lists of addresses.
SEARCHES = "results/searches/"


@dataclass(frozen=True)
class Source:
    """One of `data.sources`, as listed; and its name and split as configured ("" for no name).

    root:   what lies below its image folder.
    parts:  (the split that the configuration gives to these annotations or None, the folder or table that holds them).
    urls:   lists of addresses of its images.
    aside:  other files that its lines follow from: names of classes, lists of images.
    names:  of classes that its annotations give as numbers, from 0; None where they give names.
    lists:  which of its images are in which split, if it says so.
    """

    name: str
    format: str
    split: str
    root: Tree
    parts: tuple[tuple[str | None, Tree | File], ...]
    urls: tuple[File, ...] = ()
    aside: tuple[File, ...] = ()
    names: tuple[str, ...] | None = None
    lists: SplitLists | None = None

    @functools.cached_property
    def images(self) -> list[File]:
        """The images that are files, sorted by relative path."""
        return self.root.images()

    @functools.cached_property
    def annotations(self) -> list[tuple[str | None, list[File]]]:
        """The annotation files, by part."""
        endings = FORMATS[self.format].endings
        return [(split, [part] if isinstance(part, tuple) else part.files(endings)) for split, part in self.parts]

    @property
    def per_image(self) -> bool:
        """Whether names tell which annotation may belong to which image."""
        return FORMATS[self.format].per_image

    @functools.cached_property
    def state(self) -> list:
        """What differs as soon as any file of the source does: one entry for the image folder and for each part."""
        parts = [part if isinstance(part, tuple) else part.state() for _, part in self.parts]
        return [self.root.state(), *parts, *self.asides]

    @property
    def asides(self) -> tuple[File, ...]:
        """The files that are neither images nor annotations."""
        return (*self.urls, *self.aside)

    def as_it_was(self, state: Sequence) -> "Source":
        """Return this source with the files that it had when its state was this one."""
        root, *parts = (part if isinstance(part, tuple) else Tree.of_state(part) for part in state)
        splits = [split for split, _ in self.parts]
        return dataclasses.replace(self, root=root, parts=tuple(zip(splits, parts, strict=False)))

    def select(self, roots: Collection[str]) -> "Source":
        """Return this source with those files only whose `root_of` is one of these; tables stay."""
        parts = tuple((split, part if isinstance(part, tuple) else part.select(roots)) for split, part in self.parts)
        return dataclasses.replace(self, root=self.root.select(roots), parts=parts)

    def differences(self, other: "Source") -> set[str]:
        """Return the relative paths of files, tables apart, that the source did not have at both times as they are."""
        mine, others = ([source.root, *(part for _, part in source.parts)] for source in (self, other))
        pairs = zip(mine, others, strict=True)
        return {path for one, two in pairs if isinstance(one, Tree) for path in one.differences(two)}


def list_sources(data_config: Mapping, cache: Path | None = None) -> list[Source]:
    """Return the files of all sources of the `data` section.

    cache: folder to keep what was read to tell which files are images, None for nowhere.

    Raises InputError with every folder or table that is not there or has nothing to offer.
    """
    problems: list[Problem] = []
    buckets = Buckets(cache)
    sources = [
        _list_source(number, source, cache, buckets, problems) for number, source in enumerate(data_config["sources"])
    ]
    if not problems and not any(_has_annotations(source) for source in sources):
        cure = "Point data.sources[].annotations at the folder or table that holds them."
        problems.append(Problem("config", "data.sources", "no annotation at all", cure))
    if problems:
        raise InputError(problems, HEADLINE)
    return sources


def warn_of_lists(sources: Sequence[Source], report: Report | None) -> None:
    """Tell of images that lists name and that are not there, on one line for each list; None prints to stderr."""
    for source in sources:
        # Of a list of addresses, none are there yet.
        if source.lists and source.images and not source.urls:
            for warning in source.lists.describe_missing(file[0] for file in source.images):
                (report or print_progress)(f"Warning: {warning}")


def _list_source(number: int, source: Mapping, cache: Path | None, buckets: Buckets, problems: list[Problem]) -> Source:
    field, told = f"data.sources[{number}]", len(problems)
    known = FORMATS[source["format"]]
    root = _tidy(source["images"]) if source.get("images") else None
    places = annotation_places(source.get("annotations"))
    if not places and known.beside and root is not None:
        places = [(None, f"{root}/{known.beside}")]
    remote = root is not None and in_bucket(root)
    if remote and not places and known.per_image:
        # One listing tells of both: images stay where they are, annotations are copied.
        places = [(None, root)]
    where = f"{field}.annotations"
    named = bool(places)
    places = [(split, _here(path, source["format"], buckets, where, problems)) for split, path in places]
    places = [(split, path) for split, path in places if path is not None]
    beside = not places and known.per_image and root is not None
    extensions = IMAGE_EXTENSIONS | frozenset(known.endings) if beside else IMAGE_EXTENSIONS
    images = Tree([])
    if remote:
        images = buckets.images(root, f"{field}.images", problems)
    elif root is not None:
        unknown = functools.partial(opened, cache_path=cache and cache / f"kinds-{number}")
        images = walk(root, extensions, f"{field}.images", problems, unknown)
    parts: list[tuple[str | None, Tree | File]] = [(None, images)] if beside else []
    for split, path in places:
        if known.per_image:
            tree = walk(path, frozenset(known.endings), where, problems)
            _check_kind(path, tree, source["format"], where, problems)
            parts.append((split, tree))
        else:
            parts += [(split, file) for file in _tables(path, known, where, problems)]
    if not named and not beside and not source.get("urls"):
        cure = f"A source of format {source['format']} needs the path of its annotations."
        problems.append(Problem("config", where, "nothing", cure))
    urls = [_one_file(_tidy(path), f"{field}.urls", problems) for path in _as_list(source.get("urls"))]
    # What is wrong with a bucket has been told.
    there = root is not None and (len(problems) == told if remote else os.path.isdir(root))
    if there and not urls and not any(images.images()):
        names = ", ".join(sorted(extension[1:] for extension in IMAGE_EXTENSIONS))
        others = "" if remote else ", and others that begin as an image does"
        cure = f"Files named {names} are looked for{others}."
        problems.append(Problem("config", f"{field}.images", f"no image in {root}", cure))
    mode = source.get("split") or "from_folders"
    result = Source(source.get("name") or "", source["format"], mode, images, tuple(parts), tuple(filter(None, urls)))
    return _with_asides(result, source, None if remote else root, [path for _, path in places], field, problems)


def _with_asides(
    source: Source, config: Mapping, root: str | None, places: Sequence[str], field: str, problems: list[Problem]
) -> Source:
    """Return the source with what else it follows from: the names of its classes, its lists of images."""
    aside: list[File] = []
    names = lists = None
    if source.format == "yolo":
        names, file = find_names(config.get("names"), [*places, *filter(None, [root])], f"{field}.names", problems)
        aside += [file] if file else []
    if also := FORMATS[source.format].also:
        paths = sorted(
            {os.path.join(os.path.dirname(part[1]), also) for _, part in source.parts if isinstance(part, tuple)}
        )
        aside += [(also, path, key) for path in paths if (key := key_of(path)) is not None]
    if config.get("split_lists"):
        files = list_files(config["split_lists"], f"{field}.split_lists", problems)
        lists = SplitLists.read(files, f"{field}.split_lists", problems)
        images = source.images
        if images and lists.entries and not any(lists.split_of(image[0]) for image in images):
            first = next(iter(lists.entries.values()))[0][0]
            found = f"no image of the source in the lists, which have {first!r}"
            cure = "A line is an image's path or the end of it, with or without its extension."
            problems.append(Problem("config", f"{field}.split_lists", found, cure))
        aside += [file for _, file in files]
    return dataclasses.replace(source, aside=tuple(aside), names=names, lists=lists)


def _has_annotations(source: Source) -> bool:
    endings = FORMATS[source.format].endings
    # A list of addresses is where labelling begins.
    return bool(source.urls) or any(isinstance(part, tuple) or part.has(endings) for _, part in source.parts)


def annotation_places(annotations: object) -> list[tuple[str | None, str]]:
    """Return (split, path) of each place that a source's `annotations` name; the split is None where none is given."""
    if isinstance(annotations, Mapping):
        return [(split, _tidy(annotations[split])) for split in SPLITS if annotations.get(split)]
    return [(None, _tidy(path)) for path in _as_list(annotations)]


def _as_list(paths: object) -> list[str]:
    if paths is None:
        return []
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def _tidy(path: str | os.PathLike) -> str:
    return path.rstrip("/") if in_bucket(path) else os.path.normpath(os.fspath(path))


def _here(path: str, kind: str, buckets: Buckets, field: str, problems: list[Problem]) -> str | None:
    """Return where annotations can be read: those in a bucket are copied. None where there are none."""
    if not in_bucket(path):
        return path
    if kind == "tfrecord":
        cure = "Records hold the images, too: copy them into a folder."
        problems.append(Problem("config", field, f"{path}, records in a bucket", cure))
        return None
    return buckets.copies(path, FORMATS[kind].endings, field, problems)


def _check_kind(path: str, tree: Tree, kind: str, field: str, problems: list[Problem]) -> None:
    """Add a problem where a folder that is named for annotations holds those of another format only."""
    endings = FORMATS[kind].endings
    if tree.has(endings):
        return
    others = {
        name: count
        for name, other in FORMATS.items()
        if other.per_image
        and name != kind
        and (count := len(walk(path, frozenset(other.endings), field, []).files(other.endings)))
    }
    for name, count in others.items():
        found = f"{count} {FORMATS[name].endings[0]} file(s) and no {endings[0]} in {path}"
        problems.append(Problem("config", field, found, f"Is the format `{name}`? `{kind}` reads {endings[0]} files."))


def _tables(path: str, known: Format, field: str, problems: list[Problem]) -> Iterator[File]:
    """Yield the table at a path, or those in a folder."""
    if not os.path.isdir(path):
        if (file := _one_file(path, field, problems)) is not None:
            yield file
        return
    found = [name for name in sorted(os.listdir(path)) if known.matches(name) and not name.startswith(".")]
    if not found:
        cure = f"Name the file, or a folder with files that end in {' or '.join(known.endings)}."
        problems.append(Problem("config", field, f"{path}, a folder without annotations", cure))
    for name in found:
        if (file := _one_file(f"{path}/{name}", field, problems)) is not None:
            yield file


def _one_file(path: str, field: str, problems: list[Problem]) -> File | None:
    try:
        status = os.stat(path)
    except OSError as error:
        cure = "Correct the path."
        if path.startswith(SEARCHES):
            cure = f"A search makes this list: `snakemake {path} --cores 1`, with the same configuration."
        problems.append(Problem("config", field, f"{path} ({error.strerror})", cure))
        return None
    if not stat.S_ISREG(status.st_mode):
        problems.append(Problem("config", field, f"{path}, which is no file", "The path of a file is needed here."))
        return None
    return os.path.basename(path), path, stat_key(status)
