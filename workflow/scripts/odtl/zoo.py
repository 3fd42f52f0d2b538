"""The model zoo: which pretrained models there are, and how each was set up.

A model table is a YAML file with `models: {name: entry}`; docs/models.md explains each key of an entry.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from odtl.errors import InputError, Problem, nearest
from odtl.label_map import read_label_map

_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["family", "factory", "settings", "restore", "licence", "input_size"],
    "oneOf": [{"required": ["archive"]}, {"required": ["path"]}],
    "properties": {
        "family": {"type": "string", "minLength": 1},
        "factory": {"type": "string", "minLength": 1},
        "source": {"type": ["string", "null"], "minLength": 1},
        "settings": {"type": "object"},
        "restore": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": ["backbone", "decoder", "head"]},
        },
        "classes": {
            "oneOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "string", "minLength": 1}},
                {"type": "null"},
            ]
        },
        "archive": {
            "type": "object",
            "additionalProperties": False,
            "required": ["file", "url"],
            "properties": {
                "file": {"type": "string", "pattern": r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"},
                "url": {"type": ["string", "null"], "pattern": "^https?://"},
            },
        },
        "path": {"type": "string", "minLength": 1},
        "sha256": {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"},
        "licence": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name", "source"],
            "properties": {"name": {"type": "string", "minLength": 1}, "source": {"type": "string", "minLength": 1}},
        },
        "trained_on": {"type": ["string", "null"]},
        "coco_ap": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
        "parameters": {"type": ["number", "null"], "exclusiveMinimum": 0},
        "input_size": {"type": "integer", "minimum": 32},
        "normalisation": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": ["mean", "stddev", "source"],
            "properties": {
                "mean": {"$ref": "#/$defs/channels"},
                "stddev": {"$ref": "#/$defs/channels"},
                "source": {"type": "string"},
            },
        },
        "batch_norm": {"enum": ["folded", None]},
        "notes": {"type": ["string", "null"]},
    },
    "$defs": {"channels": {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "number"}}},
}

# The same in C where there is one: ten times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Model:
    """One model of the zoo.

    name:          what an experiment's `model` says.
    family:        the kind of detector, for people.
    factory:       the name of its experiment in `official.core.exp_factory`.
    source:        where settings and published figures were found.
    settings:      what differs from the factory's configuration, nested as in experiment.yaml; with
                   task.model.input_size, which follows from `input_size`.
    restore:       the parts that the checkpoint gives; see `restoring.restore`.
    classes:       name -> id (from 1) of what its head tells apart; None: not known.
    licence:       name and source.
    input_size:    height and width in pixels.
    archive_file, archive_url: the archive's name, and where it is published (None: only in a mirror).
    path:          the folder of the checkpoint where it is in the repository; then there is no archive.
    sha256:        of the archive, or of the folder at `path` (see `folder_sha256`); None: see `fetch`.
    trained_on:    the data that the weights saw.
    coco_ap:       published AP on COCO val2017, in percent, or None.
    parameters:    published number in millions, or None.
    normalisation: mean and stddev per channel (RGB, of values in [0, 1]) at its training, with source, or None.
    batch_norm:    "folded" where the checkpoint is of a network made for inference, whose batch normalisation is part
                   of its convolutions: its statistics are measured when a training starts. None: they are as saved.
    """

    name: str
    family: str
    factory: str
    settings: Mapping[str, Any]
    restore: tuple[str, ...]
    licence: Mapping[str, str]
    input_size: int
    source: str | None = None
    classes: Mapping[str, int] | None = None
    archive_file: str | None = None
    archive_url: str | None = None
    path: Path | None = None
    sha256: str | None = None
    trained_on: str | None = None
    coco_ap: float | None = None
    parameters: float | None = None
    normalisation: Mapping[str, Any] | None = None
    batch_norm: str | None = None
    notes: str | None = None


def load(paths: Iterable[str | os.PathLike]) -> dict[str, Model]:
    """Return name -> Model of all model tables, in their order.

    A `path`, and a file of `classes`, is relative to the table's own folder. Raises InputError with every unknown or
    missing key, wrong value, and name that stands in two tables.
    """
    models: dict[str, Model] = {}
    problems: list[Problem] = []
    for path in map(Path, paths):
        for name, entry in _entries(path, problems):
            if name in models:
                cure = "It stands in an earlier table, too: give it another name."
                problems.append(Problem(str(path), f"models.{name}", "the name again", cure))
            else:
                try:
                    models[name] = _model(name, entry, path.parent)
                except InputError as error:
                    problems.extend(error.problems)
    if problems:
        raise InputError(problems, "The model zoo cannot be used")
    return models


def check_same_classes(experiments: Mapping[str, Mapping[str, Any]], models: Mapping[str, Model]) -> None:
    """Raise InputError for each class of `same_classes` that an experiment's pretrained model does not know.

    experiments: name -> settings, which name the `model`.
    """
    problems = []
    for name, settings in experiments.items():
        model, field = models[settings["model"]], f"experiments.{name}.same_classes"
        for ours, theirs in settings["same_classes"].items():
            if not model.classes:
                cure = f"Nothing is known of the classes of {model.name}: leave this key out."
                problems.append(Problem("config", field, f"{ours}: {theirs}", cure))
            elif theirs not in model.classes:
                cure = f"{model.name} has no such class.{nearest(theirs, model.classes)}"
                problems.append(Problem("config", f"{field}.{ours}", repr(theirs), cure))
    if problems:
        raise InputError(problems, "The configuration cannot be used")


def _entries(path: Path, problems: list[Problem]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problems.append(Problem(str(path), "file", str(error), "A model table is a YAML file: see docs/models.md."))
        return
    models = content.get("models") if isinstance(content, Mapping) else None
    # x- is for what entries share by YAML anchors.
    others = [key for key in content or () if key != "models" and not str(key).startswith("x-")]
    if not isinstance(models, Mapping) or others:
        cure = "A model table holds `models:` with one entry per model: see docs/models.md."
        problems.append(Problem(str(path), "top level", ", ".join(map(str, others)) or type(models).__name__, cure))
        return
    problems.extend(_repeated_names(path))
    for name, entry in models.items():
        errors = sorted(Draft202012Validator(_SCHEMA).iter_errors(entry), key=lambda error: error.json_path)
        problems.extend(problem for error in errors for problem in _explain(error, str(path), str(name)))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(name)):
            cure = "A name holds letters, digits, dots, hyphens and underscores: it becomes a folder."
            problems.append(Problem(str(path), f"models.{name}", "the name", cure))
        elif not errors:
            yield str(name), entry


def _repeated_names(path: Path) -> Iterator[Problem]:
    """Yield a problem for each name that stands twice in one table: a YAML reader keeps the last in silence."""
    top = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    models = next(value for key, value in top.value if key.value == "models")
    seen: dict[str, int] = {}
    for key, _ in models.value:
        line = key.start_mark.line + 1
        if key.value in seen:
            cure = "Give one of them another name."
            yield Problem(str(path), f"models.{key.value}", f"lines {seen[key.value]} and {line}", cure)
        seen[key.value] = line


def _explain(error: ValidationError, file: str, name: str) -> Iterator[Problem]:
    where = ".".join(["models", name, *map(str, error.absolute_path)])
    if error.validator == "additionalProperties":
        known = sorted(error.schema["properties"])
        for key in sorted(set(error.instance) - set(known), key=str):
            cure = f"There is no such key.{nearest(key, known)} Keys here: {', '.join(known)}."
            yield Problem(file, f"{where}.{key}", repr(error.instance[key]), cure)
    elif error.validator == "oneOf" and isinstance(error.instance, Mapping):
        present = " and ".join(key for key in ("archive", "path") if key in error.instance) or "neither"
        yield Problem(file, where, present, "Give either `archive` (file and url) or `path`.")
    else:
        yield Problem(file, where, repr(error.instance), f"{error.message}: see docs/models.md.")


def _model(name: str, entry: Mapping[str, Any], folder: Path) -> Model:
    plain = {
        key: value for key, value in entry.items() if key not in ("archive", "classes", "path", "restore", "settings")
    }
    archive, size, settings = entry.get("archive") or {}, entry["input_size"], entry["settings"]
    task = settings.get("task") or {}
    return Model(
        name=name,
        settings={**settings, "task": {**task, "model": {"input_size": [size, size, 3], **(task.get("model") or {})}}},
        restore=tuple(entry["restore"]),
        classes=_classes(entry.get("classes"), folder),
        archive_file=archive.get("file"),
        archive_url=archive.get("url"),
        # Normalised by name only, so that a relative path stays relative.
        path=Path(os.path.normpath(folder / entry["path"])) if "path" in entry else None,
        **plain,
    )


def _classes(given: str | Sequence[str] | None, folder: Path) -> dict[str, int] | None:
    """Return name -> id of classes that are given by name, with the ids 1, 2, ..., or by a label map."""
    if not isinstance(given, str):
        return {name: number for number, name in enumerate(given, start=1)} if given else None
    path = folder / given
    if not path.is_file():
        cure = "Give the label map of the checkpoint (.pbtxt), or the names of its classes in order of id."
        raise InputError(Problem(str(path), "classes", "no such file", cure))
    return read_label_map(path)
