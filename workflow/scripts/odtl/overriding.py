"""Overrides of official.vision's configurations: strict, and with the nearest name of what is misspelt."""

import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from odtl.errors import InputError, Problem, nearest

# Names that are looked up only when the model is built, in modeling/layers/detection_generator.py,
# modeling/decoders/fpn.py and core/train_utils.py of official.vision and official.core.
_NAMES = {
    "nms_version": ("batched", "v1", "v2", "v3", "tflite"),
    "fusion_type": ("sum", "concat"),
    "best_checkpoint_metric_comp": ("higher", "lower"),
}


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
    """Yield a problem for each key of `override` that `config` does not have, and each value that cannot be there.

    official.vision's own strict override makes a new, lenient configuration where the present value is None, and so
    lets misspelt keys through there; and it takes any value for a number, and any text for the name of something.
    """
    # as_dict() leaves out the alternatives that are not chosen, which an override may well choose.
    known = sorted(set(vars(config)) - set(config.RESERVED_ATTR))
    hints = typing.get_type_hints(type(config))
    yield from _misfit_choice(config, override, known, source, path)
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
        elif hasattr(present, "as_dict"):
            yield Problem(source, where, repr(value), "A mapping is expected here.")
        elif element := _element(hints.get(key), value):
            for number, each in enumerate(value):
                yield from _misfits(element(), each, source, (*path, str(key), str(number)))
        elif expected := _expected(hints.get(key, Any), key, present, value):
            yield Problem(source, where, repr(value), f"{expected} is expected here.{_exponent(value)}")
        elif value is not None and (cure := _unknown_name(key, value)):
            yield Problem(source, where, repr(value), cure)


def _misfit_choice(config, override, known: Sequence[str], source: str, path: tuple) -> Iterator[Problem]:
    """Yield a problem where one of several alternatives is to be chosen by `type`, and the choice is none."""
    from official.modeling.hyperparams.oneof import OneOfConfig

    if not isinstance(config, OneOfConfig):
        return
    alternatives = [name for name in known if name != "type"]
    chosen = override.get("type", config.type)
    if chosen is not None and chosen not in alternatives:
        cure = f"There is no such type.{nearest(str(chosen), alternatives)} Types here: {', '.join(alternatives)}."
        yield Problem(source, ".".join([*path, "type"]), repr(chosen), cure)
        return
    given = [name for name in override if name in alternatives]
    if given and chosen not in given:
        found = f"`{given[0]}`, but the type is {'none' if chosen is None else f'`{chosen}`'}"
        cure = f"It would have no effect: write `type: {given[0]}` beside it, or leave it out."
        yield Problem(source, ".".join(path), found, cure)


def _expected(hint: Any, key: str, present: Any, value: Any) -> str:
    """Say what kind of value belongs where `present` stands, or "" where `value` is of that kind or may be.

    hint: the type that the field is declared with.
    """
    # Much is left open with None that is not declared so.
    if value is None:
        return "True or false" if isinstance(present, bool) else ""
    if type(value) is type(present) and not isinstance(value, list | tuple):
        return ""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        found = [_expected(each, key, present, value) for each in arguments if each is not type(None)]
        return "" if "" in found else " or ".join(dict.fromkeys(found)).lower().capitalize()
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return "" if _all_fit(arguments, key, value) else f"A list{_plural(arguments)}"
    # Weights of losses are declared as whole numbers where the default is one.
    if hint is int and not key.endswith("weight"):
        return "" if isinstance(value, int) and not isinstance(value, bool) else "A whole number"
    if hint in (int, float):
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "A number"
    if hint is bool:
        return "" if isinstance(value, bool) else "True or false"
    if hint is str:
        return "" if isinstance(value, str) else "A text"
    if isinstance(hint, type) and hasattr(hint, "as_dict"):
        return "" if isinstance(value, Mapping) else "A mapping"
    return ""


def _all_fit(kinds: Sequence[Any], key: str, value: Any) -> bool:
    listed = isinstance(value, list | tuple)
    return listed and not any(_expected(kinds[0], key, None, each) for each in value if kinds)


def _plural(kinds: Sequence[Any]) -> str:
    words = {int: " of whole numbers", float: " of numbers", str: " of texts", bool: " of true and false"}
    return words.get(kinds[0], "") if kinds else ""


def _exponent(value: Any) -> str:
    """Return what helps where YAML takes a number for a text."""
    taken = isinstance(value, str) and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", value)
    return " YAML takes 1e-5 for a text: write 1.0e-5." if taken else ""


def _element(hint: Any, value: Any):
    """Return the kind of configuration that a list is declared to hold, if `value` is a list of mappings."""
    kinds = [each for each in typing.get_args(hint) if isinstance(each, type) and hasattr(each, "as_dict")]
    mappings = isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value)
    return kinds[0] if kinds and mappings else None


def _unknown_name(key: str, value: Any) -> str:
    """Say what is wrong with the name of something that official.vision looks up when the model is built."""
    if key == "activation" and isinstance(value, str):
        return _unknown_activation(value)
    if key in _NAMES and value not in _NAMES[key]:
        return f"There is no such choice.{nearest(str(value), _NAMES[key])} Choices: {', '.join(_NAMES[key])}."
    return ""


def _unknown_activation(name: str) -> str:
    import tf_keras
    from official.modeling import tf_utils

    try:
        tf_utils.get_activation(name)
    except (TypeError, ValueError):
        own = ("relu6", "hard_swish", "simple_swish", "mish", "identity", "leaky_relu")
        listed = [each for each in dir(tf_keras.activations) if each.islower() and not each.startswith("_")]
        names = sorted({*own, *listed} - {"get", "serialize", "deserialize"})
        return f"There is no such activation.{nearest(name, names)} Activations: {', '.join(names)}."
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
