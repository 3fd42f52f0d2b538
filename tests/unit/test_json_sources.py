"""JSON formats through the inventory and the boxes stage: what comes out, and what one changed entry touches."""

import csv
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from odtl import inventory
from odtl.making_boxes import make_boxes
from odtl.manifest import manifest_path
from odtl.repairs import read_ledger
from odtl.split import shard_names

SPLIT = {"fractions": {"train": 1, "val": 0, "test": 0}, "val_from_train": 0, "group": None, "seed": ""}
LABELS = {"classes": None, "aliases": {}}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def draw(*paths, size=(64, 48)):
    for number, path in enumerate(paths):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Image.new("RGB", size, (number, 2, 3)).save(path)


def write(path, content):
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(content, stream)


def refresh(*sources, shards=1):
    data = {"sources": list(sources), "split": SPLIT, "shards": shards}
    return inventory.refresh(data, LABELS, "cache", "out", report=lambda text: None)


def run(*sources):
    """Return the rows of the boxes table and of the ledger, after the stages that make them."""
    refresh(*sources)
    boxes, ledger = [], []
    for shard in shard_names(1):
        make_boxes(manifest_path("out", shard), f"{shard}.csv", f"{shard}.repairs.csv")
        with open(f"{shard}.csv", encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                edges = tuple(float(row[side]) for side in ("xmin", "ymin", "xmax", "ymax")) if row["class"] else None
                boxes.append((row["filename"], row["split"], row["class"], edges))
        ledger += [(row.image, row.status, row.reason) for row in read_ledger(f"{shard}.repairs.csv")]
    return sorted(boxes, key=repr), sorted(ledger)


def coco(*images):
    """Return a file of images, (name, boxes) each, all cups."""
    return {
        "images": [{"id": i, "file_name": name, "width": 64, "height": 48} for i, (name, _) in enumerate(images)],
        "annotations": [
            {"image_id": i, "category_id": 0, "bbox": box} for i, (_, boxes) in enumerate(images) for box in boxes
        ],
        "categories": [{"id": 0, "name": "cup"}],
    }


def manifests():
    return {name: (os.stat(f"out/{name}").st_ino, Path("out", name).read_text()) for name in os.listdir("out")}


def test_coco_with_a_file_for_each_split():
    draw("images/a.png", "images/sub/b.png", "images/c.png")
    write("train.json", coco(("a.png", [[1, 2, 3.5, 4]]), ("sub/b.png", []), ("gone.png", [[1, 2, 3, 4]])))
    write("test.json", coco(("c.png", [[0, 0, 64, 48], [5, 6, 7, 8]])))
    source = {"format": "coco", "images": "images", "annotations": {"train": "train.json", "test": "test.json"}}
    assert run(source) == (
        [
            ("a.png", "train", "cup", (1, 2, 4.5, 6)),
            ("c.png", "test", "cup", (0, 0, 64, 48)),
            ("c.png", "test", "cup", (5, 6, 12, 14)),
            ("sub/b.png", "train", "", None),
        ],
        [("gone.png", "rejected", "image_missing")],
    )


def test_one_changed_entry_of_a_large_file_touches_one_shard():
    names = [f"{index:03}.png" for index in range(60)]
    draw(*(f"images/{name}" for name in names))
    images = [(name, [[1, 2, 3, 4]]) for name in names]
    source = {"format": "coco", "images": "images", "annotations": "all.json"}
    write("all.json", coco(*images))
    refresh(source, shards=6)
    before = manifests()
    assert len([text for _, text in before.values() if '"cup"' in text]) >= 6
    # All else is as it was, but not in its place in the file.
    images[17] = ("017.png", [[1, 2, 3, 5]])
    write("all.json", coco(*reversed(images)))
    refresh(source, shards=6)
    after = manifests()
    changed = [name for name in after if after[name] != before.get(name) and name.endswith(".jsonl")]
    assert len(changed) == 1
    lines = [json.loads(line) for line in after[changed[0]][1].splitlines()]
    assert [line["annotation"]["boxes"] for line in lines if line["id"] == "017.png"] == [[[1, 2, 4, 7]]]
    old = before[changed[0]][1].splitlines()
    assert len(set(old) ^ set(after[changed[0]][1].splitlines())) == 2


def test_labelbox_counts_from_the_lower_edge():
    draw("images/a.png", "images/b.png", "images/c.png")
    records = [
        {"Labeled Data": "u", "External ID": "a.png", "Label": {"cup": "POLYGON ((10 5, 10 15, 30 15, 30 5))"}},
        {"Labeled Data": "u", "External ID": "b.png", "Label": "Skip"},
        {"Labeled Data": "https://x.org/d.png", "Label": {"cup": [[{"x": 1, "y": 2}, {"x": 3, "y": 4}]]}},
    ]
    write("export.json", records)
    source = {"format": "labelbox", "images": "images", "annotations": "export.json"}
    refresh(source)
    lines = [json.loads(line) for line in Path("out/train-00000-of-00001.jsonl").read_text().splitlines()]
    remote = next(line for line in lines if line["id"] not in ("a.png", "b.png", "c.png"))
    assert remote["id"].startswith("d-")
    assert remote["origin"] == {"url": "https://x.org/d.png", "licence": "", "source": "", "sha256": ""}
    assert (remote["annotation"]["boxes"], remote["annotation"]["upward"]) == ([[1, 2, 3, 4]], True)
    write("export.json", records[:2])
    assert run(source) == (
        [("a.png", "train", "cup", (10, 33, 30, 43))],
        [
            ("a.png", "repaired", "size_missing"),
            ("b.png", "rejected", "annotation_skipped"),
            ("c.png", "rejected", "unlabelled"),
        ],
    )


def test_cloud_annotations_are_found_among_the_images():
    draw("images/a.png", "images/b.png", "images/new.png")
    box = {"x": 0.25, "y": 0.5, "x2": 0.75, "y2": 1.01, "label": "cup"}
    content = {"type": "localization", "annotations": {"a.png": [box], "b.png": [], "gone.png": [box]}}
    write("images/_annotations.json", content)
    assert run({"format": "cloud_annotations", "images": "images"}) == (
        [("a.png", "train", "cup", (16, 24, 48, 48)), ("b.png", "train", "", None)],
        [
            ("a.png", "repaired", "box_clipped"),
            ("gone.png", "rejected", "image_missing"),
            ("new.png", "rejected", "unlabelled"),
        ],
    )


def test_label_studio_with_the_digits_that_it_puts_in_front():
    draw("images/1a2b3c4d-a.png", "images/5e6f7a8b-b.png", "images/9c0d1e2f-c.png")
    value = {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["cup"]}
    result = {"type": "rectanglelabels", "original_width": 64, "original_height": 48, "value": value}
    several = [{"result": [result], "updated_at": "2024"}, {"result": [], "updated_at": "2023"}]
    write(
        "export.json",
        [
            {"data": {"image": "/data/upload/1/1a2b3c4d-a.png"}, "annotations": several},
            {"data": {"image": "/data/upload/1/5e6f7a8b-b.png"}, "annotations": [{"result": []}]},
            {"data": {"image": "/data/upload/1/9c0d1e2f-c.png"}, "annotations": []},
        ],
    )
    assert run({"format": "label_studio", "images": "images", "annotations": "export.json"}) == (
        [("1a2b3c4d-a.png", "train", "cup", (16, 24, 48, 36)), ("5e6f7a8b-b.png", "train", "", None)],
        [
            ("1a2b3c4d-a.png", "repaired", "annotation_chosen"),
            ("9c0d1e2f-c.png", "rejected", "annotation_skipped"),
        ],
    )


def test_box_that_is_upside_down_is_used_and_told():
    draw("images/a.png")
    content = coco(("a.png", [[10, 5, 20, 10]]))
    content["annotations"][0]["segmentation"] = [[10, 33, 30, 33, 30, 43, 10, 43]]
    write("all.json", content)
    source = {"format": "coco", "images": "images", "annotations": "all.json"}
    assert run(source) == (
        [("a.png", "train", "cup", (10, 5, 30, 15))],
        [("a.png", "repaired", "box_upside_down")],
    )
    # The cure that the row names.
    del content["annotations"][0]["bbox"]
    write("all.json", content)
    assert run(source) == ([("a.png", "train", "cup", (10, 33, 30, 43))], [])
