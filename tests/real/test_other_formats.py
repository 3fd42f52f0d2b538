"""Real annotations that are no JSON, in absolute numbers: CVAT, Pascal VOC, also with lists, existing TFRecords."""

import hashlib
import json
from collections import Counter

import pytest

from odtl import images, inventory
from odtl.annotations.tfrecord import read_image
from odtl.boxes import read_boxes
from odtl.making_boxes import make_boxes
from odtl.manifest import manifest_path
from odtl.repairs import read_ledger
from odtl.split import shard_names

# What nothing else says the split of is for the test.
SPLIT = {"fractions": {"train": 0, "val": 0, "test": 1}, "val_from_train": 0, "group": None, "seed": ""}


def scan(folder, *sources):
    """Return the lines by id, each with its split; the manifests are in `folder`."""
    data = {"sources": list(sources), "split": SPLIT, "shards": 1}
    found = inventory.scan(data, {"classes": None, "aliases": {}}, None, report=lambda text: None)
    inventory.write(found, folder)
    lines = {}
    for shard, text in found.manifests.items():
        for line in map(json.loads, text.splitlines()):
            lines[line["id"]] = line | {"split": shard.partition("-")[0]}
    return lines


def stage(folder):
    """Return the rows of all boxes tables and all ledgers of the manifests in `folder`."""
    rows, repairs = [], []
    for shard in shard_names(1):
        boxes, ledger = folder / f"{shard}.csv", folder / f"{shard}.repairs.csv"
        make_boxes(manifest_path(folder, shard), boxes, ledger)
        rows += [row for row in read_boxes(boxes) if not row.is_negative]
        repairs += read_ledger(ledger)
    return rows, repairs


def reasons(lines):
    return Counter(problem["reason"] for line in lines.values() for problem in line["problems"])


def labels(lines):
    return Counter(label for line in lines.values() if line["annotation"] for label in line["annotation"]["labels"])


def test_street_from_cvat(tmp_path, real_data):
    home = real_data / "street_cvat"
    source = {"format": "cvat", "images": str(home / "images"), "annotations": str(home / "annotations.xml")}
    lines = scan(tmp_path, source)
    assert (len(lines), reasons(lines)) == (12, {})
    counts = {"Car": 71, "Person": 29, "Road": 14, "Roof": 7, "Building": 4}
    assert labels(lines) == counts
    first = lines["OIG (1).jpg"]["annotation"]
    assert (first["width"], first["height"], first["boxes"][0]) == (173, 173, [3.9, 63.69, 25.2, 77.9])
    rows, repairs = stage(tmp_path)
    assert Counter(row.label for row in rows) == counts
    assert repairs == []


@pytest.mark.parametrize(
    ("path", "count", "classes"),
    [
        ("raccoon/data/test.record", 40, {"raccoon": 44}),
        ("averdones_starwars/sw_val.record", 3, {"BB-8": 2, "R2-D2": 1}),
        ("peach/coco_train.record", 6, {"Peach": 18}),
        ("peach/coco_val.record", 2, {"Peach": 4}),
        ("peach/coco_testdev.record", 2, {"Peach": 6}),
    ],
)
def test_records(tmp_path, real_data, path, count, classes):
    lines = scan(tmp_path, {"format": "tfrecord", "annotations": str(real_data / path)})
    assert (len(lines), reasons(lines), labels(lines)) == (count, {}, classes)
    for line in lines.values():
        data = read_image(line["origin"]["url"])
        info = images.probe(data)
        assert hashlib.sha256(data).hexdigest() == line["origin"]["sha256"]
        assert (info.width, info.height) == (line["annotation"]["width"], line["annotation"]["height"])


def test_all_peaches_are_one_source(tmp_path, real_data):
    """Three records, each with an image0.jpg of its own."""
    places = {
        split: str(real_data / f"peach/coco_{name}.record")
        for split, name in (("train", "train"), ("val", "val"), ("test", "testdev"))
    }
    lines = scan(tmp_path, {"format": "tfrecord", "annotations": places})
    assert Counter(line["split"] for line in lines.values()) == {"train": 6, "val": 2, "test": 2}
    assert (reasons(lines), labels(lines)) == ({}, {"Peach": 28})


def test_records_agree_with_the_annotations_they_were_made_from(tmp_path, real_data):
    home = real_data / "raccoon"
    (tmp_path / "one").mkdir()
    recorded = scan(
        tmp_path / "one",
        {"format": "tfrecord", "images": str(home / "images"), "annotations": str(home / "data/test.record")},
    )
    recorded = {name: line for name, line in recorded.items() if line["annotation"]}
    assert len(recorded) == 40
    rows, repairs = stage(tmp_path / "one")
    assert {row.reason for row in repairs} == {"unlabelled"}
    (tmp_path / "two").mkdir()
    scan(
        tmp_path / "two",
        {"format": "csv", "images": str(home / "images"), "annotations": str(home / "data/test_labels.csv")},
    )
    expected, _ = stage(tmp_path / "two")
    assert len(rows) == len(expected) == 44

    def edges(found):
        return sorted((row.filename, row.label, row.xmin, row.ymin, row.xmax, row.ymax) for row in found)

    for one, other in zip(edges(rows), edges(expected), strict=True):
        assert one[:2] == other[:2]
        assert one[2:] == pytest.approx(other[2:], abs=0.001)


def test_raccoon_from_voc(tmp_path, real_data):
    home = real_data / "raccoon"
    source = {"format": "voc", "images": str(home / "images"), "annotations": str(home / "annotations")}
    lines = scan(tmp_path, source)
    assert (len(lines), labels(lines), reasons(lines)) == (200, {"raccoon": 217}, {})


def test_starwars_from_voc_with_a_list(tmp_path, real_data):
    home = real_data / "averdones_starwars"
    source = {
        "format": "voc",
        "images": str(home / "images"),
        "annotations": str(home / "annotations/xmls"),
        "split_lists": str(home / "annotations"),
    }
    lines = scan(tmp_path, source)
    assert (len(lines), labels(lines), reasons(lines)) == (203, {"bb8": 101, "r2d2": 101, "r2-d2": 1}, {})
    # trainval.txt has a line `R2-D2_1 2` for each image but one.
    assert [name for name, line in lines.items() if line["split"] != "train"] == ["R2-D2_102.jpg"]
