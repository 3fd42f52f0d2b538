"""From labels as written to classes."""

import difflib
from collections.abc import Iterator, Mapping

from odtl.inventory.claims import line_problem
from odtl.labels import same_but_for_spelling


class Classifier:
    """From labels to classes, by aliases and the fixed list.

    White space around a label, and more than one between its words, never counts. With a fixed list, a label that is
    one of its classes but for case, spaces, hyphens and underscores is that class.
    """

    def __init__(self, labels_config: Mapping) -> None:
        self._aliases = {_one_line(label): name for label, name in (labels_config.get("aliases") or {}).items()}
        fixed = labels_config.get("classes")
        self._fixed = None if fixed is None else frozenset(fixed)
        self._known: dict[str, str | None] = {}
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
        spelt = same_but_for_spelling(name, self._fixed)
        if spelt is not None:
            self._respelt[label] = spelt
        return spelt

    def problems(self, annotation: Mapping) -> Iterator[dict[str, str]]:
        """Yield a problem for each box whose label is not in the fixed list as it is written.

        One that is no class of it is told with the nearest class that is.
        """
        file = annotation["file"]
        for index, (label, name) in enumerate(zip(annotation["labels"], annotation["classes"], strict=True), 1):
            if name is None and _one_line(label):
                found = f"class {label!r}, which is not in the list"
                done = f"box left out{self._advice(label)}"
                yield line_problem("label_unknown", file, f"box {index}", found, done, before=label)
            elif label in self._respelt:
                found = f"class {label!r}, which is {name!r} in the list"
                done = "taken for the class in the list"
                yield line_problem("label_spelling", file, f"box {index}", found, done, before=label, after=name)

    def _advice(self, label: str) -> str:
        names = {name.lower(): name for name in sorted(self._fixed or ())}
        nearest = difflib.get_close_matches(label.lower(), names, n=1, cutoff=0.5)
        return f"; the nearest class is {names[nearest[0]]!r}: an alias would keep it" if nearest else ""


def _one_line(label: str) -> str:
    return " ".join(label.split())
