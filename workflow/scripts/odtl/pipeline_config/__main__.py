"""Print what a pipeline.config stands for: a configuration to use or to paste, and what became of each setting.

    PYTHONPATH=workflow/scripts python -m odtl.pipeline_config FILE [--model NAME] [--zoo TABLE ...]

All of the output is YAML, so that it can be kept as it is: `... > my.yaml`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from odtl import zoo
from odtl.errors import InputError, Problem, nearest
from odtl.label_map import read_label_map
from odtl.pipeline_config import Target, find_file, nearest_model, old_label_map, read_document, translate
from odtl.pipeline_config.document import Document
from odtl.pipeline_config.telling import Telling, tell
from odtl.pipeline_config.translation import value_at

_ZOO = Path(__file__).parents[3] / "zoo.yaml"
# What the zoo has for any project: where nothing is known of the old model's kind.
_ANY = "retinanet_mobilenetv2_256"
_LAST_WORD = """The form of the learning rate stands under `overrides`, which have the last word: where you change
learning_rate or train_steps, change overrides.trainer.optimizer_config.learning_rate as well, or remove it."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="odtl.pipeline_config", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", help="a pipeline.config of the TF Object Detection API")
    parser.add_argument("--model", help="of the zoo (docs/models.md); without: the nearest one")
    parser.add_argument("--zoo", action="append", default=[], help="a model table of your own")
    arguments = parser.parse_args()
    try:
        print(configuration(arguments.file, arguments.model, [_ZOO, *arguments.zoo]), end="")
    except InputError as error:
        sys.exit(str(error))


def configuration(path: str, model: str | None, tables: list[str | Path]) -> str:
    """Return a configuration in YAML that does what a pipeline.config did; notes stand in its comments.

    model: the name of a model of the zoo, None for the nearest. tables: the files of the zoo.
    """
    models, document = zoo.load(tables), read_document(path)
    like = nearest_model(document, models.values())
    chosen = model or (like or _ANY)
    if chosen not in models:
        cure = f"Not in the zoo.{nearest(chosen, models)} Models: {', '.join(models)}."
        raise InputError(Problem("--model", "name", repr(chosen), cure))
    translation = translate(document, Target.of(models[chosen]))
    found = old_label_map(path)
    classes = read_label_map(found) if found else None
    settings: dict[str, Any] = {"data": {"sources": sources(document, path)}}
    if classes and list(classes.values()) == list(range(1, len(classes) + 1)):
        settings["labels"] = {"classes": list(classes)}
    settings["experiments"] = {"detector": {"model": chosen, **translation.settings}}
    told = tell(
        Telling(
            document,
            translation,
            chosen,
            like,
            {},
            translation.settings,
            old_classes=classes,
        ),
        settings=False,
    )
    if value_at(translation.settings, "overrides.trainer.optimizer_config.learning_rate"):
        told = f"{_LAST_WORD}\n\n{told}"
    comments = "".join(f"# {line}".rstrip() + "\n" for line in told.split("\n")[:-1])
    return f"{yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)}\n{comments}"


def sources(document: Document, path: str) -> list[dict[str, Any]]:
    """Return the sources of data that the records of a pipeline.config at `path` are."""
    found = []
    for reader, split in (("train_input_reader", "train"), ("eval_input_reader", "val")):
        key = f"{reader}.tf_record_input_reader.input_path"
        named = [document.text(leaf) for leaf in document.leaves if leaf.path == key]
        if files := [find_file(each, path) or each for each in named]:
            source = {"format": "tfrecord", "annotations": files[0] if len(files) == 1 else files, "split": split}
            # Records of both may have files of the same names.
            found.append({**source, "name": split})
    return found or [{"format": "tfrecord", "annotations": "PATH_TO_BE_CONFIGURED"}]


if __name__ == "__main__":
    main()
