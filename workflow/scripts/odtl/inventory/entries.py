"""The lines of the manifests in the making: one per image, and one per annotation or row without image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from odtl.inventory.claims import Claim, line_problem
from odtl.inventory.classes import Classifier
from odtl.inventory.paths import basename, folder_of, stem_of
from odtl.repairs import REJECTED, STATUS_OF


@dataclass(frozen=True)
class Entry:
    """One line in the making, without its id and group.

    relative: the image's path in its source, or the one it would have.
    fallback: what tells an annotation without image apart where its image's id is taken.
    split:    what the configuration gives its annotation, if that.
    classes:  that are in use through it: those of its boxes if it is a usable image.
    """

    relative: str
    fallback: str
    split: str | None
    line: dict
    classes: frozenset[str] = frozenset()


def image_entry(
    relative: str,
    path: str,
    value: object,
    claim: Claim | None,
    problems: Sequence[dict],
    classify: Classifier,
    split: str | None,
) -> Entry:
    """Return the entry of an image.

    value:    what its reader returned for it.
    claim:    its annotation, if it has one.
    problems: with its match.
    split:    what the configuration gives it, if that.
    """
    problems = list(problems)
    sha256 = value if isinstance(value, str) else None
    if sha256 is None:
        problems += [line_problem(reason, path, *rest) for reason, *rest in value["problems"]]
    annotation, more = _of_claim(claim, classify)
    line = {"image": path, "sha256": sha256, "annotation": annotation, "problems": problems + more}
    return Entry(relative, path, split, line, classes_in_use(line))


def remote_entry(
    relative: str,
    origin: Mapping[str, str],
    claim: Claim | None,
    problems: Sequence[dict],
    classify: Classifier,
    split: str | None,
) -> Entry:
    """Return the entry of an image that is to be fetched (arguments as for `image_entry`)."""
    annotation, more = _of_claim(claim, classify)
    line = {
        "image": None,
        "sha256": None,
        "origin": dict(origin),
        "annotation": annotation,
        "problems": [*problems, *more],
    }
    return Entry(relative, relative, split, line, classes_in_use(line))


def _of_claim(claim: Claim | None, classify: Classifier) -> tuple[dict | None, list[dict[str, str]]]:
    """Return an annotation as a line has it, and what is wrong with it."""
    if claim is None:
        return None, []
    problems = [line_problem(reason, claim.path, *rest) for reason, *rest in claim.problems]
    annotation = _annotation(claim, classify)
    return annotation, problems if annotation is None else [*problems, *classify.problems(annotation)]


def classes_in_use(line: Mapping) -> frozenset[str]:
    """Return the classes of a line's boxes; none if it has no image, or one that is rejected."""
    if (line["image"] is None and "origin" not in line) or line["annotation"] is None:
        return frozenset()
    if any(STATUS_OF[problem["reason"]] == REJECTED for problem in line["problems"]):
        return frozenset()
    return frozenset(name for name in line["annotation"]["classes"] if name is not None)


def orphan_entry(claim: Claim, why: str, classify: Classifier) -> Entry:
    """Return the entry of an annotation without image."""
    missing = line_problem("image_missing", claim.path, "file", why, "left out; add the image or remove the annotation")
    problems = [*(line_problem(reason, claim.path, *rest) for reason, *rest in claim.problems), missing]
    line = {"image": None, "sha256": None, "annotation": _annotation(claim, classify), "problems": problems}
    return Entry(_would_be(claim), claim.path, claim.split, line)


def row_entry(path: str, problem: dict[str, str]) -> Entry:
    """Return the entry of a table's row that belongs to no image."""
    line = {"image": None, "sha256": None, "annotation": None, "problems": [problem]}
    return Entry(f"{basename(path)}, {problem['field']}", f"{path}, {problem['field']}", None, line)


def _would_be(claim: Claim) -> str:
    """Return the path that a missing image would have, so that its line is where the image's will be."""
    name = basename(claim.named)
    if not name or stem_of(name) == name:
        return claim.stem
    return folder_of(claim.stem) + name


def _annotation(claim: Claim, classify: Classifier) -> dict | None:
    if claim.packed is None:
        return None
    _, width, height, boxes, labels, difficult, truncated, extra = claim.packed
    return {
        **{name: extra[name] for name in ("crowd", "normalised", "upward") if name in extra},
        "file": claim.path,
        "width": width,
        "height": height,
        "boxes": boxes,
        "labels": labels,
        "classes": [classify(label) for label in labels],
        "difficult": difficult,
        "truncated": truncated,
    }
