"""A TF Object Detection API pipeline.config, translated to settings of an experiment as far as there are counterparts.

Nothing is dropped in silence: each setting of the file is translated, or told to be needless, kept otherwise, or
without a counterpart, and why. From the first room to the last: `document` (the file), `learning`, `model`,
`augmentation` (what is translated), `reasons` (why the rest is not), `translation` (the result), `telling` (as text).
Run as a program, it prints what a file stands for: `python -m odtl.pipeline_config FILE`.
"""

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odtl.config import merged
from odtl.errors import InputError, Problem
from odtl.pipeline_config.augmentation import translate_augmentation
from odtl.pipeline_config.document import Document
from odtl.pipeline_config.learning import FOLLOWS, translate_learning
from odtl.pipeline_config.model import Target, nearest_model, translate_model
from odtl.pipeline_config.reasons import reason_for
from odtl.pipeline_config.translation import Fate, Outcome, Translation

if TYPE_CHECKING:
    from odtl.zoo import Model

__all__ = [
    "Document",
    "Fate",
    "Outcome",
    "Target",
    "Translation",
    "find_file",
    "nearest_model",
    "old_label_map",
    "pipelines_of",
    "put_in_place",
    "read_document",
    "translate",
    "without_void",
]


@functools.lru_cache
def read_document(path: str) -> Document:
    """Return the settings of a file. Raises InputError where it is missing or is no pipeline.config."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else f"a file that cannot be read ({error})"
        cure = "Name a pipeline.config of the TF Object Detection API; a relative path starts where you run."
        raise InputError(Problem(path, "pipeline_config", found, cure)) from error
    return Document(text, path)


def translate(document: Document, model: Target) -> Translation:
    """Translate a file for an experiment with a model of the zoo. Raises InputError for values of the wrong kind."""
    result = Translation()
    translate_learning(document, result)
    translate_model(document, model, result)
    translate_augmentation(document, result)
    _tell_rest(document, result)
    return result


def old_label_map(path: str) -> str | None:
    """Return where the label map is that a pipeline.config names, None where it is not there.

    It is looked for as `find_file` does.
    """
    document = read_document(path)
    leaf = document.leaf("train_input_reader.label_map_path") or document.leaf("eval_input_reader.label_map_path")
    return find_file(document.text(leaf), path) if leaf else None


def find_file(named: str, path: str) -> str | None:
    """Return where a file is that a pipeline.config at `path` names, None where it is not there.

    Old paths are of another machine more often than not: it is looked for at that path, relative to where you run and
    to the pipeline.config, and beside that one.
    """
    named, beside = named.replace("\\", "/"), Path(path).parent
    places = (Path(named), beside / named, beside / named.rpartition("/")[2])
    return next((str(place) for place in places if place.is_file()), None)


def pipelines_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the path of the pipeline.config of each experiment that has one."""
    usual = config["training"]["pipeline_config"]
    paths = {name: own.get("pipeline_config", usual) for name, own in config["experiments"].items()}
    return {name: path for name, path in paths.items() if path is not None}


def put_in_place(config: Mapping[str, Any], models: Mapping[str, "Model"]) -> dict[str, Any]:
    """Return the configuration with what each `pipeline_config` stands for put in its place.

    An experiment's own keys go over it. config: nested as in config/config.yaml, without sweeps. models: the zoo.
    Raises InputError with all that is wrong with the files.
    """
    problems, experiments = [], {name: dict(own) for name, own in config["experiments"].items()}
    for name, path in pipelines_of(config).items():
        own = {key: value for key, value in experiments[name].items() if key != "pipeline_config"}
        try:
            settings = translate(read_document(path), Target.of(models[own["model"]])).settings
            experiments[name] = merged(without_void(settings, own), own)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(dict.fromkeys(problems), "A pipeline.config cannot be translated")
    training, *others = (
        {key: value for key, value in settings.items() if key != "pipeline_config"}
        for settings in (config["training"], *experiments.values())
    )
    return {**config, "training": training, "experiments": dict(zip(experiments, others, strict=True))}


def without_void(settings: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return translated settings without those that an experiment's own keys make void.

    The form of a learning rate is translated to `overrides`, which have the last word, over `learning_rate` as well:
    where an experiment says something else, that form is gone.
    """
    settings = copy.deepcopy(dict(settings))
    for key in set(FOLLOWS) & set(own):
        for place in FOLLOWS[key]:
            _remove(settings, place.split("."))
    return settings


def _remove(nested: dict[str, Any], path: list[str]) -> None:
    """Remove a value, and the mappings that are empty then."""
    first, *rest = path
    if rest and isinstance(nested.get(first), dict):
        _remove(nested[first], rest)
    if not rest or nested.get(first) == {}:
        nested.pop(first, None)


def _tell_rest(document: Document, result: Translation) -> None:
    """Tell what becomes of the settings that nothing was made of."""
    told = {leaf for outcome in result.outcomes for leaf in outcome.leaves}
    for leaf in document.leaves:
        if leaf in told:
            continue
        last = document.leaf(leaf.path)
        if last in told:
            result.tell(Fate.NEEDLESS, leaf, f"It stands on line {last.line} again: that one counts.")
        else:
            fate, why = reason_for(leaf.path)
            result.tell(fate, leaf, why)
