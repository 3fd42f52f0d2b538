"""Real copies: a data set of photographs and their mirror images, which a split by hash tears apart."""

import csv
import json
from pathlib import Path

import pytest

from helpers import Project

MIRROR_PAIRS = 89
LABELLED = 178 + 20


def duplicates(folder: Path) -> dict:
    return json.loads((folder / "results/dataset/duplicates.json").read_text(encoding="utf-8"))


def rows(folder: Path, name: str) -> list[dict]:
    with open(folder / "results/dataset" / name, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def checked(project: Project) -> dict:
    run = project.snakemake("check", timeout=600)
    assert run.status == 0, run.output
    return duplicates(project.folder)


def test_mirror_pairs_are_found_and_grouping_them_stops_the_leaks(real_data, tmp_path):
    snakes = real_data / "snake_cloudannotations"
    sources = [
        {"format": "cloud_annotations", "images": str(snakes / part), "name": f"{part} set", "split": "by_hash"}
        for part in ("train", "test")
    ]
    project = Project(tmp_path, data={"sources": sources})
    found = checked(project)
    assert found["images"] == LABELLED
    # Two photographs are there under two names each; the same with their mirror images.
    assert found["pairs"] == {"identical": 0, "near": 2, "mirror": MIRROR_PAIRS}
    assert found["leaks"]["images"] > 0
    refused = project.snakemake("results/dataset/leaks.json", timeout=600)
    assert refused.status != 0
    assert "training image(s) show the same as images of val or test" in refused.output

    (tmp_path / "groups.csv").write_bytes((tmp_path / "results/dataset/groups.csv").read_bytes())
    project.configure(data={"sources": sources, "split": {"groups": "groups.csv"}})
    grouped = checked(project)
    assert grouped["pairs"] == found["pairs"]
    assert grouped["leaks"]["images"] == grouped["between_val_and_test"] == 0
    assert (tmp_path / "groups.csv").read_bytes() == (tmp_path / "results/dataset/groups.csv").read_bytes()
    allowed = project.snakemake("results/dataset/leaks.json", timeout=600)
    assert allowed.status == 0, allowed.output


@pytest.mark.parametrize(
    ("folder", "identical", "near", "different"),
    [
        # Four photographs are in it twice, two more in other sizes; hands drew the boxes alike.
        ("raccoon", 4, 2, 0),
        # One photograph shows both robots: under one name the one is labelled, under the other the other.
        ("averdones_starwars", 1, 0, 1),
    ],
)
def test_photographs_under_two_names_are_found(real_data, tmp_path, folder, identical, near, different):
    data = real_data / folder
    source = {"format": "voc", "images": str(data / "images"), "annotations": str(data / "annotations")}
    project = Project(tmp_path, data={"sources": [source]})
    found = checked(project)
    assert found["pairs"]["identical"] == identical
    # Of one that is there twice and in another size, a pair for each split that has it.
    assert near <= found["pairs"]["near"] <= 2 * near
    assert found["pairs"]["mirror"] == 0
    copies = rows(tmp_path, "copies.csv")
    assert len(copies) == identical
    assert [row["same_boxes"] for row in copies].count("0") == different
