"""From labels as written to classes."""

import difflib
from collections.abc import Iterator, Mapping

from odtl.inventory.claims import line_problem


class Classifier:
    """From labels to classes, by aliases and the fixed list."""

    def __init__(self, labels_config: Mapping) -> None:
        self._aliases = {_one_line(label): name for label, name in (labels_config.get("aliases") or {}).items()}
        fixed = labels_config.get("classes")
        self._fixed = None if fixed is None else frozenset(fixed)
        self._known: dict[str, str | None] = {}

    def __call__(self, label: str) -> str | None:
        if label not in self._known:
            name = _one_line(label)
            name = self._aliases.get(name, name)
            self._known[label] = name if name and (self._fixed is None or name in self._fixed) else None
        return self._known[label]

    def unknown(self, annotation: Mapping) -> Iterator[dict[str, str]]:
        """Yield a problem for each box whose label is not in the fixed list, with the nearest class that is."""
        for index, (label, name) in enumerate(zip(annotation["labels"], annotation["classes"], strict=True), 1):
            if name is None and _one_line(label):
                found = f"class {label!r}, which is not in the list"
                done = f"box left out{self._advice(label)}"
                yield line_problem("label_unknown", annotation["file"], f"box {index}", found, done)

    def _advice(self, label: str) -> str:
        names = {name.lower(): name for name in sorted(self._fixed or ())}
        nearest = difflib.get_close_matches(label.lower(), names, n=1, cutoff=0.5)
        return f"; the nearest class is {names[nearest[0]]!r}: an alias would keep it" if nearest else ""


def _one_line(label: str) -> str:
    return " ".join(label.split())
