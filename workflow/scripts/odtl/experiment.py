"""The experiment: official.vision's own configuration, complete, with data, checkpoint and schedule filled in.

`experiment.yaml` is what `official.core.exp_factory.get_exp_config(factory)` holds after all overrides, so that
`python -m official.vision.train --experiment={factory} --config_file=experiment.yaml` accepts it.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from odtl.config import nearest
from odtl.errors import InputError, Problem
from odtl.files import atomic_open


def write_experiment(experiment: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write an experiment, as `build_experiment` gives it, as YAML; whole or not at all."""
    with atomic_open(path) as stream:
        yaml.safe_dump(_plain(experiment), stream, sort_keys=True, allow_unicode=True)


def read_experiment(path: str | os.PathLike, factory: str):
    """Return the locked `official.core.config_definitions.ExperimentConfig` that a file and its factory give.

    factory: the name that official.core.exp_factory knows the kind of experiment by, such as "retinanet".
    Raises InputError, naming every key that the factory's configuration does not have.
    """
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, Mapping):
        raise InputError(
            Problem(str(path), "(top level)", type(content).__name__, "An experiment is a mapping: task, trainer, ...")
        )
    config = _override(_factory_config(factory), content, str(path))
    config.lock()
    return config


def _factory_config(factory: str):
    """Return the unlocked default configuration of a factory."""
    from official.core import exp_factory
    from official.vision import registry_imports  # noqa: F401 - registers the factories

    try:
        return exp_factory.get_exp_config(factory)
    except LookupError:
        raise InputError(
            Problem("zoo", "factory", repr(factory), "official.vision has no experiment of that name.")
        ) from None


def _override(config, override: Mapping[str, Any], source: str):
    """Override and validate `config` in place; InputError for keys that it lacks or values that cannot be."""
    problems = list(_unknown_keys(config, override, source))
    if problems:
        raise InputError(problems, "The experiment has keys that official.vision does not know")
    try:
        config.override(_plain(override), is_strict=True)
        config.validate()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            Problem(source, "experiment", str(error), "official.vision refuses this value: see experiment.yaml.")
        ) from error
    return config


def _unknown_keys(config, override: Mapping[str, Any], source: str, path: tuple = ()) -> Iterator[Problem]:
    """Yield a problem for each key of `override` that `config` does not have.

    official.vision's own strict override makes a new, lenient configuration where the present value is None, and so
    lets misspelt keys through there.
    """
    # as_dict() leaves out the alternatives that are not chosen, which an override may well choose.
    known = sorted(set(vars(config)) - set(config.RESERVED_ATTR))
    for key, value in override.items():
        where = ".".join([*path, str(key)])
        if key not in known:
            cure = f"There is no such key.{nearest(key, known)} Keys here: {', '.join(known)}."
            yield Problem(source, where, repr(value), cure)
        elif isinstance(value, Mapping):
            inner = getattr(config, key)
            inner = inner if hasattr(inner, "as_dict") else _declared(config, key)
            if inner is not None:
                yield from _unknown_keys(inner, value, source, (*path, str(key)))


def _declared(config, key: str):
    """Return the default of the configuration type that a field is declared with, or None where it is a plain value."""
    from official.modeling.hyperparams import base_config

    declared = type(config)._get_subconfig_type(key, subconfig_type=base_config.Config)
    return None if declared is base_config.Config else declared()


def _plain(value: Any) -> Any:
    """Return `value` with tuples as lists and mappings as plain dictionaries: what safe YAML holds."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
