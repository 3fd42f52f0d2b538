"""Which annotation is beside which image: what file names alone settle, so that no other file has a say in it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from odtl.inventory.folders import File, Tree
from odtl.inventory.listing import Source
from odtl.inventory.paths import basename, plain, slashes, stem_of
from odtl.inventory.reading import EXTRA
from odtl.inventory.tables import Tables, tables_of

# Name of an image in a table, what is said of it (see `reading.READERS`) or None, and the problems with that.
Entry = tuple[str, list | None, list]
# An image; the split that the configuration or its annotation gives it, or None; the file that annotates it, None for
# an image without; and, where that file annotates many images, its entry there, else None. Its line depends on these
# and on nothing else. An image that is to be fetched has "" in place of its path.
Unit = tuple[File, str | None, File | None, Entry | None]
# Split that the configuration gives, table, name in it.
_Place = tuple[str | None, File, str]
_YOLO_OTHERS = frozenset(("classes.txt", "obj.names", "train.txt", "val.txt", "valid.txt", "test.txt", "labels.txt"))


@dataclass(frozen=True)
class Pairing:
    """The images of a source, settled or not, and the annotations that are in no unit.

    settled_entries: of each table that is open: the names in it that are in units.
    """

    units: list[Unit]
    open_images: list[File]
    open_annotations: list[tuple[str | None, File]]
    settled_entries: Mapping[str, Collection[str]] = field(default_factory=dict)


def pair(source: Source, tables: Tables) -> Pairing:
    """Return what the names settle: an image and the only annotation with its path, each without a rival.

    All else is open: `matching` decides, and to do so it has to know what the annotations say. So are all images of a
    list of addresses.
    """
    if source.urls:
        return Pairing([], source.images, [(split, file) for split, files in source.annotations for file in files])
    return _pair_files(source) if source.per_image else _pair_entries(source, tables)


def entry_of(table: Mapping, name: str) -> Entry:
    """Return what a table says of an image."""
    return name, table["annotations"].get(name), table["problems"].get(name, [])


def _pair_entries(source: Source, tables: Tables) -> Pairing:
    """Settle what files that annotate many images hold: an image, and the only entry that names just its path."""
    own_splits = source.split == "from_folders"
    wanted: dict[str, list[_Place]] = {}
    for _, split, file in tables_of(source):
        for name in _names(tables[file[1]]):
            wanted.setdefault(slashes(name), []).append((split, file, name))
    units: list[Unit] = []
    settled: dict[str, set[str]] = {file[1]: set() for _, _, file in tables_of(source)}
    for image, (split, file, name) in _only_ones(source, tables, wanted):
        entry = entry_of(tables[file[1]], name)
        stated = entry[1][EXTRA].get("split") if own_splits and entry[1] else None
        units.append((image, split or stated, file, entry))
        settled[file[1]].add(name)
    taken = {unit[0][0] for unit in units}
    alone = [image for image in source.images if image[0] not in taken]
    left = [
        (split, file)
        for _, split, file in tables_of(source)
        if tables[file[1]]["loose"] or len(settled[file[1]]) < len(_names(tables[file[1]]))
    ]
    return _paired(source, units, alone, left, settled)


def _only_ones(source: Source, tables: Tables, wanted: Mapping[str, Sequence[_Place]]) -> Iterator[tuple[File, _Place]]:
    """Yield each image that just one entry names, with that entry; `wanted` has the entries by the path they name."""
    if source.images:
        found = ((image, wanted.get(image[0], ())) for image in source.images)
        yield from ((image, entries[0]) for image, entries in found if len(entries) == 1)
        return
    # Without any image in the folder, no entry can be for one of them.
    by_origin: dict[str, list[_Place]] = {}
    for entries in wanted.values():
        for split, file, name in entries:
            packed = tables[file[1]]["annotations"].get(name)
            if packed is not None and "called" in packed[EXTRA]:
                by_origin.setdefault(packed[EXTRA]["called"], []).append((split, file, name))
    for called, entries in by_origin.items():
        if len(entries) == 1:
            yield (called, "", None), entries[0]


def _names(table: Mapping) -> Collection[str]:
    """Return the names of all images that a table says something of."""
    return table["annotations"].keys() | table["problems"].keys() if table["problems"] else table["annotations"]


def _pair_files(source: Source) -> Pairing:
    """Settle files that each annotate one image."""
    by_stem = image_finder(source)
    claims: dict[File, list[tuple[str | None, File, bool]]] = {}
    for split, files in source.annotations:
        for file in files:
            _, own = by_stem(file[0][:-4])
            for image in own:
                claims.setdefault(image, []).append((split, file, len(own) == 1))
    partners = {image: found[0][:2] for image, found in claims.items() if len(found) == 1 and found[0][2]}
    taken = {file[1] for _, file in partners.values()}
    left = [(split, file) for split, files in source.annotations for file in files if file[1] not in taken]
    left = [(split, file) for split, file in left if not _is_other(file, source)]
    alone = [image for image in source.images if image not in partners]
    units = [(image, *partner, None) for image, partner in partners.items()]
    return _paired(source, units, alone, left, {})


def _paired(
    source: Source,
    units: list[Unit],
    alone: list[File],
    left: list[tuple[str | None, File]],
    settled: Mapping[str, Collection[str]],
) -> Pairing:
    if not left:
        units += [(image, None, None, None) for image in alone]
    if source.lists and source.split == "from_folders":
        units = [(image, source.lists.split_of(image[0]) or split, *rest) for image, split, *rest in units]
    return Pairing(units, alone, left, settled) if left else Pairing(units, [], [])


def image_finder(source: Source) -> Callable[[str], tuple[int, Sequence[File]]]:
    """Return a function from an annotation's path without extension to the images that it may mean by its place.

    It also returns how near that is: 0 at the same path, 1 in a folder beside (train/images/a.jpg, train/labels/a.txt).
    """
    by_stem = _images_by_stem(source.images)
    trees = [source.root, *(part for _, part in source.parts if isinstance(part, Tree))]
    by_plain: dict[str, list[File]] = {}
    if any(plain(folder.prefix) != folder.prefix for tree in trees for folder in tree.folders):
        for stem, images in by_stem.items():
            by_plain.setdefault(plain(stem), []).extend(images)

    def find(stem: str) -> tuple[int, Sequence[File]]:
        if (found := by_stem.get(stem)) is not None:
            return 0, found
        found = by_plain.get(plain(stem), ())
        # Of several, what they hold and how near they are decides.
        return 1, found if len(found) == 1 else ()

    return find


def _is_other(file: File, source: Source) -> bool:
    """Say whether a file that has no image is what tools leave beside annotations, and no annotation."""
    name = basename(file[0]).lower()
    return file[1] in {aside[1] for aside in source.aside} or (
        source.format == "yolo" and (name in _YOLO_OTHERS or name.startswith("readme"))
    )


def _images_by_stem(images: Sequence[File]) -> dict[str, list[File]]:
    """Return the images that an annotation's path without .xml may mean: a.xml or a.jpg.xml for a.jpg."""
    index: dict[str, list[File]] = {}
    for image in images:
        relative = image[0]
        # Some tools name the annotation of a.jpg a.jpg.xml. What has no image's extension has one name only.
        for stem in {stem_of(relative), relative}:
            index.setdefault(stem, []).append(image)
    return index
