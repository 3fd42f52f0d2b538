"""One large JSON that annotates all images: what a change of one entry makes run."""

import json

import pytest

from helpers import Project, draw_data

DATA = ["write_card", "write_records"]


def write(path, images, boxes):
    """Write a COCO file: a box of the same place for each image, but for those in `boxes`."""
    content = {
        "images": [{"id": number, "file_name": name, "width": 64, "height": 48} for number, name in enumerate(images)],
        "annotations": [
            {"image_id": number, "category_id": 1, "bbox": boxes.get(name, [1, 2, 30, 40])}
            for number, name in enumerate(images)
        ],
        "categories": [{"id": 1, "name": "cup"}],
    }
    path.write_text(json.dumps(content))


@pytest.fixture
def project(tmp_path):
    draw_data(tmp_path / "images", 24)
    write(tmp_path / "train.json", [f"{number:03}.jpg" for number in range(18)], {})
    write(tmp_path / "test.json", [f"{number:03}.jpg" for number in range(18, 24)], {})
    annotations = {"train": "train.json", "test": "test.json"}
    source = {"format": "coco", "images": "images", "annotations": annotations}
    project = Project(tmp_path, data={"sources": [source], "split": {"val_from_train": 0}, "shards": 3})
    done = project.snakemake("--until", *DATA)
    assert done.status == 0, done.output
    assert done.finished["make_boxes"] == done.finished["write_records"] == 9
    return project


def test_a_changed_entry_concerns_its_own_shard_only(project, tmp_path):
    assert project.plan("--until", *DATA).jobs == {}
    # Written anew in another order, with the same meaning.
    names = [f"{number:03}.jpg" for number in range(18)]
    write(tmp_path / "train.json", names[::-1], {})
    assert project.plan("--until", *DATA).jobs == {}
    write(tmp_path / "train.json", names[::-1], {"007.jpg": [1, 2, 30, 41]})
    changed = dict.fromkeys(("make_boxes", "write_records", "write_split_tables", "compare_copies", "write_card"), 1)
    assert project.plan("--until", *DATA).jobs == changed
    assert project.snakemake("--until", *DATA).finished == changed
    assert project.plan("--until", *DATA).jobs == {}
