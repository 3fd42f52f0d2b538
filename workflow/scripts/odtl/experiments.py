"""Experiments that need not be written out: sweeps over settings, and trainings that differ in their seed alone.

An experiment is what the configuration sets; a training of it is one folder in results/. With `seeds: 3` and
`seed: 1`, the experiment `detector` has the trainings `detector`, `detector-seed-2` and `detector-seed-3`: the first
keeps the name that it has alone, so that a seed more trains that one only.
"""

import hashlib
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from odtl.errors import InputError, Problem, nearest

# More are hardly meant; each may take hours.
MOST_OF_A_SWEEP = 100
_LONGEST_NAME = 120


@dataclass(frozen=True)
class Experiment:
    """One set of settings.

    settings: its own, as they stand under `experiments` in the configuration.
    sweep:    the sweep that it comes from, None where it is written out; base: the experiment that was varied.
    varied:   dotted key -> value, of what the sweep gives it.
    """

    name: str
    settings: Mapping[str, Any]
    sweep: str | None = None
    base: str | None = None
    varied: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """One training of an experiment: `name` is that of its folder, `seed` what makes it differ from its siblings."""

    name: str
    experiment: Experiment
    seed: int


def experiments_of(config: Mapping[str, Any]) -> dict[str, Experiment]:
    """Return the experiments of a configuration by name: those written out, then those of each sweep.

    Raises InputError for a sweep without its base, of too many combinations, or that makes a name twice.
    """
    found = {name: Experiment(name, settings) for name, settings in config["experiments"].items()}
    problems = []
    for sweep, settings in sorted(config["sweeps"].items()):
        if problem := _refuse(sweep, settings, config["experiments"]):
            problems.append(problem)
            continue
        for experiment in _vary(sweep, settings, config["experiments"][settings["base"]]):
            if experiment.name in found:
                problems.append(_taken(f"sweeps.{sweep}", experiment.name))
            found[experiment.name] = experiment
    if problems:
        raise InputError(problems, "The configuration cannot be used")
    return found


def trainings_of(config: Mapping[str, Any]) -> dict[str, Training]:
    """Return the trainings of all experiments by the name of their folder, sorted.

    Raises InputError as `experiments_of` does, and for a name that another training has.
    """
    found: dict[str, Training] = {}
    problems = []
    experiments = experiments_of(config)
    for experiment in experiments.values():
        settings = {**config["training"], **experiment.settings}
        for seed in range(settings["seed"], settings["seed"] + settings["seeds"]):
            first = seed == settings["seed"]
            name = experiment.name if first else f"{experiment.name}-seed-{seed}"
            if not first and name in experiments:
                where = f"sweeps.{experiment.sweep}" if experiment.sweep else f"experiments.{experiment.name}"
                problems.append(_taken(f"{where}, seed {seed}", name))
            found[name] = Training(name, experiment, seed)
    if problems:
        raise InputError(problems, "The configuration cannot be used")
    return {name: found[name] for name in sorted(found)}


def written_out(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with an entry under `experiments` for every training: no sweeps, no `seeds`."""
    training = {key: value for key, value in config["training"].items() if key != "seeds"}
    experiments = {
        name: {**{key: value for key, value in each.experiment.settings.items() if key != "seeds"}, "seed": each.seed}
        for name, each in trainings_of(config).items()
    }
    return {**config, "training": training, "experiments": experiments, "sweeps": {}}


def _refuse(sweep: str, settings: Mapping[str, Any], experiments: Mapping[str, Any]) -> Problem | None:
    base, counts = settings["base"], [len(values) for values in settings["vary"].values()]
    if base not in experiments:
        cure = f"There is no such experiment.{nearest(base, experiments)} Experiments: {', '.join(experiments)}."
        return Problem("config", f"sweeps.{sweep}.base", repr(base), cure)
    if math.prod(counts) > MOST_OF_A_SWEEP:
        found = f"{' x '.join(map(str, counts))} = {math.prod(counts):,} experiments"
        cure = f"A sweep has at most {MOST_OF_A_SWEEP}: leave out values, or vary the keys one after another."
        return Problem("config", f"sweeps.{sweep}.vary", found, cure)
    return None


def _taken(where: str, name: str) -> Problem:
    return Problem("config", where, f"the name {name!r} for the second time", "Give one of the two another name.")


def _vary(sweep: str, settings: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[Experiment]:
    # Sorted: another order of keys in the configuration is no change, so it must not give other names.
    keys = sorted(settings["vary"])
    for values in itertools.product(*(settings["vary"][key] for key in keys)):
        varied = dict(zip(keys, values, strict=True))
        own = dict(base)
        for key, value in varied.items():
            own = _with(own, key.split("."), value)
        labels = [part for key, value in varied.items() for part in (_label(key, keys), _text(value))]
        yield Experiment(_name([sweep, *labels]), own, sweep, settings["base"], varied)


def _with(settings: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    key, *rest = path
    inner = settings.get(key)
    return {**settings, key: _with(inner if isinstance(inner, Mapping) else {}, rest, value) if rest else value}


def _label(key: str, keys: Sequence[str]) -> str:
    """Return the shortest end of a dotted key that no other one has."""
    parts = key.split(".")
    ends = (".".join(parts[start:]) for start in range(len(parts) - 1, 0, -1))
    return next((end for end in ends if sum(f".{each}".endswith(f".{end}") for each in keys) == 1), key)


def _text(value: Any) -> str:
    """Return a value as a part of a name."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case Mapping():
            return "-".join(f"{key}-{_text(value[key])}" for key in sorted(value, key=str))
        case list() | tuple():
            return "-".join(map(_text, value))
    return str(value)


def _name(parts: Sequence[str]) -> str:
    exact = "-".join(parts)
    name = re.sub("[^A-Za-z0-9._-]+", "-", exact)
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9]}-{hashlib.sha256(exact.encode()).hexdigest()[:8]}"
