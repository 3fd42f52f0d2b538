"""What a file says of each image, gathered entry by entry: several people may have labelled one, or skipped it."""

from dataclasses import dataclass

from odtl.annotations.model import Annotation, Table, TableProblem
from odtl.errors import Problem


@dataclass(frozen=True)
class Said:
    """One person's annotation of an image.

    place: where it stands in the file.
    rank:  what makes it the better one of several: the larger goes first.
    wrong: (reason, field, found, cure) of what is wrong with it.
    """

    place: str
    annotation: Annotation
    rank: tuple = ()
    wrong: tuple[tuple[str, str, str, str], ...] = ()


class Gathering:
    """What a file says of its images, by name, in the order of the file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._said: dict[str, list[Said]] = {}
        self._skipped: dict[str, tuple[str, str]] = {}
        self._loose: list[TableProblem] = []

    def add(self, name: str, said: Said) -> None:
        """Note what somebody says of an image."""
        self._said.setdefault(name, []).append(said)

    def skip(self, name: str, field: str, found: str) -> None:
        """Note that an image is listed, but labelled by nobody or skipped; that counts unless somebody else has."""
        self._skipped.setdefault(name, (field, found))

    def refuse(self, name: str, reason: str, field: str, found: str, cure: str) -> None:
        """Note what is wrong with an entry; name: of its image, "" where it does not tell."""
        self._loose.append(TableProblem(name, reason, Problem(self._path, field, found, cure)))

    def table(self) -> Table:
        """Return all of it: for each image the best of what is said of it.

        Where one name is that of images at several addresses, none is used; where several annotations of one image
        differ, the best is used and that is reported.
        """
        annotations: dict[str, Annotation] = {}
        problems: list[TableProblem] = []
        for name, several in self._said.items():
            # Of equals, the last.
            best = max(reversed(several), key=lambda said: said.rank)
            wrong = list(best.wrong)
            if len({_address(said.annotation) for said in several}) > 1:
                found = f"the name of images at different addresses ({', '.join(said.place for said in several[:5])})"
                wrong.append(("annotation_ambiguous", several[0].place, found, "Give each image a name of its own."))
            elif len(several) > 1 and len(set(map(_meaning, several))) > 1:
                found = f"{len(several)} annotations of one image that differ"
                cure = f"{best.place} is used: see the format's page for which one is."
                wrong.append(("annotation_chosen", several[0].place, found, cure))
            annotations[name] = best.annotation
            problems += [TableProblem(name, reason, Problem(self._path, *rest)) for reason, *rest in wrong]
        for name, (field, found) in self._skipped.items():
            if name not in annotations:
                cure = "Label it, or take it out of the export."
                problems.append(TableProblem(name, "annotation_skipped", Problem(self._path, field, found, cure)))
        return Table(annotations, (*problems, *self._loose))


def _address(annotation: Annotation) -> str:
    # What follows the question mark is most often a signature, another one in each export.
    return "" if annotation.origin is None else annotation.origin.url.partition("?")[0]


def _meaning(said: Said) -> str:
    # As text: NaN equals NaN there.
    return repr(said.annotation._replace(origin=None)) + repr([reason for reason, *_ in said.wrong])


def without_box(masks: int, marks: int, boxes: int, field: str) -> tuple[tuple[str, str, str, str], ...]:
    """Return what is wrong with an annotation that has shapes around which there is no box to be drawn.

    masks: painted areas; marks: points and lines, which have no extent; boxes: how many boxes it has besides.
    """
    if masks:
        cure = "Draw boxes or polygons: without one of its objects, the image would teach that there is nothing."
        return (("shape_unsupported", field, f"{masks} painted mask(s)", cure),)
    if not marks:
        return ()
    found, cure = f"{marks} point(s) or line(s)", "They are left out: they mark no area."
    left_out = ("shape_without_box", field, found, cure)
    return (left_out,) if boxes else (left_out, ("all_boxes_unusable", field, f"{found}, and no box", "Draw boxes."))
