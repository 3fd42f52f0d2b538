"""Warm start: what counts as a change, when the last model is gone on from, and what it leaves for the next one."""

import json
import re

import pytest

from odtl.last_model import Change, Data, LastModel, compare, model_id, read_images, read_last, write_last
from odtl.warm_start import MAX_LINEAGE, Start, WarmStart, decide, lineage_of, settings_of

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax,difficult,truncated,crowd,split,group,image,sha256\n"
ROWS = [
    "a.jpg,64,48,cat,1,2,30,40,0,0,0,train,a.jpg,images/a.jpg,11\n",
    "b.jpg,64,48,,,,,,,,,train,b.jpg,images/b.jpg,22\n",
]
POLICY = {"when": "always", "max_change": 0.1, "train_steps": 0.25, "learning_rate": 0.5}
LABELS = {"cat": 1, "dog": 2}
SETTINGS = {"trainer.train_steps": 600, "factory": "retinanet"}
ENTRY = {"model": "m1", "steps": 600, "date": "2026-11-20T10:00:00+00:00"}


def last(images=None, label_map=LABELS, settings=SETTINGS):
    images = {str(number): "x" for number in range(20)} if images is None else images
    return LastModel("ckpt", "m1", Data(images, label_map), settings, [{"pretrained": None}, ENTRY])


def now(images, label_map=LABELS, **policy):
    return WarmStart({**POLICY, **policy}, Data(images, label_map))


def test_what_follows_from_the_data_is_no_setting():
    class Config:
        def as_dict(self):
            return {"trainer": {"train_steps": 600, "seed": 1, "validation_steps": -1}}

    assert settings_of(Config(), factory="f") == {"trainer.train_steps": 600, "trainer.seed": 1, "factory": "f"}
    assert settings_of(Config(), ["trainer.train_steps"], factory="f") == {"trainer.seed": 1, "factory": "f"}


def changed(count):
    return {str(number): "y" if number < count else "x" for number in range(20)}


@pytest.mark.parametrize(
    ("row", "old", "new", "differs"),
    [
        (0, ",40,0,0,0", ",41,0,0,0", True),
        (0, ",cat,", ",dog,", True),
        (0, ",train,", ",val,", True),
        (1, ",22", ",23", True),
        (0, ",a.jpg,images", ",group,images", False),
        (0, "images/a.jpg", "elsewhere/a.jpg", False),
    ],
)
def test_digest_of_an_image_is_of_what_is_learnt(tmp_path, row, old, new, differs):
    rows = list(ROWS)
    rows[row] = rows[row].replace(old, new)
    assert rows != ROWS
    for name, lines in (("before.csv", ROWS), ("now.csv", rows)):
        (tmp_path / name).write_text(HEADER + "".join(lines))
    before, after = read_images([tmp_path / "before.csv"]), read_images([tmp_path / "now.csv"])
    assert list(before) == ["a.jpg", "b.jpg"]
    assert [name for name in before if before[name] != after[name]] == ([list(before)[row]] if differs else [])


def test_change_counts_the_images_of_both():
    change = compare({"a": "1", "b": "1", "c": "1"}, {"b": "1", "c": "2", "d": "1"})
    assert change == Change(added=1, removed=1, changed=1, images=4)
    assert change.share == 0.75
    assert str(change) == "3 of 4 train and val images differ (75 %: 1 added, 1 removed, 1 changed)"


@pytest.mark.parametrize(
    ("warm_start", "model", "settings", "why"),
    [
        (now(changed(1), when="never"), last(), SETTINGS, "warm_start.when is never"),
        (now(changed(1)), None, SETTINGS, "there is no last model"),
        (now(changed(1)), last(), {**SETTINGS, "trainer.train_steps": 601}, "changed .*: trainer.train_steps$"),
        (now(changed(1)), last(), {"factory": "retinanet"}, "changed .*: trainer.train_steps$"),
        (now(changed(0)), last(), SETTINGS, "the same data"),
        (
            now(changed(3), when="small_change"),
            last(),
            SETTINGS,
            r"3 of 20 .*\(15 %: 3 changed\), .* max_change \(10 %\)",
        ),
    ],
)
def test_full_training_where_a_warm_start_is_not_wanted_or_not_possible(warm_start, model, settings, why):
    start = decide(warm_start, model, settings)
    assert start.parent is None
    assert (start.train_steps, start.learning_rate) == (1, 1)
    assert re.search(why, start.why), start.why


@pytest.mark.parametrize("policy", [{"when": "always", "max_change": 0}, {"when": "small_change", "max_change": 0.1}])
def test_warm_start_after_a_change_of_the_data_alone(policy):
    start = decide(now(changed(2), **policy), last(), SETTINGS)
    assert (start.parent, start.label_map) == ("m1", LABELS)
    assert (start.train_steps, start.learning_rate) == (0.25, 0.5)
    assert start.why == (
        "the last model (600 steps on 2026-11-20): 2 of 20 train and val images differ (10 %: 2 changed)"
    )
    assert Start.from_dict(json.loads(json.dumps(start.as_dict()))).as_dict() == start.as_dict()


def test_changed_label_map_is_a_change_of_the_data():
    start = decide(now(changed(0), label_map={"bird": 1, "dog": 2, "cat": 3}), last(), SETTINGS)
    assert start.parent == "m1"
    assert start.why.endswith("0 of 20 train and val images differ (0 %); new classes: bird")


def kept(tmp_path, images=None):
    for suffix in (".index", ".data-00000-of-00001"):
        (tmp_path / f"ckpt{suffix}").write_bytes(suffix.encode())
    data = Data(images or {"a": "1"}, LABELS)
    entry = {**ENTRY, "model": model_id(tmp_path / "ckpt")}
    write_last(tmp_path / "last", tmp_path / "ckpt", data, SETTINGS, [{"pretrained": None}, entry])
    return data


def test_last_model_is_read_as_it_was_kept(tmp_path):
    data = kept(tmp_path)
    found = read_last(tmp_path / "last")
    assert (found.data, found.settings) == (data, SETTINGS)
    assert found.model == found.lineage[-1]["model"] == model_id(found.prefix)


@pytest.mark.parametrize("damage", ["ckpt.index", "ckpt.data-00000-of-00001", "model.json"])
def test_damaged_last_model_is_none(tmp_path, damage):
    kept(tmp_path)
    content = (tmp_path / "last" / damage).read_bytes()
    (tmp_path / "last" / damage).write_bytes(content[:-1] + b"?")
    assert read_last(tmp_path / "last") is None
    (tmp_path / "last" / damage).unlink()
    assert read_last(tmp_path / "last") is None


def test_no_last_model_is_none(tmp_path):
    assert read_last(tmp_path / "last") is None


def train_again(tmp_path, number, lineage):
    """Return the lineage of one more training, and the data that it learnt from."""
    for suffix in (".index", ".data-00000-of-00001"):
        (tmp_path / f"ckpt{suffix}").write_text(f"{number}{suffix}")
    parent = lineage[-1]["model"] if lineage else None
    start = Start("", parent=parent, lineage=lineage, change=Change(1, 0, 2, 9) if parent else None)
    warm_start = WarmStart(POLICY, Data({"a": str(number)}, LABELS), {"model": "demo"})
    summary = {"steps": 5, "exported": {"step": 4}, "best": {"AP": 0.25, "AP50": 0.5}}
    return lineage_of(warm_start, start, None, tmp_path / "ckpt", summary), warm_start.data


def test_lineage_goes_back_to_the_pretrained_checkpoint_and_is_bounded(tmp_path):
    trainings, lineages = MAX_LINEAGE + 7, [[]]
    for number in range(trainings):
        lineage, data = train_again(tmp_path, number, lineages[-1])
        lineages.append(lineage)
    pretrained, first, *_ = lineages[1]
    assert pretrained == {"pretrained": {"model": "demo"}}
    assert first["started_from"] == "pretrained"
    assert first["data"] == {"digest": Data({"a": "0"}, LABELS).digest, "images": 1}
    assert len(lineage) == MAX_LINEAGE
    assert lineage[:2] == [pretrained, first]
    assert lineage[-1]["started_from"] == lineage[-2]["model"]
    assert lineage[-1]["model"] == model_id(tmp_path / "ckpt")
    assert lineage[-1]["data"] == {"digest": data.digest, "images": 1, "added": 1, "removed": 0, "changed": 2}
    assert (lineage[-1]["steps"], lineage[-1]["exported_step"], lineage[-1]["AP"]) == (5, 4, 0.25)
    # Trainings that are listed, and those that are not, are all there were.
    assert len(lineage) - 1 + lineage[2]["left_out"] == trainings
    assert all("left_out" not in entry for entry in lineage[3:])
