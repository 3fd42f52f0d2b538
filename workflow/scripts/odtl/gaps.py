"""What a data set lacks for a training: labels of a class, or of a split."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from odtl.errors import InputError, Problem

# Of the classes that one problem is about.
MOST_NAMED = 8
_ALL_THE_SAME = "or set data.gaps to report, to train all the same"


@dataclass(frozen=True)
class Labels:
    """What is labelled.

    train, val: summaries of the splits, as {split}.json has them: `images`, and `classes`, name -> boxes.
    test:       the classes of the test images, as the inventory found them.
    label_map:  the classes that the detector is to tell apart. fixed: whether the configuration lists them.
    """

    train: Mapping[str, Any]
    val: Mapping[str, Any]
    test: Collection[str]
    label_map: Collection[str]
    fixed: bool


def check_gaps(labels: Labels, mode: str) -> list[str]:
    """Return what must be told of gaps that a training can live with, in sentences.

    mode: "refuse" or "report".

    Raises InputError where there is nothing to learn from; under "refuse" also for a class that has boxes to be judged
    by but none to learn from, or that the configuration lists and nothing shows; for validation images without a box;
    for labels that are all in train.
    """
    problems = [] if labels.train["classes"] else [_nothing_to_learn(labels)]
    if labels.train["classes"]:
        gaps = [*_class_gaps(labels), *_split_gaps(labels)]
        problems += gaps if mode == "refuse" else []
    if problems:
        raise InputError(problems, "This data set cannot be trained on as it is")
    told = [] if mode == "refuse" else [f"{gap.field}: {gap.found} (data.gaps is report)." for gap in gaps]
    return [*told, *_remarks(labels)]


def _nothing_to_learn(labels: Labels) -> Problem:
    elsewhere = [name for name, classes in (("val", labels.val["classes"]), ("test", labels.test)) if classes]
    images = labels.train["images"]
    found = f"{images} images without any box" if images else "no labelled image"
    found += f", while {' and '.join(elsewhere)} ha{'s' if len(elsewhere) == 1 else 've'} some" if elsewhere else ""
    cure = "Nothing can be learnt: see data.split and the `split` of each source, and results/dataset/card.txt."
    return Problem("config", "train", found, cure)


def _class_gaps(labels: Labels) -> Iterator[Problem]:
    missing = sorted(set(labels.label_map) - set(labels.train["classes"]))
    judged = [name for name in missing if name in labels.val["classes"] or name in labels.test]
    if judged:
        cure = (
            "It cannot be learnt: label some in training images, see data.split to have them in train, name the right "
            f"class in labels.aliases if it is a misspelling, {_ALL_THE_SAME}."
        )
        yield Problem("labels", _named(judged), "boxes in val or test, none in train", cure)
    absent = [name for name in missing if name not in judged]
    if absent and labels.fixed:
        cure = f"It cannot be learnt: label some, take it out of labels.classes, {_ALL_THE_SAME}."
        yield Problem("labels.classes", _named(absent), "no boxes in any image", cure)


def _split_gaps(labels: Labels) -> Iterator[Problem]:
    if labels.val["images"] and not labels.val["classes"]:
        cure = (
            "No AP can be told, so no best weights can be chosen: have images with boxes in val (data.split), or none "
            f"at all, {_ALL_THE_SAME} and export the last weights."
        )
        yield Problem("labels", "val", f"{labels.val['images']} images without any box", cure)
    elif not labels.val["classes"] and not labels.test:
        cure = (
            "No image is left to judge the detector by: set data.split.fractions and `split: by_hash`, name a split "
            f"for some images, {_ALL_THE_SAME} on all of them, without knowing how good it gets."
        )
        yield Problem("labels", "val and test", "no labelled images: all are in train", cure)


def _remarks(labels: Labels) -> Iterator[str]:
    shown = {*labels.train["classes"], *labels.val["classes"], *labels.test}
    retired = sorted(set(labels.label_map) - shown)
    if retired and not labels.fixed:
        yield f"{_named(retired)}: in no image any more; the id is kept, and nothing of it is learnt."
    if not labels.val["images"]:
        yield (
            "There are no validation images: no AP is told during the training, it does not stop early, and the last "
            "weights are exported."
        )
    if not labels.test:
        yield "There are no labelled test images: the evaluation can say nothing."


def _named(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{'class' if len(names) == 1 else 'classes'} {', '.join(map(repr, names[:MOST_NAMED]))}{more}"
