"""What became of each setting of a pipeline.config."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from odtl.pipeline_config.document import Leaf


class Fate(Enum):
    """What becomes of a setting; the value is said to the user."""

    TRANSLATED = "Translated"
    YOURS = "For you to say in the configuration, for it is no setting of an experiment"
    OTHERWISE = "There is something of the kind here, but it is kept as it is here"
    NONE = "No counterpart here"
    NEEDLESS = "Needless here"


@dataclass(frozen=True)
class Outcome:
    """What became of some settings, for one reason.

    key: the setting here that they became, dotted ("" unless translated).
    """

    leaves: tuple[Leaf, ...]
    fate: Fate
    note: str = ""
    key: str = ""


@dataclass
class Translation:
    """The settings of an experiment that a pipeline.config stands for.

    settings: nested as in the configuration; keys of an experiment only.
    outcomes: what became of each setting of the file; none is left out once the translation is done.
    remarks:  what the file does not say, but what follows from that.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def set(self, key: str, value: Any, leaves: Leaf | Iterable[Leaf], note: str = "") -> None:
        """Translate settings to one here. key: dotted, such as "overrides.task.losses.l2_weight_decay"."""
        nested = self.settings
        *outer, last = key.split(".")
        for name in outer:
            nested = nested.setdefault(name, {})
        nested[last] = value
        self.tell(Fate.TRANSLATED, leaves, note, key)

    def tell(self, fate: Fate, leaves: Leaf | Iterable[Leaf], note: str, key: str = "") -> None:
        """Note what became of settings."""
        leaves = (leaves,) if isinstance(leaves, Leaf) else tuple(leaves)
        if leaves:
            self.outcomes.append(Outcome(leaves, fate, note, key))


def value_at(nested: Any, key: str) -> Any:
    """Return the value at a dotted key of nested mappings, None where there is none."""
    for name in key.split("."):
        nested = nested.get(name) if isinstance(nested, Mapping) else None
    return nested
