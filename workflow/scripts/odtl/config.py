"""The user's configuration: checked as a whole before anything else reads it."""

import ipaddress
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from odtl.annotations.formats import FORMATS
from odtl.distribution import Distribution
from odtl.errors import InputError, Problem, nearest
from odtl.experiments import Experiment, experiments_of, trainings_of

# What a key of an earlier release is called now.
RENAMED = {
    "freeze_backbone": "Write `freeze: backbone` where it was true, and leave it out where it was false.",
    "min_iou": "Each format has its own: `export.tolerances.{format}.min_iou`.",
    "max_score_difference": "Each format has its own: `export.tolerances.{format}.max_score_difference`.",
}
# What the workflow proposes; it cannot go by it at the same time.
PROPOSED_GROUPS = "results/dataset/groups.csv"


def check_config(config: Mapping[str, Any], schema_path: str | Path, model_names: Iterable[str]) -> None:
    """Raise one InputError with every problem of the configuration; return if there is none.

    config:      the merged configuration, as config/config.yaml nests it.
    schema_path: the JSON schema (draft 2020-12, in YAML) it must follow.
    model_names: the models that an experiment may name.
    """
    schema = yaml.safe_load(Path(schema_path).read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema, format_checker=FormatChecker(["regex"]))
    problems = _schema_problems(validator, config)
    # What a value means can only be judged once its type is right.
    if not problems:
        # Sweeps and seeds that cannot be told apart, or lack their base, end it here.
        experiments, _ = experiments_of(config), trainings_of(config)
        settings = {name: experiment.settings for name, experiment in experiments.items()}
        written_out = {**config, "experiments": settings, "sweeps": {}}
        problems = _schema_problems(validator, written_out) or list(_check_meaning(written_out, sorted(model_names)))
        problems = _told_of_sweeps(problems, experiments)
    if problems:
        raise InputError(problems, "The configuration cannot be used")


def _schema_problems(validator: Draft202012Validator, config: Mapping[str, Any]) -> list[Problem]:
    return [problem for error in validator.iter_errors(config) for problem in _explain(error, validator.schema)]


def _told_of_sweeps(problems: Iterable[Problem], experiments: Mapping[str, Experiment]) -> list[Problem]:
    """Return the problems in the user's terms: what a sweep has made is in the configuration as that sweep."""
    problems = list(problems)
    told = {(problem.field, problem.found, problem.cure) for problem in problems}
    found = []
    for problem in problems:
        # Names may have dots and begin alike: the longest one that fits is it.
        names = [name for name in experiments if f"{problem.field}.".startswith(f"experiments.{name}.")]
        experiment = experiments[max(names, key=len)] if names else None
        if experiment is None or experiment.sweep is None:
            found.append(problem)
            continue
        key = problem.field.removeprefix(f"experiments.{experiment.name}").removeprefix(".")
        # What is wrong with the base is told there.
        if (f"experiments.{experiment.base}.{key}", problem.found, problem.cure) not in told:
            found.append(replace(problem, field=_sweep_field(experiment, key)))
    # One value stands in many combinations.
    return list(dict.fromkeys(found))


def _sweep_field(experiment: Experiment, key: str) -> str:
    for varied in experiment.varied:
        if f"{key}.".startswith(f"{varied}.") or f"{varied}.".startswith(f"{key}."):
            return f"sweeps.{experiment.sweep}.vary.{max(varied, key, key=len)}"
    values = ", ".join(f"{varied} {value}" for varied, value in experiment.varied.items())
    return f"sweeps.{experiment.sweep} ({values}): {key}"


def check_files(paths: Iterable[str | Path]) -> None:
    """Raise InputError with every key that a configuration file has twice: only the last one would count."""
    problems = []
    for path in paths:
        root = yaml.compose(
            Path(path).read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
        problems += [] if root is None else _repeated(str(path), root)
    if problems:
        raise InputError(problems, "The configuration cannot be used")


def _repeated(path: str, node: yaml.Node) -> Iterator[Problem]:
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _repeated(path, child)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in lines and isinstance(key, yaml.ScalarNode):
            found = f"`{key.value}` for the second time, after line {lines[key.value]}"
            yield Problem(path, f"line {line}", found, "Put both together: only the last one would count.")
        lines.setdefault(str(key.value), line)
        yield from _repeated(path, value)


def experiment_settings(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return one experiment's settings: its own over those of `training`, nested mappings merged, keys sorted."""
    defaults, own = config["training"], config["experiments"][name]
    settings = {**defaults, **own}
    for key in ("augmentation", "early_stopping", "warm_start", "overrides"):
        settings[key] = merged(defaults[key], own.get(key, {}))
    return canonical(settings)


def canonical(value: Any) -> Any:
    """Return a setting with the keys of all its mappings sorted: in another order it is still the same setting."""
    if isinstance(value, Mapping):
        return {key: canonical(value[key]) for key in sorted(value, key=str)}
    return [canonical(item) for item in value] if isinstance(value, list | tuple) else value


def merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with others over them.

    Where both choose by `type`, and differently, only what is on top counts: the rest belongs to the other choice.
    """
    if "type" in top and top["type"] != base.get("type"):
        return dict(top)
    result = dict(base)
    for key, value in top.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def _key(path: Iterable[str | int]) -> str:
    return ".".join(str(part) for part in path) or "(top level)"


def _explain(error: ValidationError, schema: Mapping[str, Any]) -> Iterator[Problem]:
    """Say a schema error in the user's terms: key, value, what is allowed."""
    path, value, rule = list(error.absolute_path), error.instance, error.validator_value
    if error.validator in ("additionalProperties", "unevaluatedProperties") and rule is False:
        known = _known_keys(error.schema, schema)
        for key in sorted(set(value) - set(known), key=str):
            yield Problem(
                "config",
                _key([*path, key]),
                repr(value[key]),
                RENAMED.get(key)
                or f"There is no such key.{nearest(key, known)} Keys here: {', '.join(dict.fromkeys(known))}.",
            )
        return
    if error.validator == "required":
        for key in sorted(set(rule) - set(value)):
            # jsonschema reports each missing key by itself.
            if error.message.startswith(repr(key)):
                yield Problem("config", _key([*path, key]), "nothing", "This key is needed: see config/config.yaml.")
        return
    if "propertyNames" in error.absolute_schema_path:
        allowed = error.schema.get("description") or f"Allowed: {_allowed(error)}."
        yield Problem("config", _key(path), f"the name {value!r}", allowed.strip())
        return
    yield Problem("config", _key(path), repr(value), f"Allowed: {_allowed(error)}.")


def _allowed(error: ValidationError) -> str:
    rule, schema = error.validator_value, error.schema
    match error.validator:
        case "type":
            kinds = [rule] if isinstance(rule, str) else rule
            words = {"object": "a mapping", "array": "a list", "integer": "a whole number", "string": "a text"}
            return " or ".join(words.get(kind, f"a {kind}" if kind != "null" else "null") for kind in kinds)
        case "enum":
            return " | ".join(map(str, rule))
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            low = f"at least {schema['minimum']}" if "minimum" in schema else ""
            low = f"more than {schema['exclusiveMinimum']}" if "exclusiveMinimum" in schema else low
            high = f"at most {schema['maximum']}" if "maximum" in schema else ""
            high = f"less than {schema['exclusiveMaximum']}" if "exclusiveMaximum" in schema else high
            return " and ".join(filter(None, [low, high]))
        case "minItems" | "minProperties" | "minLength":
            return f"at least {rule} of it"
        case "maxLength":
            return f"at most {rule} letters"
        case "uniqueItems":
            return "each entry once"
        case "format":
            return "a valid regular expression"
        case "pattern":
            return f"the text {rule[1:-1]}" if rule.strip("^$").isalpha() else f"a text that matches {rule}"
        case _:
            return error.message


def _known_keys(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[str]:
    keys = list(schema.get("properties", {}))
    if reference := schema.get("$ref"):
        keys += root["$defs"][reference.rsplit("/", 1)[-1]].get("properties", {})
    return keys


def _check_source(where: str, source: Mapping[str, Any]) -> Iterator[Problem]:
    known, kind = FORMATS[source["format"]], source["format"]
    if kind == "urls" and not source.get("urls"):
        yield Problem("config", f"{where}.urls", "nothing", "A source of format urls needs the path of its list(s).")
    if kind == "urls" and source.get("annotations"):
        cure = "Name the format of the annotations as `format`; `urls` says where the images are."
        yield Problem("config", f"{where}.annotations", repr(source["annotations"]), cure)
    if not (known.per_image or known.beside or source.get("annotations") or kind == "urls"):
        cure = (
            f"A {kind} source needs the path of its table(s)."
            if kind == "csv"
            else (f"A {kind} source needs the path of its annotations.")
        )
        yield Problem("config", f"{where}.annotations", "nothing", cure)
    if not (source.get("images") or source.get("urls") or known.has_origins):
        yield Problem("config", f"{where}.images", "nothing", "The folder of the images, or `urls`, is needed.")
    if known.per_image and not source.get("images") and not source.get("annotations"):
        cure = "Without a folder of images, the folder of the annotations is needed."
        yield Problem("config", f"{where}.annotations", "nothing", cure)
    if source.get("names") and kind != "yolo":
        yield Problem("config", f"{where}.names", repr(source["names"]), f"A {kind} source names its classes itself.")
    if source.get("split_lists") and source.get("split", "from_folders") != "from_folders":
        cure = "Lists are looked at under `split: from_folders` only: remove one of the two."
        yield Problem("config", f"{where}.split_lists", repr(source["split"]), cure)


def _check_meaning(config: Mapping[str, Any], models: list[str]) -> Iterator[Problem]:
    fractions = config["data"]["split"]["fractions"]
    if abs(sum(fractions.values()) - 1) > 1e-6:
        yield Problem(
            "config",
            "data.split.fractions",
            f"{fractions}, in all {sum(fractions.values()):g}",
            "The fractions must add up to 1.",
        )
    groups = config["data"]["split"]["groups"]
    if groups and Path(groups).resolve() == Path(PROPOSED_GROUPS).resolve():
        yield Problem(
            "config",
            "data.split.groups",
            groups,
            f"The workflow writes this file anew: copy it (cp {PROPOSED_GROUPS} groups.csv), and name the copy.",
        )
    for index, source in enumerate(config["data"]["sources"]):
        yield from _check_source(f"data.sources.{index}", source)
    for index, text in enumerate(config["fetch"]["allow_addresses"]):
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            cure = "A network such as 10.0.0.0/8, 192.168.1.5/32 or fd00::/8 is expected."
            yield Problem("config", f"fetch.allow_addresses.{index}", f"{text!r} ({error})", cure)
    classes, aliases = config["labels"]["classes"], config["labels"]["aliases"]
    for alias, name in aliases.items():
        if name in aliases:
            yield Problem("config", f"labels.aliases.{alias}", repr(name), "It is an alias itself: name the class.")
        elif classes is not None and name not in classes:
            yield Problem(
                "config", f"labels.aliases.{alias}", repr(name), f"It is not in labels.classes.{nearest(name, classes)}"
            )
    for name, settings in config["searches"].items():
        if settings["provider"] == "tumblr" and not settings.keys() & {"tag", "blog"}:
            yield Problem("config", f"searches.{name}", repr(dict(settings)), "It needs a `tag`, a `blog`, or both.")
    for name in config["experiments"]:
        settings = experiment_settings(config, name)
        where = f"experiments.{name}"
        if settings["model"] not in models:
            yield Problem(
                "config",
                f"{where}.model",
                repr(settings["model"]),
                f"Not in the zoo.{nearest(settings['model'], models)} Models: {', '.join(models)}.",
            )
        yield from Distribution.of(settings).problems(where, settings["batch_size"], settings["deterministic"])
        low, high = settings["augmentation"]["scale_min"], settings["augmentation"]["scale_max"]
        if low > high:
            yield Problem(
                "config", f"{where}.augmentation.scale_min", f"{low}, above scale_max {high}", "Swap the two."
            )
        # What follows from the data is not known yet.
        if (settings["warmup_steps"] or 0) >= (settings["train_steps"] or math.inf):
            yield Problem(
                "config",
                f"{where}.warmup_steps",
                f"{settings['warmup_steps']} of {settings['train_steps']} train_steps",
                "The warm-up must be shorter than the training.",
            )
