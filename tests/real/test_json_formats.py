"""Real annotations in JSON, in absolute numbers: COCO, Labelbox, Cloud Annotations, Label Studio."""

import io
import json
from collections import Counter
from urllib.parse import urlsplit

import pytest
from loopback import serving_site
from PIL import Image

from helpers import Project
from odtl import inventory
from odtl.annotations import coco, labelbox
from odtl.annotations.model import Annotation, Origin
from odtl.boxes import read_boxes
from odtl.making_boxes import make_boxes
from odtl.manifest import manifest_path
from odtl.records import read_records
from odtl.repairs import read_ledger
from odtl.split import shard_names

SPLIT = {"fractions": {"train": 1, "val": 0, "test": 0}, "val_from_train": 0, "group": None, "seed": ""}
SIDES = ("xmin", "ymin", "xmax", "ymax")


def data_set(real_data, name):
    """Return the folder of a data set, or skip the test with the reason."""
    if not (real_data / name).is_dir():
        pytest.skip(f"there is no {name} in {real_data}")
    return real_data / name


def stage(folder, *sources):
    """Return the rows of all boxes tables and all ledgers of some sources."""
    data = {"sources": list(sources), "split": SPLIT, "shards": 1}
    found = inventory.scan(data, {"classes": None, "aliases": {}}, None, report=lambda text: None)
    inventory.write(found, folder)
    rows, repairs = [], []
    for shard in shard_names(1):
        boxes, ledger = folder / f"{shard}.csv", folder / f"{shard}.repairs.csv"
        make_boxes(manifest_path(folder, shard), boxes, ledger)
        rows += [row for row in read_boxes(boxes) if not row.is_negative]
        repairs += read_ledger(ledger)
    return rows, repairs


def edges(row):
    return tuple(float(getattr(row, side)) for side in SIDES)


def test_snakes(tmp_path, real_data):
    home = data_set(real_data, "snake_cloudannotations")
    sources = [
        {"format": "cloud_annotations", "images": str(home / split), "split": split, "name": split}
        for split in ("train", "test")
    ]
    rows, repairs = stage(tmp_path, *sources)
    labelled = {(row.split, row.filename) for row in rows}
    assert Counter(split for split, _ in labelled) == {"train": 178, "test": 20}
    missing = [row.image for row in repairs if row.reason == "image_missing"]
    assert Counter(image.partition("/")[0] for image in missing) == {"train": 122, "test": 11}
    # Images that Cloud Annotations itself keeps in a folder "unlabeled".
    unlabelled = [row.image for row in repairs if row.reason == "unlabelled"]
    assert all("/unlabeled/" in image for image in unlabelled)
    assert {row.label for row in rows} == {"Snake"}
    assert all(0 <= row.xmin < row.xmax <= row.width and 0 <= row.ymin < row.ymax <= row.height for row in rows)
    first = json.loads((home / "train/_annotations.json").read_text())["annotations"]
    name, (box, *_) = next(
        (name, boxes) for name, boxes in first.items() if f"train/labeled/{name}" in {f for _, f in labelled}
    )
    row = next(row for row in rows if row.filename == f"train/labeled/{name}")
    expected = (box["x"] * row.width, box["y"] * row.height, box["x2"] * row.width, box["y2"] * row.height)
    # The table has three decimals.
    assert edges(row) == pytest.approx(expected, abs=1e-3)


def test_street_from_coco_is_what_cvat_says_of_two_of_its_classes(tmp_path, real_data):
    home = data_set(real_data, "street_cvat")
    (tmp_path / "coco").mkdir()
    (tmp_path / "cvat").mkdir()
    images = str(home / "images")
    rows, repairs = stage(
        tmp_path / "coco", {"format": "coco", "images": images, "annotations": str(home / "instances.json")}
    )
    assert repairs == []
    assert Counter(row.label for row in rows) == {"Car": 71, "Person": 29}
    assert edges(next(row for row in rows if row.filename == "OIG (1).jpg")) == pytest.approx((3.9, 63.69, 25.2, 77.9))
    others, _ = stage(
        tmp_path / "cvat", {"format": "cvat", "images": images, "annotations": str(home / "annotations.xml")}
    )
    wanted = sorted((row.filename, row.label, edges(row)) for row in others if row.label in ("Car", "Person"))
    found = sorted((row.filename, row.label, edges(row)) for row in rows)
    assert [row[:2] for row in found] == [row[:2] for row in wanted]
    assert [row[2] for row in found] == [pytest.approx(row[2], abs=1e-6) for row in wanted]


def test_label_studio(tmp_path, real_data):
    home = data_set(real_data, "label_studio")
    source = {"format": "label_studio", "images": str(home), "annotations": str(home / "label_studio_export.json")}
    rows, repairs = stage(tmp_path, source)
    assert repairs == []
    assert sorted(row.filename.rpartition("/")[2] for row in rows) == [
        "download (1).jpg",
        "download (2).jpg",
        "download.jpg",
        "images (1).jpg",
        "images (10).jpg",
        "images (11).jpg",
    ]
    # A placeholder: a tenth of each side is left free.
    for row in rows:
        expected = (0.1 * row.width, 0.1 * row.height, 0.9 * row.width, 0.9 * row.height)
        assert edges(row) == pytest.approx(expected, abs=1e-3)
    assert Counter(row.label for row in rows)["aberta"] + Counter(row.label for row in rows)["fechada"] == 6


def test_labelbox(real_data):
    home = data_set(real_data, "labelbox_fixture")
    url = "https://storage.googleapis.com/labelbox-example-datasets/tesla/Red_Bay-1440.jpg"
    path = str(home / "v3_wkt_rectangle.json")
    table = labelbox.read(path)
    assert table.problems == ()
    assert table.annotations == {
        url: Annotation(
            path,
            url,
            boxes=((356, 74, 1198, 420),),
            labels=("Car",),
            difficult=(False,),
            truncated=(False,),
            upward=True,
            origin=Origin(url, "", "Example Tesla Dataset"),
        )
    }


def test_labelbox_to_coco(tmp_path, real_data):
    """The export itself, with any picture at its address: boxes count from the upper edge in the end."""
    home = data_set(real_data, "labelbox_fixture")
    (record,) = json.loads((home / "v3_wkt_rectangle.json").read_text(encoding="utf-8"))
    stream = io.BytesIO()
    Image.new("RGB", (1440, 810), "gray").save(stream, "JPEG")
    path = urlsplit(record["Labeled Data"]).path
    with serving_site({path: stream.getvalue()}) as site:
        record["Labeled Data"] = f"{site.base}{path}"
        (tmp_path / "export.json").write_text(json.dumps([record]), encoding="utf-8")
        project = Project(
            tmp_path,
            data={"sources": [{"name": "tesla", "format": "labelbox", "annotations": "export.json"}], "shards": 1},
            fetch={"allow_addresses": ["127.0.0.0/8"]},
        )
        done = project.snakemake("converted_labelbox")
        assert done.status == 0, done.output[-4000:]
        assert site.asked == [path]
    content = json.loads((tmp_path / "results/converted/labelbox/tesla.json").read_text(encoding="utf-8"))
    (image,), (box,), (category,) = (content[name] for name in ("images", "annotations", "categories"))
    assert (image["file_name"], image["width"], image["height"]) == (record["Labeled Data"], 1440, 810)
    assert (box["image_id"], box["category_id"]) == (image["id"], category["id"])
    assert category["name"] == "Car"
    # The outline is from (356, 74) to (1198, 420), counted from the lower edge.
    assert box["bbox"] == [356, 810 - 420, 1198 - 356, 420 - 74]
    assert box["area"] == 842 * 346


@pytest.mark.parametrize(
    ("split", "record", "images", "boxes"),
    [("training", "train", 6, 18), ("validation", "val", 2, 4), ("test", "testdev", 2, 6)],
)
def test_peaches_are_as_in_the_records_made_of_them(real_data, split, record, images, boxes):
    """The records are those of create_coco_tf_record.py: shares of the boxes as they are written, upside down."""
    home = data_set(real_data, "peach")
    path = home / f"peaches_{split}_coco.json"
    table = coco.read(path)
    assert (len(table.annotations), sum(len(entry.boxes) for entry in table.annotations.values())) == (images, boxes)
    assert [entry.reason for entry in table.problems] == ["box_upside_down"] * images
    addresses = {image["id"]: image["file_name"] for image in json.loads(path.read_text())["images"]}
    compared = 0
    for theirs in read_records(home / f"coco_{record}.record"):
        ours = table.annotations[addresses[theirs["image/source_id"][0].decode()]]
        assert ours.origin.url == ours.filename
        assert [ours.width, ours.height] == [*theirs["image/width"], *theirs["image/height"]]
        scales = (ours.width, ours.height, ours.width, ours.height)
        for index, side in enumerate(SIDES):
            found = sorted(box[index] / scales[index] for box in ours.boxes)
            assert found == pytest.approx(sorted(theirs[f"image/object/bbox/{side}"]), abs=1e-6)
        compared += len(ours.boxes)
    assert compared == boxes


def test_peaches_without_their_boxes_are_turned_upright(tmp_path, real_data):
    home = data_set(real_data, "peach")
    content = json.loads((home / "peaches_training_coco.json").read_text())
    upside_down = coco.read(home / "peaches_training_coco.json").annotations
    for annotation in content["annotations"]:
        del annotation["bbox"]
    path = tmp_path / "upright.json"
    path.write_text(json.dumps(content))
    table = coco.read(path)
    assert table.problems == ()
    for name, entry in table.annotations.items():
        turned = [(xmin, entry.height - ymax, xmax, entry.height - ymin) for xmin, ymin, xmax, ymax in entry.boxes]
        assert turned == [pytest.approx(box, abs=1) for box in upside_down[name].boxes]
