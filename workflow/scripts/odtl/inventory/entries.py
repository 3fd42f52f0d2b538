"""The lines of the manifests in the making: one per image, and one per annotation or row without image."""

from dataclasses import dataclass

from odtl.inventory.claims import Claim, line_problem
from odtl.inventory.classes import Classifier
from odtl.inventory.matching import Match
from odtl.inventory.paths import basename, folder_of, stem_of
from odtl.repairs import REJECTED, STATUS_OF


@dataclass(frozen=True)
class Entry:
    """One line in the making, without its id and group.

    relative: the image's path in its source, or the one it would have.
    fallback: what tells an annotation without image apart where its image's id is taken.
    split:    what the configuration gives its annotation, if that.
    """

    relative: str
    fallback: str
    split: str | None
    line: dict


def image_entry(relative: str, path: str, value: object, match: Match, classify: Classifier) -> Entry:
    """Return the entry of an image; `value` is what `read_sources` returned for it."""
    claim = match.claims.get(relative)
    problems = list(match.problems.get(relative, ()))
    sha256 = value if isinstance(value, str) else None
    if sha256 is None:
        problems += [line_problem(reason, path, *rest) for reason, *rest in value["problems"]]
    annotation = None
    if claim is not None:
        problems += [line_problem(reason, claim.path, *rest) for reason, *rest in claim.problems]
        annotation = _annotation(claim, classify)
    if annotation is not None:
        problems += classify.unknown(annotation)
        if not any(STATUS_OF[problem["reason"]] == REJECTED for problem in problems):
            classify.used.update(name for name in annotation["classes"] if name is not None)
    line = {"image": path, "sha256": sha256, "annotation": annotation, "problems": problems}
    return Entry(relative, path, None if claim is None else claim.split, line)


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
    _, width, height, boxes, labels, difficult, truncated = claim.packed
    return {
        "file": claim.path,
        "width": width,
        "height": height,
        "boxes": boxes,
        "labels": labels,
        "classes": [classify(label) for label in labels],
        "difficult": difficult,
        "truncated": truncated,
    }
