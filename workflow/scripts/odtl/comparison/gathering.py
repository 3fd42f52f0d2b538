"""What the trainings of each experiment came to."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What tells how good a detector is: the column -> the words for it. Each is in [0, 1], more is better.
FIGURES = {"validation_AP": "validation AP", "test_AP": "test AP", "test_AP50": "test AP50"}
# What it cost.
COSTS = ("steps", "seconds", "images_per_second", "parameters")


@dataclass(frozen=True)
class Training:
    """One training.

    name:       of its folder.
    seed:       of its random numbers.
    figures:    a key of `FIGURES` -> its value, None where there was nothing to measure it on.
    costs:      one of `COSTS` -> its value, None where it is not known.
    validation: (step, AP on the validation images) of each evaluation that could tell one, in the order of steps.
    """

    name: str
    seed: int
    figures: Mapping[str, float | None]
    costs: Mapping[str, float | None]
    validation: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Experiment:
    """One experiment: the settings that are not the same for all, by their dotted keys, and its trainings."""

    name: str
    settings: Mapping[str, Any]
    trainings: tuple[Training, ...]

    def values(self, figure: str) -> list[float]:
        """Return a figure, or a cost, of each training that has one."""
        found = ({**training.figures, **training.costs}[figure] for training in self.trainings)
        return [value for value in found if value is not None]

    def mean(self, figure: str) -> float | None:
        """Return the mean over the trainings; None where any has no value: it would be one of others."""
        values = self.values(figure)
        return math.fsum(values) / len(values) if values and len(values) == len(self.trainings) else None

    def spread(self, figure: str) -> float | None:
        """Return the sample standard deviation (n - 1) over the trainings; None for fewer than two."""
        values, mean = self.values(figure), self.mean(figure)
        if mean is None or len(values) < 2:
            return None
        return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def differing(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return, by name, the settings that are not the same for all, by their dotted keys; None for one that is absent.

    settings: name -> all settings, nested as in the configuration.
    """
    flat = {name: dict(_leaves(each)) for name, each in settings.items()}
    keys = sorted({key for each in flat.values() for key in each})
    told = [key for key in keys if len({repr(each.get(key)) for each in flat.values()}) > 1]
    return {name: {key: each.get(key) for key in told} for name, each in flat.items()}


def gather(
    results: str | os.PathLike,
    trainings: Mapping[str, Mapping[str, int]],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Experiment]:
    """Return the experiments, in the order given, with what lies in the folder `results` of each.

    trainings: experiment -> the folder of each of its trainings -> its seed.
    settings:  experiment -> the settings to show, the same keys for each; None: none.
    """
    return [
        Experiment(
            name,
            settings[name] if settings else {},
            tuple(
                _read(Path(results) / folder, seed) for folder, seed in sorted(seeds.items(), key=lambda each: each[1])
            ),
        )
        for name, seeds in trainings.items()
    ]


def best_of(experiments: Sequence[Experiment], figure: str) -> frozenset[str]:
    """Return the names of the experiments with the highest mean of a figure; none where no mean can be told."""
    means = {experiment.name: experiment.mean(figure) for experiment in experiments}
    highest = max((mean for mean in means.values() if mean is not None), default=None)
    return frozenset(name for name, mean in means.items() if mean is not None and mean == highest)


def ranked(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Return the experiments, the best on the test images first; those of which that cannot be told come last."""
    return sorted(experiments, key=lambda each: [-1.0 if each.mean(f) is None else each.mean(f) for f in _ORDER])[::-1]


_ORDER = ("test_AP", "validation_AP")


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        # An empty mapping sets nothing.
        elif not isinstance(value, Mapping):
            yield f"{prefix}{key}", value


def _read(folder: Path, seed: int) -> Training:
    training = json.loads((folder / "checkpoint/training.json").read_text(encoding="utf-8"))
    metrics = json.loads((folder / "evaluation/metrics.json").read_text(encoding="utf-8"))
    best = training.get("best") or {}
    figures = {"validation_AP": best.get("AP"), "test_AP": metrics["AP"], "test_AP50": metrics["AP50"]}
    points = [(entry["step"], entry["AP"]) for entry in training.get("validation", ())]
    # COCO's -1 stands for "nothing to measure".
    told = sorted((step, ap) for step, ap in points if ap is not None and math.isfinite(ap) and ap >= 0)
    return Training(folder.name, seed, figures, {cost: training.get(cost) for cost in COSTS}, tuple(told))
