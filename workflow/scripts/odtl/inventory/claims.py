"""Which image each annotation may belong to: by where it lies, and by what it names itself."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from odtl.inventory.folders import File
from odtl.inventory.paths import folder_split, slashes, stem_of


@dataclass(frozen=True, eq=False)
class Claim:
    """An annotation, and the image that it may belong to.

    stem:   path, without extension, that the image should have relative to the image folder.
    named:  the image's path as the annotation itself states it, with "/"; "" if it does not.
    only_named: whether that is all it has: it is a row of a table, not a file that lies beside its image.
    place:  folder split of where the annotation is; it never belongs to an image of another one.
    """

    path: str
    stem: str
    named: str
    split: str | None
    place: str | None
    packed: list | None
    problems: tuple[tuple[str, str, str, str], ...] = ()
    only_named: bool = False


def line_problem(reason: str, file: str, field: str, found: str, done: str) -> dict[str, str]:
    """Return a problem as a manifest's line holds it (see `LineProblem`)."""
    return {"reason": reason, "file": file, "field": field, "found": found, "done": done}


def voc_claim(file: File, split: str | None, value: object) -> Claim:
    """Return the claim of an XML file; `value` is what its reader returned."""
    relative, path, _ = file
    place = split or folder_split(relative)
    if isinstance(value, list):
        return Claim(path, relative[:-4], slashes(value[0] or ""), split, place, value)
    return Claim(path, relative[:-4], "", split, place, None, tuple(map(tuple, value["problems"])))


def table_claims(file: File, split: str | None, table: Mapping) -> tuple[list[Claim], list[tuple[str, dict]]]:
    """Return a table's annotations, and (path, problem) of the rows that belong to no image."""
    path, problems, loose = file[1], defaultdict(list), []
    for filename, *problem in table["rows"]:
        if filename:
            problems[filename].append(tuple(problem))
        else:
            reason, *rest = problem
            loose.append((path, line_problem(reason, path, *rest)))
    claims = []
    for filename, packed in table["annotations"].items():
        named = slashes(filename)
        claims.append(Claim(path, stem_of(named), named, split, None, packed, tuple(problems[filename]), True))
    return claims, loose


def same_stem(by_stem: Mapping[str, Sequence[File]]) -> Callable[[Claim], list[str]]:
    """Return a function from a claim to the images whose path without extension is the claim's."""
    return lambda claim: [image[0] for image in by_stem.get(claim.stem, ())]


def exact_name(images: Sequence[str]) -> Callable[[Claim], list[str]]:
    """Return a function from a claim to the image whose path is just what the claim names."""
    known = frozenset(images)
    return lambda claim: [claim.named] if claim.named in known else []
