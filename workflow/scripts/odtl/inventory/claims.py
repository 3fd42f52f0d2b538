"""Which image each annotation may belong to: by where it lies, and by what it names itself."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from odtl.inventory.folders import File
from odtl.inventory.pairing import Entry, entry_of
from odtl.inventory.paths import folder_split, slashes, stem_of
from odtl.inventory.reading import EXTRA, LABELS


@dataclass(frozen=True, eq=False)
class Claim:
    """An annotation, and the image that it may belong to.

    stem:   path, without extension, that the image should have relative to the image folder.
    named:  the image's path as the annotation itself states it, with "/"; "" if it does not.
    only_named: whether that is all it has: it is a row of a table, not a file that lies beside its image.
    place:  folder split of where the annotation is; it never belongs to an image of another one.
    packed: what it says, as `reading` packs it.
    """

    path: str
    stem: str
    named: str
    split: str | None
    place: str | None
    packed: list | None
    problems: tuple[tuple[str, str, str, str], ...] = ()
    only_named: bool = False

    @property
    def extra(self) -> Mapping:
        """What few annotations say (see `reading`)."""
        return {} if self.packed is None else self.packed[EXTRA]


def line_problem(reason: str, file: str, field: str, found: str, done: str, **values: str) -> dict[str, str]:
    """Return a problem as a manifest's line holds it (see `LineProblem`); values: `before` and `after`, if any."""
    return {"reason": reason, "file": file, "field": field, "found": found, "done": done, **values}


def file_claim(file: File, split: str | None, value: object, names: Sequence[str] | None = None) -> Claim:
    """Return the claim of a file that annotates one image; `value` is what its reader returned.

    names: of the classes, where the file gives their numbers, from 0.
    """
    relative, path, _ = file
    place = split or folder_split(relative)
    if isinstance(value, list) and names is not None:
        value = _named(value, names)
    if isinstance(value, list):
        return Claim(path, relative[:-4], slashes(value[0] or ""), split, place, value)
    return Claim(path, relative[:-4], "", split, place, None, tuple(map(tuple, value["problems"])))


def _named(packed: list, names: Sequence[str]) -> object:
    numbers = packed[LABELS]
    known = {str(number) for number, name in enumerate(names) if name}
    unknown = sorted(set(numbers) - known)
    if unknown:
        there = f"there are names for 0 to {len(names) - 1}" if names else "there are no names"
        found = f"class {', '.join(unknown[:5])}, but {there}"
        # Without some of its boxes, the image would teach that there is nothing.
        done = "left out. Complete the list of names, or correct the number."
        return {"problems": [["annotation_unreadable", "class", found, done]]}
    return [*packed[:LABELS], [names[int(text)] for text in numbers], *packed[LABELS + 1 :]]


def entry_claim(path: str, split: str | None, entry: Entry) -> Claim:
    """Return the claim of a table's entry."""
    name, packed, problems = entry
    named = slashes(name)
    return Claim(path, stem_of(named), named, split, None, packed, tuple(map(tuple, problems)), True)


def table_claims(
    file: File, split: str | None, table: Mapping, own_splits: bool, settled: Collection[str] = ()
) -> tuple[list[Claim], list[tuple[str, dict]]]:
    """Return a table's annotations, and (path, problem) of the rows that belong to no image.

    own_splits: whether the splits that the table itself states count.
    settled:    names of entries that are left out.
    """
    path, claims = file[1], []
    for name, packed in table["annotations"].items():
        if name not in settled:
            stated = split or (packed[EXTRA].get("split") if own_splits else None)
            claims.append(entry_claim(path, stated, entry_of(table, name)))
    # What is wrong with an image so that it has no annotation, or none yet.
    for name in table["problems"]:
        if name not in settled and name not in table["annotations"]:
            claims.append(entry_claim(path, split, entry_of(table, name)))
    return claims, [(path, line_problem(reason, path, *rest)) for reason, *rest in table["loose"]]


def same_stem(find: Callable[[str], tuple[int, Sequence[File]]]) -> Callable[[Claim], tuple[int, list[str]]]:
    """Return a function from a claim to the images that its place means, and how near that is (see `image_finder`)."""

    def by_path(claim: Claim) -> tuple[int, list[str]]:
        nearness, images = find(claim.stem)
        return nearness, [image[0] for image in images]

    return by_path


def exact_name(images: Sequence[str]) -> Callable[[Claim], tuple[int, list[str]]]:
    """Return a function from a claim to the image whose path is just what the claim names."""
    known = frozenset(images)
    return lambda claim: (0, [claim.named] if claim.named in known else [])
