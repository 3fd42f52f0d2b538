"""What became of the images: two inventories of one data set, compared line by line."""

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from odtl.changes.boxes import BoxChange, boxes_of, compare_boxes, meaning_of
from odtl.manifest import Line, LineProblem, parse_line
from odtl.origins import shown_url
from odtl.split import parse_shard_name

# In the order in which they are told. What each is called, after "12 images".
KINDS = {
    "added": "added",
    "removed": "removed",
    "renamed": "renamed",
    "moved": "moved to another split",
    "relabelled": "relabelled",
    "labelled": "labelled for the first time",
    "unlabelled": "without their labels now",
    "broken": "with an annotation that has become unreadable",
    "mended": "with an annotation that can be read again",
    "replaced": "with other pixels",
    "problem": "with a new problem",
    "cured": "without a problem they had",
    "size": "with another stated size",
    "reordered": "with the same boxes in another order",
    "regrouped": "in another group",
    "path": "at another path",
    "other": "changed otherwise",
}
_UNREADABLE = {"annotation_unreadable", "annotation_unsafe", "annotation_ambiguous"}


@dataclass(frozen=True)
class ImageChange:
    """One thing that became of one image; an image may have several.

    kind:          a key of `KINDS`.
    image, split:  its id and split as they are now, as they were for a removed one.
    before, after: what changed, as text; "" where there is nothing to say.
    boxes:         the boxes that are not as they were, of a relabelled image.
    """

    kind: str
    image: str
    split: str
    before: str = ""
    after: str = ""
    boxes: tuple[BoxChange, ...] = ()


@dataclass(frozen=True)
class _Placed:
    split: str
    line: Line


def compare_manifests(
    before: Mapping[str, str | os.PathLike], after: Mapping[str, str | os.PathLike]
) -> tuple[ImageChange, ...]:
    """Return what changed between two inventories, by kind and then by id.

    before, after: shard -> its manifest. A shard whose manifest is the same on both sides may be left out of both.

    Only lines that differ are parsed; neither the order of the lines nor the number of shards matters.
    """
    old, new = _lines(before), _lines(after)
    return compare_lines(_parse(old - new), _parse(new - old))


def compare_lines(before: Iterable[tuple[str, Line]], after: Iterable[tuple[str, Line]]) -> tuple[ImageChange, ...]:
    """Return what changed between two sets of (split, line), by kind and then by id."""
    old = {line.id: _Placed(split, line) for split, line in before}
    new = {line.id: _Placed(split, line) for split, line in after}
    pairs = [(old[name], new[name]) for name in old.keys() & new.keys()]
    gone = {name: old[name] for name in old.keys() - new.keys()}
    come = {name: new[name] for name in new.keys() - old.keys()}
    # The same bytes with the same labels first: of two copies, the one that kept its labels is the renamed one.
    for key in (lambda line: (line.sha256, meaning_of(line.annotation)), lambda line: line.sha256):
        renamed = list(_renamed(gone, come, key))
        pairs += [(gone.pop(one), come.pop(other)) for one, other in renamed]
    changes = [change for one, other in pairs for change in _compare(one, other)]
    changes += [change for placed in gone.values() for change in _gone(placed)]
    changes += [change for placed in come.values() for change in _come(placed)]
    order = list(KINDS)
    return tuple(sorted(changes, key=lambda change: (order.index(change.kind), change.image, change.before)))


def count_boxes(line: Line) -> str:
    """Return how many boxes an image has, in words."""
    if line.annotation is None:
        return "not labelled"
    count = len(line.annotation.boxes)
    return f"{count} {'box' if count == 1 else 'boxes'}"


def _lines(manifests: Mapping[str, str | os.PathLike]) -> set[tuple[str, str]]:
    lines = set()
    for shard, path in manifests.items():
        split = parse_shard_name(shard)[0]
        with open(path, encoding="utf-8", newline="\n") as stream:
            lines.update((split, text) for text in stream)
    return lines


def _parse(lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Line]]:
    return ((split, parse_line(text)) for split, text in lines)


def _renamed(gone: Mapping[str, _Placed], come: Mapping[str, _Placed], key) -> Iterator[tuple[str, str]]:
    waiting: dict[Hashable, list[str]] = defaultdict(list)
    for name in sorted(come, reverse=True):
        if come[name].line.sha256 is not None:
            waiting[key(come[name].line)].append(name)
    for name in sorted(gone):
        if gone[name].line.sha256 is not None and (found := waiting.get(key(gone[name].line))):
            yield name, found.pop()


def _gone(old: _Placed) -> Iterator[ImageChange]:
    if not old.line.has_image:
        yield from (_problem("cured", old, problem) for problem in old.line.problems)
    else:
        yield ImageChange("removed", old.line.id, old.split, before=count_boxes(old.line))


def _come(new: _Placed) -> Iterator[ImageChange]:
    if new.line.has_image:
        yield ImageChange("added", new.line.id, new.split, after=count_boxes(new.line))
    yield from (_problem("problem", new, problem) for problem in new.line.problems)


def _compare(old: _Placed, new: _Placed) -> Iterator[ImageChange]:
    one, other = old.line, new.line
    if not one.has_image and other.has_image:
        yield ImageChange("added", other.id, new.split, after=f"{count_boxes(other)}; its annotation was there already")
        return
    if one.has_image and not other.has_image:
        yield ImageChange("removed", other.id, new.split, before=f"{count_boxes(one)}; its annotation is still there")
        return
    changes = [*_compare_image(old, new), *_compare_annotation(old, new), *_compare_problems(old, new)]
    if not changes:
        changes = [*_compare_paths(old, new)]
    yield from changes or [ImageChange("other", other.id, new.split)]


def _compare_image(old: _Placed, new: _Placed) -> Iterator[ImageChange]:
    one, other = old.line, new.line
    if one.id != other.id:
        yield ImageChange("renamed", other.id, new.split, one.id, other.id)
    elif one.group != other.group:
        yield ImageChange("regrouped", other.id, new.split, one.group, other.group)
    if old.split != new.split:
        yield ImageChange("moved", other.id, new.split, old.split, new.split)
    if any(
        before and after and before != after for before, after in zip(_versions(one), _versions(other), strict=True)
    ):
        yield ImageChange("replaced", other.id, new.split)


def _compare_annotation(old: _Placed, new: _Placed) -> Iterator[ImageChange]:
    one, other, image = old.line.annotation, new.line.annotation, (new.line.id, new.split)
    if one is None and other is None:
        return
    if one is None:
        yield ImageChange("mended" if _unreadable(old.line) else "labelled", *image, after=count_boxes(new.line))
    elif other is None:
        why = "; ".join(_words(problem) for problem in _unreadable(new.line))
        yield ImageChange("broken" if why else "unlabelled", *image, before=count_boxes(old.line), after=why)
    elif boxes := compare_boxes(one, other):
        yield ImageChange("relabelled", *image, boxes=boxes)
    elif (one.width, one.height) != (other.width, other.height):
        yield ImageChange("size", *image, f"{one.width} x {one.height}", f"{other.width} x {other.height}")
    elif boxes_of(one) != boxes_of(other):
        yield ImageChange("reordered", *image)


def _compare_problems(old: _Placed, new: _Placed) -> Iterator[ImageChange]:
    told = {*_unreadable(old.line), *_unreadable(new.line)}
    one, other = set(old.line.problems) - told, set(new.line.problems) - told
    # A renamed image's files have other names: only what is wrong counts then.
    if old.line.id != new.line.id and {p.reason for p in one} == {p.reason for p in other}:
        return
    for problem in sorted(one - other, key=_words):
        yield _problem("cured", old, problem)
    for problem in sorted(other - one, key=_words):
        yield _problem("problem", new, problem)


def _compare_paths(old: _Placed, new: _Placed) -> Iterator[ImageChange]:
    one, other = old.line, new.line
    if (place := _place(one)) != (new_place := _place(other)):
        yield ImageChange("path", other.id, new.split, place, new_place)
    elif one.annotation and other.annotation and one.annotation.file != other.annotation.file:
        yield ImageChange("path", other.id, new.split, one.annotation.file, other.annotation.file)


def _versions(line: Line) -> tuple[str | None, str]:
    """Return what differs with an image's bytes: their sum, and the etag of an object in a bucket."""
    return line.sha256, line.origin.etag if line.origin else ""


def _place(line: Line) -> str:
    return line.image or (shown_url(line.origin.url) if line.origin else "")


def _unreadable(line: Line) -> list[LineProblem]:
    return [problem for problem in line.problems if problem.reason in _UNREADABLE]


def _problem(kind: str, placed: _Placed, problem: LineProblem) -> ImageChange:
    side = "after" if kind == "problem" else "before"
    return ImageChange(kind, placed.line.id, placed.split, **{side: _words(problem)})


def _words(problem: LineProblem) -> str:
    where = f"{problem.field}: " if problem.field else ""
    return f"{problem.reason.replace('_', ' ')} ({problem.file}: {where}found {problem.found})"
