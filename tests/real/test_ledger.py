"""What two data sets that people have published get wrong: every row of the ledger, and the card's warnings."""

import csv
import json
import re

import pytest

from helpers import Project


def run_data(folder, source, **config):
    """Run the data stages, with nothing configured but the source and what is given; return card and ledger."""
    sources = [{"format": "voc", "split": "from_folders", **source}]
    data = {"sources": sources, "shards": 1, "decode_images": True}
    project = Project(folder, data=data, **config)
    run = project.snakemake("--until", "write_card")
    assert run.status == 0, run.output
    card = json.loads((folder / "results/dataset/card.json").read_text(encoding="utf-8"))
    with open(folder / "results/dataset/repairs.csv", encoding="utf-8", newline="") as stream:
        return card, list(csv.DictReader(stream))


def boxes(card) -> dict[str, int]:
    return {name: sum(splits.values()) for name, splits in card["classes"].items()}


def other_warnings(card):
    """Return the card's warnings but for those of copies: both data sets have some."""
    return [text for text in card["warnings"] if not re.search("(copies|groups|duplicates).csv", text)]


def test_raccoon(tmp_path, real_data):
    """200 images of one class; three are grayscale, and each <path> names a place on another machine."""
    folder = real_data / "raccoon"
    if not folder.is_dir():
        pytest.skip(f"there is no raccoon in {real_data}")
    card, rows = run_data(tmp_path, {"images": str(folder / "images"), "annotations": str(folder / "annotations")})
    assert card["images"] == {"in": 200, "kept": 197, "repaired": 3, "rejected": 0}
    assert boxes(card) == {"raccoon": 217}
    assert other_warnings(card) == []
    assert [(row["image"], row["reason"], row["before"], row["after"]) for row in rows] == [
        (f"raccoon-{number}.jpg", "image_converted", "grayscale JPEG", "8-bit RGB JPEG") for number in (150, 152, 161)
    ]


def test_star_wars(tmp_path, real_data):
    """203 images of two classes, one of which is once written otherwise."""
    folder = real_data / "averdones_starwars"
    if not folder.is_dir():
        pytest.skip(f"there is no averdones_starwars in {real_data}")
    source = {"images": str(folder / "images"), "annotations": str(folder / "annotations/xmls")}
    card, rows = run_data(tmp_path, source)
    assert card["images"] == {"in": 203, "kept": 203, "repaired": 0, "rejected": 0}
    assert boxes(card) == {"bb8": 101, "r2-d2": 1, "r2d2": 101}
    (advice,) = [text for text in card["warnings"] if "looks like" in text]
    assert advice.startswith("Class 'r2-d2' (1 box) looks like 'r2d2' (101 boxes).")
    assert advice.endswith('labels: {aliases: {"r2-d2": "r2d2"}}')
    assert rows == []
    # With a list, it is one of them.
    card, rows = run_data(tmp_path, source, labels={"classes": ["bb8", "r2d2"]})
    assert card["images"] == {"in": 203, "kept": 202, "repaired": 1, "rejected": 0}
    assert boxes(card) == {"bb8": 101, "r2d2": 102}
    assert other_warnings(card) == []
    assert [(row["image"], row["reason"], row["before"], row["after"]) for row in rows] == [
        ("R2-D2_102.jpg", "label_spelling", "r2-d2", "r2d2")
    ]
