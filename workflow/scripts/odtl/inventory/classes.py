"""From labels as written to classes."""

import difflib
from collections.abc import Iterator, Mapping

from odtl.inventory.claims import line_problem
from odtl.labels import by_spelling, plain

# So many labels of one image are told which class is nearest to them: more are no slips of the hand, and each takes a
# millisecond with 100 classes.
_MOST_ADVICE = 100


class Classifier:
    """From labels to classes, by aliases and the fixed list.

    White space around a label, and more than one between its words, never counts. With a fixed list, a label that is
    one of its classes but for case, spaces, hyphens and underscores is that class.
    """

    def __init__(self, labels_config: Mapping) -> None:
        self._aliases = {_one_line(label): name for label, name in (labels_config.get("aliases") or {}).items()}
        fixed = labels_config.get("classes")
        self._fixed = None if fixed is None else frozenset(fixed)
        self._by_spelling = by_spelling(fixed or ())
        # Sorted, so that the last of those that differ in case alone does not depend on the list's order.
        self._lower = {name.lower(): name for name in sorted(fixed or ())}
        self._known: dict[str, str | None] = {}
        self._advised: dict[str, str] = {}
        self._respelt: dict[str, str] = {}

    def __call__(self, label: str) -> str | None:
        if label not in self._known:
            self._known[label] = self._class_of(label)
        return self._known[label]

    def _class_of(self, label: str) -> str | None:
        name = _one_line(label)
        name = self._aliases.get(name, name)
        if self._fixed is None or name in self._fixed:
            return name or None
        spelt = self._by_spelling.get(plain(name))
        if spelt is not None:
            self._respelt[label] = spelt
        return spelt

    def problems(self, annotation: Mapping) -> Iterator[dict[str, str]]:
        """Yield a problem for each box whose label is not in the fixed list as it is written.

        One that is no class of it is told with the nearest class that is.
        """
        file, unknown = annotation["file"], set()
        for index, (label, name) in enumerate(zip(annotation["labels"], annotation["classes"], strict=True), 1):
            if name is None and _one_line(label):
                found = f"class {label!r}, which is not in the list"
                unknown.add(label)
                # By what else the image has, never by what other images have: a line must not depend on them.
                done = f"box left out{self._advice(label) if len(unknown) <= _MOST_ADVICE else ''}"
                yield line_problem("label_unknown", file, f"box {index}", found, done, before=label)
            elif label in self._respelt:
                found = f"class {label!r}, which is {name!r} in the list"
                done = "taken for the class in the list"
                yield line_problem("label_spelling", file, f"box {index}", found, done, before=label, after=name)

    def _advice(self, label: str) -> str:
        if label not in self._advised:
            nearest = difflib.get_close_matches(label.lower(), self._lower, n=1, cutoff=0.5)
            name = self._lower[nearest[0]] if nearest else ""
            said = f"; the nearest class is {name!r}: an alias would keep it" if nearest else ""
            self._advised[label] = said
        return self._advised[label]


def _one_line(label: str) -> str:
    return " ".join(label.split())
