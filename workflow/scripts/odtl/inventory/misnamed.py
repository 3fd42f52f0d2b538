"""Annotations that lie beside their image but name another one: two may have been exchanged.

What an annotation names inside is most often stale, and says nothing where the path tells. Where the image of that name
lies in the same folder, too, a person should look. This is the one thing that a settled line owes to another file, so
each that might is remembered, with the image that it hangs on.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from odtl.inventory.claims import Claim, line_problem
from odtl.inventory.kinds import is_image_name
from odtl.inventory.listing import Source
from odtl.inventory.paths import basename, composed, folder_of, root_of, stem_of


class Misnamed(NamedTuple):
    """An image's line whose annotation names another image.

    number:   of the source; relative: path of the image in it.
    shard, line_id: of the line.
    file:     the annotation; named: what it names, the last part of a path.
    """

    number: int
    relative: str
    shard: str
    line_id: str
    file: str
    named: str

    @property
    def other(self) -> str:
        """The path that the named image would have, without extension, beside this one."""
        return folder_of(self.relative) + stem_of(self.named)


def misnamed(number: int, relative: str, place: tuple[str, str], claim: Claim | None) -> Iterator[Misnamed]:
    """Yield that, if an image's annotation names another one; `place` is the image's shard and id."""
    if claim is None or claim.only_named or not claim.named:
        return
    named = basename(claim.named)
    if composed(stem_of(named)) != composed(basename(stem_of(relative))):
        yield Misnamed(number, relative, *place, claim.path, named)


def problems_of(found: Sequence[Misnamed], sources: Sequence[Source]) -> dict[str, dict[str, dict[str, str]]]:
    """Return shard -> id -> problem of those whose other image is there; `sources` are all, with all their files."""
    stems: dict[tuple[int, str], Collection[str]] = {}
    problems: dict[str, dict[str, dict[str, str]]] = {}
    for each in found:
        folder = folder_of(each.relative)
        if (each.number, folder) not in stems:
            stems[each.number, folder] = _stems(sources[each.number], folder)
        if composed(basename(each.other)) in stems[each.number, folder]:
            said = f"{each.named}, which is the name of another image there"
            done = f"used for {each.relative}, beside which it lies; if two were exchanged, rename them"
            problem = line_problem("filename_of_another", each.file, "filename", said, done)
            problems.setdefault(each.shard, {})[each.line_id] = problem
    return problems


def _stems(source: Source, folder: str) -> Collection[str]:
    names = (name for each in source.root.folders if each.prefix == folder for name in each.names)
    return {composed(stem_of(name)) for name in names if is_image_name(name)}


def concerned(known: Sequence[Misnamed], number: int, roots: Collection[str]) -> set[str]:
    """Return the `root_of` each image of a source whose line hangs on files with one of these roots."""
    if not known:
        return set()
    changed = set(map(composed, roots))
    mine = (each for each in known if each.number == number)
    return {root_of(each.relative) for each in mine if composed(root_of(each.other)) in changed}


def kept(known: Sequence[Misnamed], gone: Mapping[str, Collection[str]]) -> list[Misnamed]:
    """Return those whose lines are not among the ids of a shard that are `gone`."""
    return [each for each in known if each.line_id not in gone.get(each.shard, ())]
