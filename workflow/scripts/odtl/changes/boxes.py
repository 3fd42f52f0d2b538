"""Which box became which: two annotations of one image, as a person would tell them apart."""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from odtl.manifest import LineAnnotation

# A box of another class is taken for the same object only where most of it is the same.
_SAME_OBJECT = 0.5


@dataclass(frozen=True)
class Box:
    """One box as written: (xmin, ymin, xmax, ymax) in pixels, its label, its class (None: not a class), its flags."""

    box: tuple[float, float, float, float]
    label: str
    class_name: str | None
    difficult: bool = False
    truncated: bool = False
    crowd: bool = False

    @property
    def name(self) -> str:
        """Return what to call it: its class, or its label where that is none."""
        return self.class_name if self.class_name is not None else f"{self.label}, not a class"

    @property
    def place(self) -> str:
        """Return its edges as text."""
        return f"({', '.join(f'{round(edge, 2):g}' if abs(edge) < 1e5 else repr(edge) for edge in self.box)})"


@dataclass(frozen=True)
class BoxChange:
    """One box that was added (`before` is None), removed (`after` is None) or altered.

    number: its place in the annotation, from 1: as it was, or as it is for an added one.
    """

    number: int
    before: Box | None
    after: Box | None

    @property
    def moved(self) -> bool:
        """Return whether the box was there before and is elsewhere now."""
        return self.before is not None and self.after is not None and self.before.box != self.after.box

    @property
    def renamed(self) -> bool:
        """Return whether the box was there before and has another class now."""
        return self.before is not None and self.after is not None and self.before.name != self.after.name

    def __str__(self) -> str:
        box = f"box {self.number}"
        if self.before is None:
            return f"{box} ({self.after.name}) added: {self.after.place}"
        if self.after is None:
            return f"{box} ({self.before.name}) removed: {self.before.place}"
        parts = []
        if self.moved:
            parts.append(f"moved: {self.before.place} -> {self.after.place}")
        if self.renamed:
            parts.append(f"class {self.before.name} -> {self.after.name}")
        elif self.before.label != self.after.label:
            parts.append(f"label {self.before.label} -> {self.after.label}")
        for flag in ("difficult", "truncated", "crowd"):
            if getattr(self.before, flag) != getattr(self.after, flag):
                parts.append(f"{'now' if getattr(self.after, flag) else 'no longer'} marked {flag}")
        return f"{box}{'' if self.renamed else f' ({self.before.name})'} {', '.join(parts)}"


def boxes_of(annotation: LineAnnotation) -> list[Box]:
    """Return an annotation's boxes, in its order."""
    # One and the same NaN for all: any other is not equal to itself.
    boxes = [tuple([edge if edge == edge else math.nan for edge in box]) for box in annotation.boxes]
    crowd = annotation.crowd or [False] * len(boxes)
    columns = (boxes, annotation.labels, annotation.classes, annotation.difficult, annotation.truncated, crowd)
    return [Box(*values) for values in zip(*columns, strict=True)]


def meaning_of(annotation: LineAnnotation | None) -> Hashable:
    """Return what is the same for two annotations that say the same, in whatever order and file."""
    if annotation is None:
        return None
    frame = annotation.width, annotation.height, annotation.normalised, annotation.upward
    return *frame, tuple(sorted(map(repr, boxes_of(annotation))))


def compare_boxes(before: LineAnnotation, after: LineAnnotation) -> tuple[BoxChange, ...]:
    """Return what became of each box that is not as it was; the order of the boxes says nothing.

    A box keeps its identity if it stands where it stood, else if a box of its class overlaps with it (best overlap
    first), else if any box covers mostly the same pixels, else if it is the only one left of its class on both sides.
    """
    old, new = boxes_of(before), boxes_of(after)
    # Of most images, most boxes are as they were, in the same order.
    same = {i for i, (one, other) in enumerate(zip(old, new, strict=False)) if one == other}
    left, right = [i for i in range(len(old)) if i not in same], [j for j in range(len(new)) if j not in same]
    changes = []
    for match in _MATCHES:
        if not (left and right):
            break
        for i, j in match(old, new, left, right):
            if i in left and j in right:
                left.remove(i)
                right.remove(j)
                if old[i] != new[j]:
                    changes.append(BoxChange(i + 1, old[i], new[j]))
    changes += [BoxChange(i + 1, old[i], None) for i in left]
    return (*sorted(changes, key=lambda change: change.number), *(BoxChange(j + 1, None, new[j]) for j in right))


def _equal(key: Callable[[Box], Hashable]) -> Callable[..., Iterable[tuple[int, int]]]:
    def match(old: list[Box], new: list[Box], left: list[int], right: list[int]) -> list[tuple[int, int]]:
        waiting = defaultdict(list)
        for j in reversed(right):
            waiting[key(new[j])].append(j)
        return [(i, found.pop()) for i in left if (found := waiting.get(key(old[i])))]

    return match


def _overlapping(same_class: bool, least: float) -> Callable[..., Iterable[tuple[int, int]]]:
    def match(old: list[Box], new: list[Box], left: list[int], right: list[int]) -> list[tuple[int, int]]:
        found = []
        for i in left:
            for j in right:
                if not same_class or old[i].name == new[j].name:
                    overlap = _iou(old[i].box, new[j].box)
                    if overlap > least:
                        found.append((-overlap, i, j))
        return [(i, j) for _, i, j in sorted(found)]

    return match


def _last_of_class(old: list[Box], new: list[Box], left: list[int], right: list[int]) -> list[tuple[int, int]]:
    of_class = defaultdict(lambda: ([], []))
    for i in left:
        of_class[old[i].name][0].append(i)
    for j in right:
        of_class[new[j].name][1].append(j)
    return [(i[0], j[0]) for i, j in of_class.values() if len(i) == len(j) == 1]


def _iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the intersection over union of two boxes as written, swapped edges put right; 0 where one has no area."""
    a, b = _upright(one), _upright(other)
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if not (width > 0 and height > 0):
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def _upright(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    xmin, ymin, xmax, ymax = box
    return min(xmin, xmax), min(ymin, ymax), max(xmin, xmax), max(ymin, ymax)


# From the surest to the least sure.
_MATCHES = (
    _equal(lambda box: box),
    _equal(lambda box: (box.box, box.name)),
    _equal(lambda box: box.box),
    _overlapping(same_class=True, least=0.0),
    _overlapping(same_class=False, least=_SAME_OBJECT),
    _last_of_class,
)
