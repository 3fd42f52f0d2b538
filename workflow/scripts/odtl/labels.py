"""Labels that mean the same but are written otherwise: by case, by what stands between words, by a slip of the hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# A slip is rare where the right spelling is frequent, and short words are most often words of their own.
SLIP_SHARE = 0.05
SLIP_LENGTH = 5
# Labels with more letters are no slips of others: there are as many ways to shorten one.
_LONGEST = 200


@dataclass(frozen=True)
class LookAlike:
    """A rare label that looks like a frequent one, and how many boxes have each."""

    rare: str
    frequent: str
    rare_boxes: int
    frequent_boxes: int


def plain(label: str) -> str:
    """Return a label without what spellings differ in: case, white space, hyphens and underscores."""
    return "".join(label.casefold().replace("_", " ").replace("-", " ").split())


def by_spelling(names: Iterable[str]) -> dict[str, str]:
    """Return plain form -> name, for those that no other of `names` has the `plain` form of."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(plain(name), []).append(name)
    return {form: several[0] for form, several in found.items() if form and len(several) == 1}


def same_but_for_spelling(label: str, names: Iterable[str]) -> str | None:
    """Return the only one of `names` that has the same `plain` form as a label; None if none or several have it."""
    return by_spelling(names).get(plain(label))


def look_alikes(boxes: Mapping[str, int]) -> list[LookAlike]:
    """Return the labels that are probably other ones, misspelt; each with the most frequent that it may be.

    boxes: label -> number of its boxes; those without any are not looked at.

    Two labels are alike if their `plain` forms are the same, however frequent they are; or if one slip makes one
    plain form of the other - a letter too much, missing, another one, or two exchanged - and both have at least
    `SLIP_LENGTH` letters, the slip is in no digit and in no word of one letter, and the rare one has at most
    `SLIP_SHARE` as many boxes, and they have no more than 200 letters. So "dog 1" and "dog 2", "class a" and "class
    b", "cat" and "car" are not alike.
    """
    names = sorted((name for name, count in boxes.items() if count), key=lambda name: (-boxes[name], name))
    found = []
    # The first name of each plain form; and the names by what is left of them without one letter, which two names have
    # in common where one slip makes one of the other. So not each name need be compared with each other one.
    first: dict[str, int] = {}
    shortened: dict[str, list[int]] = {}
    for index, rare in enumerate(names):
        keys = _without_a_letter(_spaced(rare))
        alike = [first.setdefault(plain(rare), index)]
        for other in {other for key in keys for other in shortened.get(key, ())}:
            if boxes[rare] <= SLIP_SHARE * boxes[names[other]] and _is_slip(rare, names[other]):
                alike.append(other)
        if (best := min(alike)) != index:
            found.append(LookAlike(rare, names[best], boxes[rare], boxes[names[best]]))
        for key in keys:
            shortened.setdefault(key, []).append(index)
    return found


def _spaced(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _without_a_letter(name: str) -> set[str]:
    """Return a name, and what is left of it without one of its letters; nothing of one that is no name any more."""
    if len(name) > _LONGEST:
        return set()
    return {name, *(name[:place] + name[place + 1 :] for place in range(len(name)))}


def _is_slip(one: str, other: str) -> bool:
    one, other = _spaced(one), _spaced(other)
    if abs(len(one) - len(other)) > 1 or min(sum(map(str.isalpha, name)) for name in (one, other)) < SLIP_LENGTH:
        return False
    front = _shared(one, other)
    back = min(_shared(one[::-1], other[::-1]), min(len(one), len(other)) - front)
    parts = one[front : len(one) - back], other[front : len(other) - back]
    if any(map(str.isdigit, "".join(parts))) or "" in (_word(one, front), _word(other, front)):
        return False
    return max(map(len, parts)) == 1 or (len(parts[0]) == 2 and parts[0] == parts[1][::-1])


def _word(name: str, place: int) -> str:
    """Return the word at a place in a name; "" for one of a single letter, which is no word but a mark."""
    start, end = name.rfind(" ", 0, place) + 1, name.find(" ", place)
    word = name[start : end if end >= 0 else len(name)]
    return word if len(word) > 1 else ""


def _shared(one: Sequence, other: Sequence) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
