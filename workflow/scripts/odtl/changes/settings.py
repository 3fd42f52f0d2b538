"""Which settings changed: two configurations, compared key by key."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from odtl.experiments import trainings_of

# JSON has no value like it: a key that is not there.
ABSENT = "\0absent"
# What a source has that does not say otherwise (config/README.md).
SOURCE_DEFAULTS = {
    **dict.fromkeys(("images", "annotations", "urls", "split_lists", "names", "name")),
    "split": "from_folders",
}
_LONGEST = 80


@dataclass(frozen=True)
class SettingChange:
    """One setting that changed.

    key:           the dotted key, "training.batch_size"; entries of a list go by number, "data.sources.0.images".
    before, after: its values; `ABSENT` where there was or is none.
    experiments:   the trainings that it is about, by their folders; None where it is about all, or about the data.
    """

    key: str
    before: object
    after: object
    experiments: tuple[str, ...] | None = None

    def __str__(self) -> str:
        if self.before == ABSENT:
            change = f"added, {value_text(self.after)}"
        elif self.after == ABSENT:
            change = f"removed, was {value_text(self.before)}"
        else:
            change = f"{value_text(self.before)} -> {value_text(self.after)}"
        if self.experiments is None or self.key.startswith(("experiments.", "sweeps.")):
            return f"{self.key}: {change}"
        whose = f"of {', '.join(self.experiments)}" if self.experiments else "of no experiment: each has its own"
        return f"{self.key}: {change} ({whose})"


def compare_settings(before: Mapping, after: Mapping) -> tuple[SettingChange, ...]:
    """Return the settings that differ between two configurations, as config/config.yaml nests them, in its order.

    A key of `training` is about the experiments that have no value of their own for it.
    """
    return tuple(
        SettingChange(".".join(path), one, other, _experiments(path, after))
        for path, one, other in differ(before, after)
        if not (path[:2] == ("data", "sources") and _stated(path[-1], one) == _stated(path[-1], other))
    )


def _stated(key: str, value: object) -> object:
    """Return a value of a source, or its default where the source does not have the key."""
    return SOURCE_DEFAULTS.get(key, ABSENT) if value is ABSENT else value


def differ(
    before: object, after: object, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object, object]]:
    """Yield (path, before, after) of the innermost values that differ; a list of plain values is one value."""
    one, other = _children(before), _children(after)
    if one is None or other is None:
        if _canonical(before) != _canonical(after):
            yield path, before, after
        return
    for key in dict.fromkeys([*one, *other]):
        yield from differ(one.get(key, ABSENT), other.get(key, ABSENT), (*path, str(key)))


def value_text(value: object) -> str:
    """Return a value as the configuration would have it, on one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _children(value: object) -> Mapping | None:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(part, Mapping) for part in value):
        return dict(enumerate(value))
    return None


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _experiments(path: tuple[str, ...], config: Mapping) -> tuple[str, ...] | None:
    if path[0] not in ("training", "experiments", "sweeps") or (path[0] != "training" and len(path) == 1):
        return None
    trainings = trainings_of(config)
    if path[0] == "experiments":
        concerned = [
            name for name, each in trainings.items() if path[1] in (each.experiment.name, each.experiment.base)
        ]
        return tuple(concerned) or (path[1],)
    if path[0] == "sweeps":
        return tuple(name for name, each in trainings.items() if each.experiment.sweep == path[1])
    found = tuple(name for name, each in trainings.items() if not _has(each.experiment.settings, path[1:]))
    return None if len(found) == len(trainings) else found


def _has(settings: object, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    return isinstance(settings, Mapping) and path[0] in settings and _has(settings[path[0]], path[1:])
