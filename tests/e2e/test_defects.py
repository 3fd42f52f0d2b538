"""Data with everything wrong: what is sound is kept, each defect has its row, and all are told at once."""

import csv
import io
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wrong_data
from PIL import Image

from helpers import Project, draw_data
from odtl.records import read_records
from odtl.repairs import STATUS_OF

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The data set, and what its data stages made of it."""
    folder = tmp_path_factory.mktemp("wrong")
    sources, rows, count = wrong_data.make(folder)
    config = {
        "data": {"sources": sources, "decode_images": True, "shards": 1},
        "labels": {"classes": wrong_data.CLASSES},
        "training": {"pretrained": False},
    }
    project = Project(folder, **config)
    run = project.snakemake("--until", "write_card", "write_records")
    assert run.status == 0, run.output
    return project, rows, count


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_ledger_has_a_row_for_each_defect_and_no_other(made):
    project, expected, _ = made
    rows = read_csv(project.folder / "results/dataset/repairs.csv")
    columns = ("image", "reason", "field", "before", "after")
    found = [tuple(row[column] for column in columns) for row in rows]
    assert (sorted(set(found) - set(expected)), sorted(set(expected) - set(found))) == ([], [])
    assert len(found) == len(set(found)) == len(expected)
    assert all(row["file"] and row["found"] and row["done"] for row in rows)
    assert all(row["status"] == STATUS_OF[row["reason"]] for row in rows)
    told = {row["image"]: row for row in rows}
    assert "HTML" in told["html.jpg"]["found"]
    assert "'square'" in told["label_typo.jpg"]["done"]
    assert "60" in told["bomb.png"]["found"] and "limit" in told["bomb.png"]["found"]


def test_every_image_is_accounted_for(made):
    project, rows, count = made
    rejected = {row[0] for row in rows if STATUS_OF[row[1]] == "rejected"}
    repaired = {row[0] for row in rows} - rejected
    card = json.loads((project.folder / "results/dataset/card.json").read_text(encoding="utf-8"))
    kept = count - len(repaired) - len(rejected)
    assert card["images"] == {"in": count, "kept": kept, "repaired": len(repaired), "rejected": len(rejected)}
    assert (count, kept, len(repaired), len(rejected)) == (99, 24, 49, 26)
    assert sum(split["negatives"] for split in card["splits"].values()) == 2
    assert any("'Case.jpg' and 'case.jpg' differ only in case" in text for text in card["warnings"])


def test_boxes_are_where_the_objects_are(made):
    """Whatever was turned, scaled, renamed or converted: each disc is the white box, on absolute pixels."""
    project, rows, count = made
    rejected = {row[0] for row in rows if STATUS_OF[row[1]] == "rejected"}
    seen = {}
    for path in (project.folder / "results/records").glob("*.tfrecord"):
        for example in read_records(path):
            name = example["image/filename"][0].decode()
            seen[name] = boxes = discs(example)
            pixels = np.asarray(Image.open(io.BytesIO(example["image/encoded"][0])))
            assert pixels.shape[2:] == (3,) and pixels.dtype == np.uint8
            assert pixels.shape[1::-1] == (example["image/width"][0], example["image/height"][0])
            for xmin, ymin, xmax, ymax in boxes:
                assert pixels[ymin + 2 : ymax - 2, xmin + 2 : xmax - 2].min() > 240, name
                around = pixels.copy()
                around[max(ymin - 2, 0) : ymax + 2, max(xmin - 2, 0) : xmax + 2] = 0
                assert around.max() < 60, name
    assert len(seen) == count - len(rejected)
    assert set(seen).isdisjoint(rejected)
    for value, box in wrong_data.UPRIGHT.items():
        assert seen[f"exif_{value}.jpg"] == [box]
    elsewhere = {f"exif_{value}.jpg" for value in wrong_data.UPRIGHT} | {"Case.jpg", "box_none.jpg", "label_spaces.jpg"}
    elsewhere |= {"table/negative.jpg"}
    assert {name for name, boxes in seen.items() if boxes != [wrong_data.BOX]} - elsewhere == set()
    assert (seen["Case.jpg"], seen["case.jpg"]) == ([(2, 2, 12, 12)], [wrong_data.BOX])
    assert seen["box_none.jpg"] == seen["table/negative.jpg"] == []


def discs(example: dict) -> list[tuple[int, ...]]:
    """Return the boxes of class disc, in whole pixels."""
    sides = [
        (f"image/object/bbox/{side}", f"image/{of}")
        for side, of in (("xmin", "width"), ("ymin", "height"), ("xmax", "width"), ("ymax", "height"))
    ]
    edges = zip(*([edge * example[of][0] for edge in example[side]] for side, of in sides), strict=True)
    labels = example["image/object/class/text"]
    return [tuple(map(round, box)) for box, label in zip(edges, labels, strict=True) if label == b"disc"]


def test_other_boxes_on_absolute_values(made):
    project, _, _ = made
    found = {}
    for split in ("train", "val", "test"):
        for row in read_csv(project.folder / f"results/dataset/{split}_labels.csv"):
            if row["class"] != "disc":
                found[row["filename"]] = (row["class"], *(row[side] for side in ("xmin", "ymin", "xmax", "ymax")))
    assert found == {
        "box_inverted.jpg": ("square", "10", "20", "30", "40"),
        "box_clipped.jpg": ("square", "0", "10", "30", "48"),
        "box_fraction.jpg": ("square", "1.5", "2.25", "20.75", "30"),
        "label_spaces.jpg": ("traffic light", "10", "8", "30", "28"),
    }


def test_strict_tells_all_defects_at_once_and_stops_before_the_training(made):
    project, rows, _ = made
    data = project.config["data"]
    strict = Project(project.folder, **{**project.config, "data": {**data, "strict": True}})
    run = strict.snakemake("results/detector/checkpoint/ckpt.index")
    assert run.status != 0
    told = Counter(re.findall(r"have it (?:repaired|rejected) \((\w+): ", run.output))
    expected = Counter(row[1] for row in rows)
    # Snakemake shows the job's log again where it tells of the failure.
    assert set(told) == set(expected) and all(told[reason] % expected[reason] == 0 for reason in expected)
    # Most of these images are one picture, labelled otherwise; two names differ in case only.
    copies = read_csv(project.folder / "results/dataset/copies.csv")
    count = len(rows) + sum(row["same_boxes"] == "0" for row in copies) + 1
    assert count > len(rows) + 10
    assert f"data.strict is on, and {count} thing(s) had to be repaired or rejected, or cannot be told" in run.output
    assert "Case.jpg: file name: found a name that differs from case.jpg only in case or accents" in run.output
    assert not (project.folder / "results/detector/checkpoint").exists()
    assert not (project.folder / "results/dataset/strict.json").exists()


def test_check_shows_what_strict_refuses(tmp_path):
    draw_data(tmp_path / "images", 12)
    source = {"format": "voc", "images": "images", "split": "by_hash"}
    project = Project(tmp_path, data={"sources": [source], "strict": True})
    (tmp_path / "images/000.jpg").write_bytes(b"")
    run = project.snakemake("check")
    assert run.status == 0, run.output
    assert "12 images: 11 kept, 0 repaired, 1 rejected" in run.output
    told = "a training will be refused, for 1 thing(s) in the ledger, results/dataset/repairs.csv."
    assert f"data.strict is on: {told}" in run.output
    assert (tmp_path / "results/dataset/check.html").stat().st_size > 1000
    for target in ("all", "data", "converted", "converted_csv"):
        assert project.plan(target).jobs["check_strict"] == 1
    run = project.snakemake("converted_csv")
    assert run.status != 0
    assert "data.strict is on, and 1 thing(s) had to be repaired or rejected" in run.output


def test_every_reason_is_produced_by_a_test():
    """What is not in the data set above is of one format or stage alone: its own tests name it."""
    own = {"test_defects.py", "test_repairs.py"}
    texts = [path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py") if path.name not in own]
    assert [reason for reason in STATUS_OF if not any(f'"{reason}"' in text for text in texts)] == []


def test_mended_data_leaves_no_trace_in_the_ledger(tmp_path):
    draw_data(tmp_path / "images", 12)
    project = Project(tmp_path, data={"sources": [{"format": "voc", "images": "images", "split": "by_hash"}]})
    whole = (tmp_path / "images/000.jpg").read_bytes()
    (tmp_path / "images/000.jpg").write_bytes(whole[:400])
    for images in (
        {"in": 12, "kept": 11, "repaired": 0, "rejected": 1},
        {"in": 12, "kept": 12, "repaired": 0, "rejected": 0},
    ):
        assert project.snakemake("--until", "write_card").status == 0
        card = json.loads((tmp_path / "results/dataset/card.json").read_text(encoding="utf-8"))
        assert card["images"] == images
        (tmp_path / "images/000.jpg").write_bytes(whole)
