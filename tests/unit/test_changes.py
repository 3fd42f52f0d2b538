"""What changed and what runs because of it, in words: absolute values, and that nothing changed is told as nothing."""

import contextlib
import csv
import datetime
import json
import math
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odtl.changes import (
    Changes,
    StaleJob,
    compare_manifests,
    compare_settings,
    find_changes,
    keep_last_run,
    read_last_run,
    tell,
    write_changes,
)
from odtl.changes.boxes import compare_boxes
from odtl.changes.settings import ABSENT
from odtl.changes.staleness import Reason, reasons_of
from odtl.files import sha256_of
from odtl.manifest import LineAnnotation

TRAIN, TEST = "train-00000-of-00001", "test-00000-of-00001"
WHEN = datetime.datetime(2026, 3, 4, 5, 6, tzinfo=datetime.UTC)
PROBLEM = {"reason": "annotation_unreadable", "file": "a.xml", "field": "line 3", "found": "no end tag", "done": "left"}


def annotate(*boxes, **extra):
    """Return an annotation of (class, xmin, ymin, xmax, ymax)."""
    names = tuple(name for name, *_ in boxes)
    flags = tuple(False for _ in boxes)
    columns = {"labels": names, "classes": names, "difficult": flags, "truncated": flags, **extra}
    return LineAnnotation("a.xml", 100, 80, tuple(tuple(box) for _, *box in boxes), **columns)


def line(name, *boxes, sha256=None, labelled=True, **extra):
    """Return a manifest's line of an image; its bytes go by its name."""
    annotation = {
        "file": f"images/{name}.xml",
        "width": 100,
        "height": 80,
        "boxes": [box for _, *box in boxes],
        "labels": [label for label, *_ in boxes],
        "classes": [label for label, *_ in boxes],
        "difficult": [False for _ in boxes],
        "truncated": [False for _ in boxes],
    }
    entry = {
        "id": name,
        "image": f"images/{name}",
        "sha256": sha256 or f"bytes of {name}",
        "group": name,
        "annotation": annotation if labelled else None,
        "problems": [],
    }
    return json.dumps({**entry, **extra}, sort_keys=True)


def write(folder, **shards):
    """Write manifests; returns shard -> path. The names of the arguments are the splits."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for split, lines in shards.items():
        path = folder / f"{split}-00000-of-00001.jsonl"
        path.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
        paths[path.stem] = path
    return paths


def compare(tmp_path, before, after):
    """Return the changes between two mappings of split to lines."""
    return compare_manifests(write(tmp_path / "old", **before), write(tmp_path / "new", **after))


def kinds(changes):
    return [(change.kind, change.image) for change in changes]


CAT, DOG = ("cat", 10, 20, 30, 40), ("dog", 50, 50, 60, 60)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([CAT], [("cat", 12, 20, 30, 40)], ["box 1 (cat) moved: (10, 20, 30, 40) -> (12, 20, 30, 40)"]),
        ([CAT, DOG], [CAT, ("cat", 50, 50, 60, 60)], ["box 2 class dog -> cat"]),
        ([CAT], [CAT, DOG], ["box 2 (dog) added: (50, 50, 60, 60)"]),
        ([CAT, DOG], [DOG], ["box 1 (cat) removed: (10, 20, 30, 40)"]),
        ([CAT], [("dog", 11, 20, 30, 40)], ["box 1 moved: (10, 20, 30, 40) -> (11, 20, 30, 40), class cat -> dog"]),
        # Without any overlap it is the same cat only if it is the only one.
        ([CAT], [("cat", 70, 70, 80, 80)], ["box 1 (cat) moved: (10, 20, 30, 40) -> (70, 70, 80, 80)"]),
        (
            [CAT],
            [("dog", 70, 70, 80, 80)],
            ["box 1 (cat) removed: (10, 20, 30, 40)", "box 1 (dog) added: (70, 70, 80, 80)"],
        ),
        ([CAT], [("cat", 10.5, 20, 30, 40.25)], ["box 1 (cat) moved: (10, 20, 30, 40) -> (10.5, 20, 30, 40.25)"]),
        # One of two equal boxes goes, the other stays.
        ([CAT, CAT], [CAT], ["box 2 (cat) removed: (10, 20, 30, 40)"]),
        # The best overlap decides, not the order.
        (
            [("cat", 0, 0, 10, 10), ("cat", 5, 0, 15, 10)],
            [("cat", 6, 0, 16, 10), ("cat", 1, 0, 11, 10)],
            [
                "box 1 (cat) moved: (0, 0, 10, 10) -> (1, 0, 11, 10)",
                "box 2 (cat) moved: (5, 0, 15, 10) -> (6, 0, 16, 10)",
            ],
        ),
        ([("cat", math.nan, 0, 1, 1)], [("cat", math.nan, 0, 1, 1)], []),
        ([], [], []),
    ],
)
def test_boxes_are_told_as_a_person_would(before, after, told):
    assert [str(change) for change in compare_boxes(annotate(*before), annotate(*after))] == told


def test_images_that_are_to_be_fetched_are_images(tmp_path):
    def remote(name, url, *boxes):
        return line(name, *boxes, image=None, sha256=None, origin={"url": url})

    def remote_lines(*lines):
        # `line` makes up a sum where there is none.
        return [json.dumps({**json.loads(text), "sha256": None}, sort_keys=True) for text in lines]

    before = remote_lines(remote("a", "http://x/a", CAT), remote("b", "http://x/b"), remote("c", "http://x/c"))
    after = remote_lines(remote("a", "http://x/a", DOG), remote("c", "http://me:secret@y/c"), remote("d", "http://x/d"))
    found = compare(tmp_path, {"train": before}, {"train": after})
    assert kinds(found) == [("added", "d"), ("removed", "b"), ("relabelled", "a"), ("path", "c")]
    assert (found[3].before, found[3].after) == ("http://x/c", "http://y/c")


def test_flags_and_labels_are_told():
    before, after = annotate(CAT, DOG), annotate(CAT, DOG, difficult=(True, False), labels=("cat", "Dog"))
    assert [str(change) for change in compare_boxes(before, after)] == [
        "box 1 (cat) now marked difficult",
        "box 2 (dog) label dog -> Dog",
    ]


def test_label_outside_the_class_list_is_named():
    after = annotate(("kitty", 10, 20, 30, 40), classes=(None,))
    assert [str(change) for change in compare_boxes(annotate(CAT), after)] == ["box 1 class cat -> kitty, not a class"]


BOXES = st.lists(st.tuples(st.sampled_from("ab"), *[st.sampled_from([0, 1, 5, 9.5, 20, -3, math.nan])] * 4), max_size=6)


@given(BOXES, st.randoms())
@settings(max_examples=100, deadline=None)
def test_order_of_boxes_says_nothing(boxes, random):
    shuffled = random.sample(boxes, len(boxes))
    assert compare_boxes(annotate(*boxes), annotate(*shuffled)) == ()


@given(BOXES, BOXES)
@settings(max_examples=200, deadline=None)
def test_every_box_is_accounted_for(before, after):
    changes = compare_boxes(annotate(*before), annotate(*after))
    added, removed = sum(c.before is None for c in changes), sum(c.after is None for c in changes)
    assert len(before) - removed + added == len(after)
    assert all(c.before is not None or c.after is not None for c in changes)


@given(st.lists(st.tuples(st.sampled_from(["train", "test"]), BOXES), max_size=6), st.randoms())
@settings(max_examples=50, deadline=None)
def test_equal_inventories_in_any_order_and_cut_are_no_change(tmp_path_factory, images, random):
    lines = [(split, line(f"{index}.jpg", *boxes)) for index, (split, boxes) in enumerate(images)]
    folder = tmp_path_factory.mktemp("equal")
    before = write(folder / "old", **{name: [t for s, t in lines if s == name] for name in ("train", "test")})
    shuffled = random.sample(lines, len(lines))
    after = {}
    for index in range(3):
        for split in ("train", "test"):
            path = folder / f"{split}-{index:05}-of-00003.jsonl"
            path.write_text("".join(f"{t}\n" for i, (s, t) in enumerate(shuffled) if s == split and i % 3 == index))
            after[path.stem] = path
    assert compare_manifests(before, after) == ()


def test_added_removed_and_relabelled_images(tmp_path):
    before = {"train": [line("a.jpg", CAT), line("b.jpg", CAT), line("same.jpg", DOG)]}
    after = {"train": [line("a.jpg", DOG), line("c.jpg"), line("same.jpg", DOG)]}
    found = compare(tmp_path, before, after)
    assert kinds(found) == [("added", "c.jpg"), ("removed", "b.jpg"), ("relabelled", "a.jpg")]
    assert (found[0].after, found[1].before) == ("0 boxes", "1 box")


def test_renamed_image_is_one_change(tmp_path):
    before = {"train": [line("a.jpg", CAT, sha256="x")]}
    after = {"test": [line("b.jpg", CAT, sha256="x")]}
    found = compare(tmp_path, before, after)
    assert kinds(found) == [("renamed", "b.jpg"), ("moved", "b.jpg")]
    assert [(c.before, c.after) for c in found] == [("a.jpg", "b.jpg"), ("train", "test")]


def test_renamed_and_relabelled_image_is_both(tmp_path):
    found = compare(tmp_path, {"train": [line("a.jpg", CAT, sha256="x")]}, {"train": [line("b.jpg", DOG, sha256="x")]})
    assert kinds(found) == [("renamed", "b.jpg"), ("relabelled", "b.jpg")]


def test_of_two_copies_the_one_with_its_labels_was_renamed(tmp_path):
    before = {"train": [line("a.jpg", CAT, sha256="x"), line("b.jpg", DOG, sha256="x")]}
    after = {"train": [line("c.jpg", DOG, sha256="x"), line("d.jpg", CAT, sha256="x")]}
    found = compare(tmp_path, before, after)
    assert [(c.kind, c.before, c.after) for c in found] == [
        ("renamed", "b.jpg", "c.jpg"),
        ("renamed", "a.jpg", "d.jpg"),
    ]


def test_replaced_pixels_and_another_split(tmp_path):
    found = compare(tmp_path, {"train": [line("a.jpg", CAT, sha256="x")]}, {"test": [line("a.jpg", CAT, sha256="y")]})
    assert kinds(found) == [("moved", "a.jpg"), ("replaced", "a.jpg")]


@pytest.mark.parametrize(
    ("before", "after", "kind", "back"),
    [
        ({}, {"labelled": False}, "unlabelled", "labelled"),
        ({}, {"labelled": False, "problems": [PROBLEM]}, "broken", "mended"),
        ({}, {"problems": [{**PROBLEM, "reason": "matched_by_filename"}]}, "problem", "cured"),
        ({}, {"group": "else"}, "regrouped", "regrouped"),
        ({}, {"image": "elsewhere/a.jpg"}, "path", "path"),
    ],
)
def test_other_changes_of_an_image_and_back(tmp_path, before, after, kind, back):
    one, other = {"train": [line("a.jpg", CAT, **before)]}, {"train": [line("a.jpg", CAT, **after)]}
    assert kinds(compare(tmp_path, one, other)) == [(kind, "a.jpg")]
    assert kinds(compare(tmp_path, other, one)) == [(back, "a.jpg")]


def test_broken_annotation_says_what_is_wrong(tmp_path):
    after = line("a.jpg", labelled=False, problems=[PROBLEM])
    (found,) = compare(tmp_path, {"train": [line("a.jpg", CAT)]}, {"train": [after]})
    assert found.after == "annotation unreadable (a.xml: line 3: found no end tag)"


def test_reordered_boxes_are_no_relabelling(tmp_path):
    found = compare(tmp_path, {"train": [line("a.jpg", CAT, DOG)]}, {"train": [line("a.jpg", DOG, CAT)]})
    assert kinds(found) == [("reordered", "a.jpg")]


def test_annotation_without_image_is_a_problem_not_an_image(tmp_path):
    missing = {**PROBLEM, "reason": "image_missing"}
    orphan = line("a.jpg", CAT, problems=[missing])
    orphan = json.dumps({**json.loads(orphan), "image": None, "sha256": None})
    assert kinds(compare(tmp_path, {"train": []}, {"train": [orphan]})) == [("problem", "a.jpg")]
    assert kinds(compare(tmp_path, {"train": [orphan]}, {"train": []})) == [("cured", "a.jpg")]
    (found,) = compare(tmp_path, {"train": [line("a.jpg", CAT)]}, {"train": [orphan]})
    assert (found.kind, found.before) == ("removed", "1 box; its annotation is still there")


CONFIG = {
    "data": {"shards": 2, "sources": [{"format": "voc", "images": "a"}]},
    "labels": {"classes": None, "aliases": {}},
    "training": {"batch_size": 8, "augmentation": {"hflip": True}, "seed": 1, "seeds": 1},
    "experiments": {"one": {"model": "demo"}, "two": {"model": "demo", "batch_size": 4}},
    "sweeps": {},
}


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        ({"training": {**CONFIG["training"], "batch_size": 16}}, ["training.batch_size: 8 -> 16 (of one)"]),
        (
            {"training": {**CONFIG["training"], "augmentation": {"hflip": False}}},
            ["training.augmentation.hflip: true -> false"],
        ),
        ({"labels": {"classes": ["a", "b"], "aliases": {}}}, ['labels.classes: null -> ["a", "b"]']),
        ({"labels": {"classes": None, "aliases": {"x": "y"}}}, ['labels.aliases.x: added, "y"']),
        (
            {"data": {"shards": 2, "sources": [{"images": "b", "format": "voc"}]}},
            ['data.sources.0.images: "a" -> "b"'],
        ),
        (
            {"experiments": {"one": {"model": "demo"}}},
            ['experiments.two: removed, was {"model": "demo", "batch_size": 4}'],
        ),
        ({}, []),
    ],
)
def test_settings_are_told_by_their_dotted_key(alter, told):
    assert [str(change) for change in compare_settings(CONFIG, {**CONFIG, **alter})] == told


def test_change_of_a_base_is_one_of_its_sweeps_and_seeds():
    sweeps = {"sizes": {"base": "two", "vary": {"image_size": [128]}}}
    before = {**CONFIG, "sweeps": sweeps}
    after = {**before, "experiments": {"one": {"model": "demo"}, "two": {"model": "demo", "batch_size": 2, "seeds": 2}}}
    changed = {change.key: change.experiments for change in compare_settings(before, after)}
    two = ("sizes-image_size-128", "sizes-image_size-128-seed-2", "two", "two-seed-2")
    assert changed == {"experiments.two.batch_size": two, "experiments.two.seeds": two}
    vary = {"sizes": {"base": "two", "vary": {"image_size": [128, 256]}}}
    (change,) = compare_settings(before, {**before, "sweeps": vary})
    assert str(change) == "sweeps.sizes.vary.image_size: [128] -> [128, 256]"
    assert change.experiments == ("sizes-image_size-128", "sizes-image_size-256")


def test_order_of_keys_and_kind_of_number_are_no_change():
    assert compare_settings({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}) == ()
    (change,) = compare_settings({"a": 1}, {"b": {}})[:1]
    assert (change.key, change.before, change.after) == ("a", 1, ABSENT)


CODE, OTHER_CODE = "0" * 32, "1" * 32
BATCH = compare_settings(CONFIG, {**CONFIG, "training": {**CONFIG["training"], "batch_size": 16}})


@pytest.mark.parametrize(
    ("job", "reasons"),
    [
        ({"missing": ("b", "a")}, [Reason("not made yet")]),
        ({"missing": ("b", "a"), "made_before": True}, [Reason("output missing", "a"), Reason("output missing", "b")]),
        ({"updated": (f"results/inventory/{TRAIN}.jsonl",)}, [Reason("images or labels changed", TRAIN)]),
        ({"updated": ("results/inventory/classes.txt",)}, [Reason("the classes in the data changed")]),
        ({"updated": ("results/inventory/detect.csv",)}, [Reason("the images to detect on changed")]),
        (
            {"before": {"{'label_map': {'cup': 1}}"}, "after": {"{'label_map': {'cup': 1, 'mug': 2, 'pot': 3}}"}},
            [Reason("the classes in the data changed")],
        ),
        (
            {"before": {"{'class_ids': {'cup': 1}}"}, "after": {"{'class_ids': {'cup': 2}}"}},
            [Reason("the ids of its classes changed")],
        ),
        (
            {"before": {f"{{'images_to_detect': '{'a' * 64}'}}"}, "after": {f"{{'images_to_detect': '{'b' * 64}'}}"}},
            [Reason("the images to detect on changed")],
        ),
        ({"updated": ("results/dataset/train.json",)}, [Reason("input changed", "results/dataset/train.json")]),
        (
            {"name": TRAIN, "before": {repr("a" * 64)}, "after": {repr("b" * 64)}},
            [Reason("images or labels changed", TRAIN)],
        ),
        ({"before": {repr(CODE)}, "after": {repr(OTHER_CODE)}}, [Reason("the library's code for it changed")]),
        (
            {"before": {"{'model': 'demo', 'batch_size': 8}"}, "after": {"{'model': 'demo', 'batch_size': 16}"}},
            [Reason("", "training.batch_size 8 -> 16")],
        ),
        # That change is about experiment `one` alone: here it is another setting of that name.
        (
            {"experiment": "two", "before": {"{'batch_size': 8}"}, "after": {"{'batch_size': 16}"}},
            [Reason("", "batch_size 8 -> 16")],
        ),
        (
            {"before": {"{'x': 1}", repr(CODE)}, "after": {"{'x': 2}", repr(OTHER_CODE)}},
            [Reason("the library's code for it changed"), Reason("", "x 1 -> 2")],
        ),
        ({"before": {"None"}, "after": {"['a']"}}, [Reason("", 'a setting null -> ["a"]')]),
        ({"before": {"8"}, "after": {"16"}}, [Reason("", "training.batch_size 8 -> 16")]),
        ({"before": {"9"}, "after": {"16"}}, [Reason("", "a setting 9 -> 16")]),
        ({"before": set(), "after": {"nan"}}, [Reason("changed", "a setting")]),
        ({"follows": ("make_boxes", "train")}, [Reason("follows", "make_boxes"), Reason("follows", "train")]),
        ({"missing": ("a",), "follows": ("make_boxes",)}, [Reason("not made yet")]),
        ({"unfinished": True}, [Reason("left unfinished by an interrupted run")]),
        ({"inputs_changed": True}, [Reason("it has other input files than before")]),
        ({"script_changed": True}, [Reason("its script is newer than what it made")]),
    ],
)
def test_reasons_in_plain_words(job, reasons):
    assert reasons_of(StaleJob("some_rule", **job), BATCH) == reasons


def keep(tmp_path, folder, config=CONFIG, classes=("cat", "dog"), **shards):
    """Write manifests as the inventory and keep them as the last run; returns shard -> (path, digest)."""
    manifests = {shard: (path, sha256_of(path)) for shard, path in write(tmp_path / "inventory", **shards).items()}
    digests = {shard: digest for shard, (_, digest) in manifests.items()}
    assert keep_last_run(config, classes, digests, tmp_path / "inventory", folder, WHEN)
    return manifests


def test_last_run_is_kept_and_read(tmp_path):
    manifests = keep(tmp_path, tmp_path / "last", train=[line("a.jpg", CAT)], test=[])
    last = read_last_run(tmp_path / "last")
    assert (last.finished, last.settings, last.classes) == (WHEN, CONFIG, ("cat", "dog"))
    for shard, (path, digest) in manifests.items():
        assert last.digests[shard] == digest
        assert last.manifest(shard).read_bytes() == path.read_bytes()
    assert not find_changes(last, CONFIG, ["cat", "dog"], manifests)


def test_only_changed_manifests_are_copied_and_old_ones_removed(tmp_path):
    keep(tmp_path, tmp_path / "last", train=[line("a.jpg", CAT)], test=[line("b.jpg", CAT)])
    before = {path.name: os.stat(path).st_ino for path in (tmp_path / "last").glob("*.jsonl")}
    keep(tmp_path, tmp_path / "last", train=[line("a.jpg", DOG)], test=[line("b.jpg", CAT)])
    after = {path.name: os.stat(path).st_ino for path in (tmp_path / "last").glob("*.jsonl")}
    assert len(before) == len(after) == 2
    kept = before.keys() & after.keys()
    assert [name for name in kept if name.startswith("test")] == list(kept)
    assert all(before[name] == after[name] for name in kept)


@pytest.mark.parametrize("step", range(4))
def test_a_kill_at_any_step_leaves_a_whole_record(tmp_path, monkeypatch, step):
    old = keep(tmp_path, tmp_path / "last", train=[line("a.jpg", CAT)], test=[line("b.jpg", CAT)])
    new = {"train": [line("a.jpg", DOG)], "test": [line("b.jpg", DOG)]}
    done = []

    def replace(source, target, real=os.replace):
        if len(done) == step:
            raise KeyboardInterrupt
        done.append(real(source, target))

    with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
        patched.setattr(os, "replace", replace)
        keep(tmp_path, tmp_path / "last", **new)
    last = read_last_run(tmp_path / "last")
    # Two manifests and the record.
    assert (last.digests == {shard: digest for shard, (_, digest) in old.items()}) == (step < 3)
    assert all(last.manifest(shard).exists() for shard in last.digests)
    keep(tmp_path, tmp_path / "last", **new)
    assert len(list((tmp_path / "last").iterdir())) == 3


def test_manifest_that_changed_during_the_run_keeps_the_old_record(tmp_path):
    keep(tmp_path, tmp_path / "last", train=[line("a.jpg", CAT)])
    write(tmp_path / "inventory", train=[line("a.jpg", DOG)])
    assert not keep_last_run(CONFIG, [], {TRAIN: "f" * 64}, tmp_path / "inventory", tmp_path / "last", WHEN)
    assert read_last_run(tmp_path / "last").classes == ("cat", "dog")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"finished": "yesterday"}'])
def test_record_that_cannot_be_read_counts_as_none(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert read_last_run(tmp_path) is None


def test_damaged_manifest_of_the_record_counts_as_none(tmp_path):
    keep(tmp_path, tmp_path / "last", train=[line("a.jpg", CAT)])
    next((tmp_path / "last").glob("*.jsonl")).write_text("torn")
    manifests = {
        shard: (path, sha256_of(path)) for shard, path in write(tmp_path / "new", train=[line("a.jpg", DOG)]).items()
    }
    found = find_changes(read_last_run(tmp_path / "last"), CONFIG, ["cat"], manifests)
    assert found.last is None
    assert found.counts == {"train": 1}


def changed(tmp_path):
    """Return the changes of a small data set and its settings."""
    keep(tmp_path, tmp_path / "last", train=[line("a.jpg", CAT)], test=[line("b.jpg", CAT)])
    new = write(tmp_path / "new", train=[line("a.jpg", ("cat", 12, 20, 30, 40), DOG)], test=[line("b.jpg", CAT)])
    manifests = {shard: (path, sha256_of(path)) for shard, path in new.items()}
    config = {**CONFIG, "training": {**CONFIG["training"], "batch_size": 16}}
    return find_changes(read_last_run(tmp_path / "last"), config, ["cat", "dog", "fox"], manifests)


def test_text_tells_counts_then_details_then_jobs(tmp_path):
    stale = [
        StaleJob("make_boxes", TRAIN, updated=(f"results/inventory/{TRAIN}.jsonl",)),
        StaleJob("train", "one", "one", follows=("make_boxes",)),
        StaleJob("train", "two", "two", follows=("make_boxes",)),
        StaleJob("detect", "two", "two", missing=("x",), made_before=True),
    ]
    found = changed(tmp_path)
    when = found.last.finished.astimezone().strftime("%Y-%m-%d %H:%M")
    assert tell(found, stale, {"make_boxes": 2, "train": 2, "detect": 2}) == (
        f"""\
Changed since the last finished run ({when}):
  images:   1 relabelled
  boxes:    1 moved, 1 added
  classes:  fox is new
  settings: 1 changed

Relabelled:
  a.jpg (train)
      box 1 (cat) moved: (10, 20, 30, 40) -> (12, 20, 30, 40)
      box 2 (dog) added: (50, 50, 60, 60)

Settings:
  training.batch_size: 8 -> 16 (of one)

To run: 4 jobs of 6.
  make_boxes (1 of 2)  images or labels changed: {TRAIN}
  train (one, two)     follows make_boxes
  detect (two)         output missing: x
"""
    )


def test_nothing_changed_and_nothing_stale(tmp_path):
    manifests = keep(tmp_path, tmp_path / "last", train=[line("a.jpg", CAT)])
    found = find_changes(read_last_run(tmp_path / "last"), CONFIG, ["cat", "dog"], manifests)
    text = tell(found, [], {"train": 1})
    assert text.startswith("No image, label or setting has changed since the last finished run (")
    assert "Nothing is stale: no job is to run." in text
    text = tell(found, [StaleJob("train", missing=("x",), made_before=True)], {"train": 1, "detect": 1})
    assert "To run: 1 job of 2.\n  train (1)  output missing: x\n" in text


def test_first_run_is_told_in_two_lines(tmp_path):
    manifests = {
        shard: (path, sha256_of(path))
        for shard, path in write(tmp_path, train=[line("a.jpg", CAT), line("c.jpg")], test=[line("b.jpg", CAT)]).items()
    }
    found = find_changes(None, CONFIG, ["cat"], manifests)
    assert tell(found, [StaleJob("train", missing=("x",))], {"train": 1}) == (
        "First run: 3 images (2 train, 0 val, 1 test).\nAll jobs are to run: 1.\n"
    )
    assert tell(found, [], {"train": 1}).startswith("There is no record of a finished run to compare with: 3 images")


def test_long_lists_are_cut_with_the_number_that_is_left_out(tmp_path):
    names = [f"{index:04}.jpg" for index in range(1234)]
    keep(tmp_path, tmp_path / "last", train=[])
    new = write(tmp_path / "new", train=[line(name, CAT) for name in names])
    manifests = {shard: (path, sha256_of(path)) for shard, path in new.items()}
    found = find_changes(read_last_run(tmp_path / "last"), CONFIG, ["cat", "dog"], manifests)
    text = tell(found, more="see the table")
    assert "images:   1,234 added" in text
    assert "  0019.jpg (train, 1 box)\n  and 1,214 more (see the table)\n" in text
    assert "0020.jpg" not in text
    assert all(name in tell(found, most=None) for name in names)


def test_an_image_with_many_changed_boxes_is_cut_too(tmp_path):
    keep(tmp_path, tmp_path / "last", train=[line("a.jpg")])
    boxes = [("cat", x, 0, x + 1, 1) for x in range(30)]
    new = write(tmp_path / "new", train=[line("a.jpg", *boxes)])
    manifests = {shard: (path, sha256_of(path)) for shard, path in new.items()}
    found = find_changes(read_last_run(tmp_path / "last"), CONFIG, ["cat", "dog"], manifests)
    assert "box 4 (cat) added: (3, 0, 4, 1)\n      and 26 more of this image\n" in tell(found)


def test_table_has_a_row_for_every_single_change(tmp_path):
    write_changes(changed(tmp_path), tmp_path / "changes.csv")
    with open(tmp_path / "changes.csv", encoding="utf-8", newline="") as stream:
        rows = [tuple(row.values()) for row in csv.DictReader(stream)]
    moved = "box 1 (cat) moved: (10, 20, 30, 40) -> (12, 20, 30, 40)"
    assert rows == [
        ("relabelled", "a.jpg", "train", moved, "cat (10, 20, 30, 40)", "cat (12, 20, 30, 40)"),
        ("relabelled", "a.jpg", "train", "box 2 (dog) added: (50, 50, 60, 60)", "", "dog (50, 50, 60, 60)"),
        ("setting", "training.batch_size", "", "training.batch_size: 8 -> 16 (of one)", "8", "16"),
        ("class", "fox", "", "new", "", ""),
    ]


def test_no_record_means_no_changes_to_tell():
    assert not Changes(None)


def test_images_that_are_to_be_fetched_are_counted_and_annotations_without_image_are_not(tmp_path):
    origin = {"url": "http://x/1.jpg", "licence": "", "source": "", "sha256": ""}
    lines = [
        line("a.jpg", CAT),
        line("b-1", CAT, image=None, sha256=None, origin=origin),
        line("c.jpg", CAT, image=None),
    ]
    manifests = {shard: (path, sha256_of(path)) for shard, path in write(tmp_path, train=lines).items()}
    assert find_changes(None, CONFIG, ["cat"], manifests).counts == {"train": 2}
