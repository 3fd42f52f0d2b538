"""What a data set lacks for a training: what is refused, what is only told."""

import json

import gap_gate
import pytest

from odtl.errors import InputError
from odtl.gaps import Labels, check_gaps

GOOD = {
    "train": {"images": 10, "classes": {"cat": 8, "dog": 3}},
    "val": {"images": 2, "classes": {"cat": 2}},
    "test": {"cat"},
    "label_map": {"cat": 1, "dog": 2},
    "fixed": False,
}
NO_LABELS = {"images": 0, "classes": {}}


def labels(**changes):
    return Labels(**{**GOOD, **changes})


def problems(**changes):
    with pytest.raises(InputError) as caught:
        check_gaps(labels(**changes), "refuse")
    return [(problem.file, problem.field, problem.found) for problem in caught.value.problems]


def test_nothing_is_told_of_a_whole_data_set():
    assert check_gaps(labels(), "refuse") == check_gaps(labels(), "report") == []


THREE = {"cat": 1, "dog": 2, "owl": 3}


@pytest.mark.parametrize(
    ("changes", "problem", "cure"),
    [
        (
            {"label_map": THREE, "test": {"cat", "owl"}},
            ("labels", "class 'owl'", "boxes in val or test, none in train"),
            "labels.aliases",
        ),
        (
            {"label_map": THREE, "val": {"images": 2, "classes": {"owl": 1}}},
            ("labels", "class 'owl'", "boxes in val or test, none in train"),
            "labels.aliases",
        ),
        (
            {"label_map": THREE, "fixed": True},
            ("labels.classes", "class 'owl'", "no boxes in any image"),
            "take it out of labels.classes",
        ),
        (
            {"val": {"images": 2, "classes": {}}},
            ("labels", "val", "2 images without any box"),
            "data.split",
        ),
        (
            {"val": NO_LABELS, "test": set()},
            ("labels", "val and test", "no labelled images: all are in train"),
            "data.split.fractions",
        ),
    ],
)
def test_gap_is_refused_with_its_cure_or_told(changes, problem, cure):
    assert problems(**changes) == [problem]
    with pytest.raises(InputError) as caught:
        check_gaps(labels(**changes), "refuse")
    assert cure in caught.value.problems[0].cure
    assert "set data.gaps to report" in caught.value.problems[0].cure
    told = check_gaps(labels(**changes), "report")
    assert told[0] == f"{problem[1]}: {problem[2]} (data.gaps is report)."


@pytest.mark.parametrize("mode", ["refuse", "report"])
@pytest.mark.parametrize(
    ("train", "found"),
    [
        ({"images": 0, "classes": {}}, "no labelled image, while val and test have some"),
        ({"images": 5, "classes": {}}, "5 images without any box, while val and test have some"),
    ],
)
def test_training_on_nothing_is_always_refused(mode, train, found):
    with pytest.raises(InputError) as caught:
        check_gaps(labels(train=train), mode)
    (problem,) = caught.value.problems
    assert (problem.field, problem.found) == ("train", found)


def test_all_gaps_are_refused_at_once():
    changes = {"label_map": {**THREE, "eel": 4}, "fixed": True, "test": {"owl"}, "val": {"images": 1, "classes": {}}}
    assert [field for _, field, _ in problems(**changes)] == ["class 'owl'", "class 'eel'", "val"]


def test_many_classes_are_told_together():
    ((_, field, _),) = problems(label_map={**GOOD["label_map"], **{f"c{n:02}": n for n in range(3, 23)}}, fixed=True)
    assert field.startswith("classes 'c03', 'c04'")
    assert field.endswith("'c10' and 12 more")


def test_retired_class_is_only_told():
    (told,) = check_gaps(labels(label_map=THREE), "refuse")
    assert told.startswith("class 'owl': in no image any more; the id is kept")


def test_what_missing_images_mean_is_told():
    (told,) = check_gaps(labels(val=NO_LABELS), "refuse")
    assert "no validation images" in told
    assert "does not stop early" in told
    (told,) = check_gaps(labels(test=set()), "refuse")
    assert told == "There are no labelled test images: the evaluation can say nothing."


def test_gate_takes_the_classes_of_the_test_images_from_the_inventory(tmp_path, capsys):
    classes, label_map = tmp_path / "classes.json", tmp_path / "label_map.pbtxt"
    label_map.write_text("item { id: 1 name: 'cat' } item { id: 2 name: 'dog' } item { id: 3 name: 'owl' }")
    classes.write_text(json.dumps({"train-00000-of-00001": ["cat", "dog"], "test-00000-of-00001": ["cat", "owl"]}))
    settings = {"mode": "refuse", "fixed": False}
    with pytest.raises(InputError, match="owl"):
        gap_gate.check(settings, GOOD["train"], GOOD["val"], classes, label_map)
    gap_gate.check({**settings, "mode": "report"}, GOOD["train"], GOOD["val"], classes, label_map)
    assert "class 'owl': boxes in val or test, none in train (data.gaps is report)." in capsys.readouterr().out
