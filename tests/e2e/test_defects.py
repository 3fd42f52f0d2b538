"""Data with everything wrong: what is sound is kept, each defect has its row, and all are told at once."""

import csv
import json
from collections import Counter

import pytest
from PIL import Image

from helpers import Project, draw_data, voc_xml

SOURCE = {"format": "voc", "images": "images", "split": "by_hash"}


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "images"
    draw_data(folder, 12)

    def label(name: str, xml: str) -> None:
        (folder / f"{name}.xml").write_text(xml, encoding="utf-8")

    (folder / "000.jpg").write_bytes((folder / "000.jpg").read_bytes()[:400])
    (folder / "001.jpg").write_text("<html>Not found</html>", encoding="utf-8")
    Image.new("L", (64, 48)).save(folder / "002.jpg", format="PNG")
    label("003", "<annotation><object>")
    label("004", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>')
    label("nowhere", voc_xml("nowhere.jpg", (64, 48), [("disc", (1, 1, 20, 20))]))
    (folder / "005.xml").unlink()
    label("006", voc_xml("006.jpg", (64, 48), [("disc", (-5, 10, 30, 60))]))
    label("007", voc_xml("007.jpg", (64, 48), [("disc", (30, 40, 10, 20))]))
    label("008", voc_xml("008.jpg", (0, 0), [("disc", (10, 10, 30, 30)), ("disc", (12, 12, 12, 20))]))
    label("009", voc_xml("009.jpg", (64, 48), []))
    return Project(tmp_path, data={"sources": [SOURCE]})


def test_every_defect_has_its_row_and_nothing_is_lost(project):
    run = project.snakemake("--until", "write_card", "write_records")
    assert run.status == 0, run.output
    dataset = project.folder / "results/dataset"
    card = json.loads((dataset / "card.json").read_text(encoding="utf-8"))
    # Twelve images, and an annotation without one.
    assert card["images"] == {"in": 13, "kept": 3, "repaired": 4, "rejected": 6}
    assert sum(split["negatives"] for split in card["splits"].values()) == 1
    with open(dataset / "repairs.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    status = {row["image"]: row["status"] for row in rows}
    assert {name for name, value in status.items() if value == "rejected"} == {
        "000.jpg",
        "001.jpg",
        "003.jpg",
        "004.jpg",
        "005.jpg",
        "nowhere.jpg",
    }
    assert Counter(row["image"] for row in rows)["008.jpg"] == 2
    assert all(row["reason"] and row["found"] and row["done"] for row in rows)


def test_strict_tells_all_defects_at_once_and_stops_before_the_training(project):
    project.configure(data={"sources": [SOURCE], "strict": True}, training={"pretrained": False})
    run = project.snakemake("results/detector/checkpoint/ckpt.index")
    assert run.status != 0
    for name in ["000.jpg", "001.jpg", "002.jpg", "003.xml", "004.xml", "005.jpg", "nowhere.xml", "006", "007", "008"]:
        assert name in run.output
    assert not (project.folder / "results/detector/checkpoint").exists()
    assert not (project.folder / "results/dataset/card.json").exists()


def test_mended_data_leaves_no_trace_in_the_ledger(project):
    assert project.snakemake("--until", "write_card").status == 0
    for path in (project.folder / "images").iterdir():
        path.unlink()
    draw_data(project.folder / "images", 12)
    assert project.snakemake("--until", "write_card").status == 0
    card = json.loads((project.folder / "results/dataset/card.json").read_text(encoding="utf-8"))
    assert card["images"] == {"in": 12, "kept": 12, "repaired": 0, "rejected": 0}
