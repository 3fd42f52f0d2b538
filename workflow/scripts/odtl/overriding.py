"""Overrides of official.vision's configurations: strict, and with the nearest name of what is misspelt."""

from collections.abc import Iterator, Mapping
from typing import Any

from odtl.errors import InputError, Problem, nearest


def factory_config(factory: str):
    """Return the unlocked default configuration of a factory."""
    from official.core import exp_factory
    from official.vision import registry_imports  # noqa: F401 - registers the factories

    try:
        return exp_factory.get_exp_config(factory)
    except LookupError:
        raise InputError(
            Problem("zoo", "factory", repr(factory), "official.vision has no experiment of that name.")
        ) from None


def override_config(config, override: Mapping[str, Any], source: str):
    """Override and validate `config` in place; InputError for keys that it lacks or values that cannot be."""
    problems = list(_misfits(config, override, source))
    if problems:
        raise InputError(problems, "The experiment has settings that official.vision does not know")
    try:
        config.override(plain(override), is_strict=True)
        config.validate()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            Problem(source, "experiment", str(error), "official.vision refuses this value: see experiment.yaml.")
        ) from error
    return config


def _misfits(config, override: Mapping[str, Any], source: str, path: tuple = ()) -> Iterator[Problem]:
    """Yield a problem for each key of `override` that `config` does not have, and each value of another type.

    official.vision's own strict override makes a new, lenient configuration where the present value is None, and so
    lets misspelt keys through there; and it takes any value for a number.
    """
    # as_dict() leaves out the alternatives that are not chosen, which an override may well choose.
    known = sorted(set(vars(config)) - set(config.RESERVED_ATTR))
    for key, value in override.items():
        where = ".".join([*path, str(key)])
        if key not in known:
            cure = f"There is no such key.{nearest(key, known)} Keys here: {', '.join(known)}."
            yield Problem(source, where, repr(value), cure)
            continue
        present = getattr(config, key)
        nested = present if hasattr(present, "as_dict") else _declared(config, key)
        if isinstance(value, Mapping) and nested is not None:
            yield from _misfits(nested, value, source, (*path, str(key)))
        elif expected := _expected_type(present, value):
            yield Problem(source, where, repr(value), f"{expected} is expected here.")


def _expected_type(present: Any, value: Any) -> str:
    """Say what kind of value belongs where `present` stands, or "" where `value` is of that kind or may be."""
    if hasattr(present, "as_dict"):
        return "" if isinstance(value, Mapping) else "A mapping"
    if isinstance(present, bool):
        return "" if isinstance(value, bool) else "True or false"
    if isinstance(present, int | float):
        return "" if isinstance(value, int | float | None) and not isinstance(value, bool) else "A number"
    return ""


def _declared(config, key: str):
    """Return the default of the configuration type that a field is declared with, or None where it is a plain value."""
    from official.modeling.hyperparams import base_config

    declared = type(config)._get_subconfig_type(key, subconfig_type=base_config.Config)
    return None if declared is base_config.Config else declared()


def plain(value: Any) -> Any:
    """Return `value` with tuples as lists and mappings as plain dictionaries: what safe YAML holds."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value
