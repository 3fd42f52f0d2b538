"""A changed annotation of one image touches the shard of that image and no other, whatever the format."""

import csv
import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from helpers import voc_xml
from odtl import inventory
from odtl.split import shard_names
from odtl.tf_example import frame, serialize

SHARDS = 6
NAMES = [f"{number:03}.png" for number in range(60)]
SIZE = (64, 48)
CHANGED = "017.png"
BEFORE, MOVED, ADDED = [(1, 2, 30, 40)], [(1, 2, 30, 44)], [(1, 2, 30, 40), (5, 6, 7, 8)]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    for number, name in enumerate(NAMES):
        Image.new("RGB", SIZE, (number, 2, 3)).save(f"images/{name}")


def voc(boxes):
    for name, edges in boxes.items():
        text = voc_xml(name, SIZE, [("cup", each) for each in edges])
        write_changed(Path("images", name).with_suffix(".xml"), text)
    return {}


def yolo(boxes):
    os.makedirs("labels", exist_ok=True)
    for name, edges in boxes.items():
        shares = [((x + r) / 128, (y + b) / 96, (r - x) / 64, (b - y) / 48) for x, y, r, b in edges]
        text = "".join(f"0 {' '.join(map(str, each))}\n" for each in shares)
        write_changed(Path("labels", name).with_suffix(".txt"), text)
    return {"annotations": "labels", "names": ["cup"]}


def write_changed(path, text):
    """Leave a file alone that holds just that: what is written anew is read anew."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def tabled(boxes):
    with io.StringIO(newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"])
        rows.writerows([name, *SIZE, "cup", *each] for name, edges in boxes.items() for each in edges)
        Path("all.csv").write_text(stream.getvalue())
    return {"annotations": "all.csv"}


def as_json(content):
    Path("all.json").write_text(json.dumps(content))
    return {"annotations": "all.json"}


def coco(boxes):
    return as_json(
        {
            "images": [{"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(boxes)],
            "annotations": [
                {"image_id": i, "category_id": 1, "bbox": [x, y, right - x, bottom - y]}
                for i, edges in enumerate(boxes.values())
                for x, y, right, bottom in edges
            ],
            "categories": [{"id": 1, "name": "cup"}],
        }
    )


def labelbox(boxes):
    def corners(edges):
        x, y, right, bottom = edges
        return {"geometry": [{"x": x, "y": y}, {"x": right, "y": y}, {"x": right, "y": bottom}, {"x": x, "y": bottom}]}

    def record(name, edges):
        image = {"ID": name, "External ID": name, "Labeled Data": f"https://x.example/{name}"}
        return {**image, "Label": {"cup": [corners(each) for each in edges]}}

    return as_json([record(name, edges) for name, edges in boxes.items()])


def cloud_annotations(boxes):
    entries = {
        name: [
            {"x": x / 64, "y": y / 48, "x2": right / 64, "y2": bottom / 48, "label": "cup"}
            for x, y, right, bottom in edges
        ]
        for name, edges in boxes.items()
    }
    return as_json({"version": "1.0", "type": "localization", "labels": ["cup"], "annotations": entries})


def label_studio(boxes):
    def result(edges):
        x, y, right, bottom = (100 * edge / side for edge, side in zip(edges, SIZE * 2, strict=True))
        value = {"x": x, "y": y, "width": right - x, "height": bottom - y, "rotation": 0, "rectanglelabels": ["cup"]}
        return {"type": "rectanglelabels", "original_width": 64, "original_height": 48, "value": value}

    return as_json(
        [
            {
                "id": number,
                "data": {"image": f"/data/upload/1/{name}"},
                "annotations": [{"result": [result(each) for each in edges]}],
            }
            for number, (name, edges) in enumerate(boxes.items())
        ]
    )


def cvat(boxes):
    box = '<box label="cup" xtl="{}" ytl="{}" xbr="{}" ybr="{}"/>'
    images = "".join(
        f'<image id="{number}" name="{name}" width="64" height="48">{"".join(box.format(*e) for e in edges)}</image>'
        for number, (name, edges) in enumerate(boxes.items())
    )
    Path("all.xml").write_text(f"<annotations><version>1.1</version>{images}</annotations>")
    return {"annotations": "all.xml"}


def tfrecord(boxes):
    with open("all.record", "wb") as stream:
        for name, edges in boxes.items():
            sides = {
                f"image/object/bbox/{side}": [each[place] / (64, 48)[place % 2] for each in edges]
                for place, side in enumerate(("xmin", "ymin", "xmax", "ymax"))
            }
            features = {"image/filename": [name.encode()], "image/encoded": [Path("images", name).read_bytes()]}
            labels = {"image/object/class/text": [b"cup"] * len(edges), "image/height": [48], "image/width": [64]}
            stream.write(frame(serialize({**sides, **features, **labels})))
    # The images are in it.
    return {"annotations": "all.record", "images": None}


def refresh(source):
    split = {"fractions": {"train": 1, "val": 0, "test": 0}, "val_from_train": 0, "group": None, "seed": ""}
    data = {"sources": [{key: value for key, value in source.items() if value}], "split": split, "shards": SHARDS}
    inventory.refresh(data, {"classes": None, "aliases": {}}, "cache", "out", report=lambda text: None)
    return {shard: Path(f"out/{shard}.jsonl").read_text().splitlines() for shard in shard_names(SHARDS)}


FORMATS = (voc, yolo, tabled, coco, labelbox, cloud_annotations, label_studio, cvat, tfrecord)


@pytest.mark.parametrize("change", [MOVED, ADDED], ids=["moved", "added"])
@pytest.mark.parametrize("make", FORMATS, ids=lambda make: make.__name__)
def test_one_changed_annotation_touches_one_shard(make, change):
    source = {"format": "csv" if make is tabled else make.__name__, "images": "images"}
    boxes = dict.fromkeys(NAMES, BEFORE)
    before = refresh(source | make(boxes))
    lines = [json.loads(line) for shard in before.values() for line in shard]
    assert len(lines) == 60 and all(len(line["annotation"]["boxes"]) == 1 for line in lines)
    assert sum(bool(shard) for shard in before.values()) == SHARDS
    stamps = {path.name: path.stat().st_ino for path in Path("out").glob("*.jsonl")}
    after = refresh(source | make({**boxes, CHANGED: change}))
    changed = [shard for shard in after if after[shard] != before[shard]]
    assert len(changed) == 1
    rewritten = [name for name, inode in stamps.items() if Path("out", name).stat().st_ino != inode]
    assert rewritten == [f"{changed[0]}.jsonl"]
    (line,) = set(after[changed[0]]) - set(before[changed[0]])
    assert len(json.loads(line)["annotation"]["boxes"]) == len(change)
    assert json.loads(line)["id"].startswith("017")
