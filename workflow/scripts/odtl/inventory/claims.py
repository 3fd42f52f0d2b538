"""Which image each annotation may belong to: by where it lies, and by what it names itself."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from odtl.inventory.listing import Source
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


def voc_claims(source: Source, values: Mapping[str, object]) -> list[Claim]:
    """Return a claim for each XML file; `values` is what `read_sources` returned."""
    claims = []
    for split, files in source.annotations:
        for relative, path, _ in files:
            value = values[path]
            place = split or folder_split(relative)
            if isinstance(value, list):
                claims.append(Claim(path, relative[:-4], slashes(value[0] or ""), split, place, value))
            else:
                claims.append(Claim(path, relative[:-4], "", split, place, None, tuple(map(tuple, value["problems"]))))
    return claims


def csv_claims(source: Source, values: Mapping[str, object]) -> tuple[list[Claim], list[tuple[str, dict]]]:
    """Return the tables' annotations, and the problems of rows that belong to no image."""
    claims, loose = [], []
    for split, files in source.annotations:
        for _, path, _ in files:
            table = values[path]
            problems = defaultdict(list)
            for filename, *problem in table["rows"]:
                if filename:
                    problems[filename].append(tuple(problem))
                else:
                    reason, *rest = problem
                    loose.append((path, line_problem(reason, path, *rest)))
            for filename, packed in table["annotations"].items():
                named = slashes(filename)
                claim = Claim(path, stem_of(named), named, split, None, packed, tuple(problems[filename]), True)
                claims.append(claim)
    return claims, loose


def same_stem(images: Sequence[str]) -> Callable[[Claim], list[str]]:
    """Return a function from a claim to the images whose path without extension is the claim's."""
    index: dict[str, list[str]] = {}
    for image in images:
        index.setdefault(stem_of(image), []).append(image)
        # Some tools name the annotation of a.jpg a.jpg.xml.
        index.setdefault(image, []).append(image)
    return lambda claim: index.get(claim.stem, [])


def exact_name(images: Sequence[str]) -> Callable[[Claim], list[str]]:
    """Return a function from a claim to the image whose path is just what the claim names."""
    known = frozenset(images)
    return lambda claim: [claim.named] if claim.named in known else []
