"""A pipeline.config as a list of its settings, each with its place in the file."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from odtl.errors import InputError, Problem
from odtl.textproto import Field, Name, parse

_CURE = "A pipeline.config of the TF Object Detection API is expected: protocol buffers in text form."
_SECTIONS = {
    "model",
    "train_config",
    "train_input_reader",
    "eval_config",
    "eval_input_reader",
    "graph_rewriter",
}


@dataclass(frozen=True)
class Leaf:
    """One setting: a value, or a message that says something by being there, such as `random_horizontal_flip {}`.

    path: names joined by dots. value: None for an empty message. line: from 1.
    """

    path: str
    value: str | int | float | Name | None
    line: int

    @property
    def name(self) -> str:
        return self.path.rsplit(".", 1)[-1]

    def __str__(self) -> str:
        return self.path if self.value is None else f"{self.path}: {written(self.value)}"


class Document:
    """The settings of a pipeline.config, in the order of the file.

    kind:   which of the model's messages there is, "ssd" or "faster_rcnn" for example; "" without a model.
    leaves: all of the settings.
    """

    def __init__(self, text: str, file: str) -> None:
        """Read the text of a file. Raises InputError where it is no protocol buffer in text form, or another one."""
        self.file = file
        self.fields = parse(text, file, _CURE)
        unknown = [field for field in self.fields if field.name not in _SECTIONS and not field.name.startswith("[")]
        if unknown or not self.fields:
            found = [(f"line {field.line}", f"`{field.name}`") for field in unknown] or [("text", "nothing")]
            cure = f"A pipeline.config has {', '.join(sorted(_SECTIONS))}."
            raise InputError(Problem(file, *each, cure) for each in found)
        self.leaves = tuple(leaf for field in self.fields for leaf in leaves_of(field))
        self.kind = next((inner.name for field in self.messages("model") for inner in field.value), "")

    def messages(self, path: str) -> list[Field]:
        """Return the messages at a path, of each of the same name."""
        found = list(self.fields)
        for depth, name in enumerate(path.split(".")):
            if depth:
                found = [inner for field in found for inner in field.value]
            found = [field for field in found if field.name == name and isinstance(field.value, tuple)]
        return found

    def leaf(self, path: str) -> Leaf | None:
        """Return the setting at a path, the last one where there are several, as protobuf has it."""
        return next((leaf for leaf in reversed(self.leaves) if leaf.path == path), None)

    def under(self, path: str) -> list[Leaf]:
        """Return the settings at a path and below it."""
        return [leaf for leaf in self.leaves if leaf.path == path or leaf.path.startswith(f"{path}.")]

    def named(self, path: str) -> Mapping[str, Leaf]:
        """Return the settings right below a path by their names."""
        return {leaf.name: leaf for leaf in self.leaves if leaf.path == f"{path}.{leaf.name}"}

    def number(
        self, leaf: Leaf, least: float = -math.inf, above: float = -math.inf, whole: bool = False
    ) -> int | float:
        """Return a setting's number, at least `least` and more than `above`; InputError where it is no such one."""
        value = leaf.value
        fits = isinstance(value, int | float) and math.isfinite(value) and value >= least and value > above
        if fits and (not whole or value == int(value)):
            return int(value) if whole else value
        limit = f" of at least {least:g}" if least > -math.inf else f" above {above:g}" if above > -math.inf else ""
        self._refuse(leaf, f"A {'whole ' if whole else ''}number{limit} is expected.")

    def flag(self, leaf: Leaf) -> bool:
        """Return whether a setting is true; InputError where it is neither true nor false."""
        words = {"true": True, "True": True, "t": True, "1": True}
        words |= {"false": False, "False": False, "f": False, "0": False}
        if not isinstance(leaf.value, float) and str(leaf.value) in words:
            return words[str(leaf.value)]
        self._refuse(leaf, "true or false is expected.")

    def text(self, leaf: Leaf) -> str:
        """Return a setting's text; InputError where it is none."""
        if isinstance(leaf.value, str) and not isinstance(leaf.value, Name):
            return leaf.value
        self._refuse(leaf, "A text in quotes is expected.")

    def _refuse(self, leaf: Leaf, cure: str):
        found = "nothing" if leaf.value is None else written(leaf.value)
        raise InputError(Problem(self.file, f"line {leaf.line}, {leaf.path}", found, cure), "A setting cannot be read")


def leaves_of(field: Field, parent: str = "") -> Iterator[Leaf]:
    """Yield the settings of a field."""
    path = f"{parent}.{field.name}" if parent else field.name
    if not isinstance(field.value, tuple):
        yield Leaf(path, field.value, field.line)
    elif not field.value:
        yield Leaf(path, None, field.line)
    else:
        for inner in field.value:
            yield from leaves_of(inner, path)


def written(value: str | int | float) -> str:
    """Return a value as it stands in the text form, or nearly so."""
    if isinstance(value, str):
        return str(value) if isinstance(value, Name) else f'"{value}"'
    return str(value) if isinstance(value, int) else f"{value:.7g}"
