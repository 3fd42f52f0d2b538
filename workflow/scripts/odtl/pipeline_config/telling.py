"""A translation as text: what a pipeline.config stands for here, what became of each setting, what is left to say."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import yaml

from odtl.pipeline_config.document import Document, Leaf, written
from odtl.pipeline_config.model import extractor
from odtl.pipeline_config.translation import Fate, Outcome, Translation, value_at

_WIDTH = 118


@dataclass(frozen=True)
class Telling:
    """What is told of a translation.

    model, nearest: of the zoo, the experiment's and the one nearest to the old (None: nothing is known of its kind).
    own:            the experiment's own settings, which go over the translated ones.
    used:           the translated settings that are left then, as `without_void` returns them.
    classes:        those of the data, name -> id; None where they are not known.
    old_classes:    those of the old label map; None where it is not there.
    """

    document: Document
    translation: Translation
    model: str
    nearest: str | None
    own: Mapping[str, Any]
    used: Mapping[str, Any]
    classes: Mapping[str, int] | None = None
    old_classes: Mapping[str, int] | None = None


def tell(telling: Telling, settings: bool = True) -> str:
    """Return all there is to tell; with the translated settings, unless they stand elsewhere already."""
    parts = ["\n".join(_head(telling)), *(["\n".join(_settings(telling))] if settings else [])]
    if remarks := [*_remarks(telling)]:
        parts.append("\n".join(["Remarks:", *remarks]))
    for fate in Fate:
        outcomes = [outcome for outcome in telling.translation.outcomes if outcome.fate is fate]
        if outcomes:
            parts.append("\n".join([f"{fate.value}:", *_outcomes(outcomes, telling)]))
    return "\n\n".join(parts) + "\n"


def tell_briefly(telling: Telling, path: str) -> str:
    """Return what a person should not miss. path: of the file that has all of it."""
    counts = counted(telling.translation)
    parts = ["\n".join(_head(telling))]
    if remarks := [*_remarks(telling)]:
        parts.append("\n".join(remarks))
    return "\n".join([*parts, f"{sum(counts.values())} settings: {_in_words(counts)}. {path} has each of them."])


def counted(translation: Translation) -> dict[Fate, int]:
    """Return how many settings of the file had which fate."""
    return {fate: sum(len(each.leaves) for each in translation.outcomes if each.fate is fate) for fate in Fate}


def _in_words(counts: Mapping[Fate, int]) -> str:
    words = {
        Fate.TRANSLATED: "translated",
        Fate.YOURS: "for you to say",
        Fate.OTHERWISE: "kept as they are here",
        Fate.NONE: "without a counterpart",
        Fate.NEEDLESS: "needless here",
    }
    return ", ".join(f"{count} {words[fate]}" for fate, count in counts.items() if count)


def _head(telling: Telling) -> Iterator[str]:
    kind = " ".join(filter(None, [telling.document.kind, f"({extractor(telling.document)})"])).replace(" ()", "")
    yield f"{telling.document.file}: {kind or 'without a model'}, here with the model `{telling.model}`."
    if telling.nearest is None:
        yield "No model of the zoo is like it: see docs/models.md."
    elif telling.nearest != telling.model:
        yield f"The nearest in the zoo is `{telling.nearest}`: `model` in the configuration says which it is."


def _settings(telling: Telling) -> Iterator[str]:
    yield "It stands for these settings of an experiment:"
    yield textwrap.indent(yaml.safe_dump(dict(telling.used), sort_keys=True).rstrip(), "  ")


def _remarks(telling: Telling) -> Iterator[str]:
    for remark in [*telling.translation.remarks, *compare_classes(telling)]:
        yield _wrapped(remark, "- ", "  ")


def compare_classes(telling: Telling) -> Iterator[str]:
    """Yield what the classes of the old project have that those of the data have not, and the other way round."""
    leaf = telling.document.leaf(f"model.{telling.document.kind}.num_classes")
    old, new = telling.old_classes, telling.classes
    if leaf and old is not None and leaf.value != len(old):
        yield f"num_classes is {written(leaf.value)}, but the old label map has {len(old)} classes."
    if new is None:
        return
    if leaf and leaf.value != len(new):
        yield f"num_classes is {written(leaf.value)}, but the data has {len(new)} classes: the data counts."
    if old is None:
        return
    for ours, theirs, where in ((old, new, "the data"), (new, old, "the old label map")):
        if gone := [name for name in ours if name not in theirs]:
            yield f"Classes that {where} does not have: {', '.join(gone)}."
    if moved := [name for name in old if name in new and old[name] != new[name]]:
        ids = ", ".join(f"{name} {old[name]} -> {new[name]}" for name in moved)
        yield f"Classes with other ids than in the old label map: {ids}. `labels.classes` fixes them."


def _outcomes(outcomes: Sequence[Outcome], telling: Telling) -> Iterator[str]:
    """Yield lines for outcomes; those of one reason stand together."""
    groups: dict[tuple[str, str], list[Leaf]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.key, outcome.note), []).extend(outcome.leaves)
    for (key, note), leaves in groups.items():
        for parent, members in groupby(sorted(leaves, key=lambda leaf: leaf.line), key=_parent):
            yield _wrapped(_listed(parent, [*members]), "  ", "      ")
        if key:
            yield _wrapped(f"-> {key}: {_became(key, telling)}", "    ", "      ")
        if note:
            yield _wrapped(note, "    ", "    ")


def _became(key: str, telling: Telling) -> str:
    value = yaml.safe_dump(value_at(telling.translation.settings, key), default_flow_style=True, width=10**6)
    text = value.removesuffix("\n").removesuffix("\n...")
    own = value_at(telling.own, key)
    if own is not None or key in telling.own:
        return f"{text}, but this experiment's own is {'null' if own is None else own}"
    if value_at(telling.used, key) is None:
        return f"{text}, but not with the learning rate or the steps that this experiment has of its own"
    return text


def _parent(leaf: Leaf) -> str:
    return leaf.path.rpartition(".")[0]


def _listed(parent: str, leaves: Sequence[Leaf]) -> str:
    """Return some settings of one message with their lines."""
    lines = sorted({leaf.line for leaf in leaves})
    where = f"line {lines[0]}" if len(lines) == 1 else f"lines {lines[0]}-{lines[-1]}"
    if len(leaves) == 1:
        return f"{where}  {leaves[0]}"
    return f"{where}  {parent}: " + ", ".join(
        str(leaf).removeprefix(f"{parent}.").replace(": ", " ") for leaf in leaves
    )


def _wrapped(text: str, first: str, others: str) -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False, break_long_words=False
    )
