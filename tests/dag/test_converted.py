"""Converters run when they are asked for, and after a change only those of the splits that it concerns."""

import json
import shutil
from pathlib import Path

import pytest
import supervision as sv
from loopback import respond, serving

from helpers import Project, draw_data

CONFIG = {
    "convert": {"images": "copy"},
    "data": {"sources": [{"format": "voc", "images": "images"}], "split": {"val_from_train": 0.25}, "shards": 2},
}
# The converters of one split.
OF_SPLIT = {"convert_coco": 1, "convert_voc": 1, "convert_yolo": 1, "convert_csv": 1}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    draw_data(folder / "images/train", 9)
    draw_data(folder / "images/test", 4, seed=1)
    run = Project(folder, **CONFIG).snakemake("converted")
    assert run.status == 0, run.output
    return folder


@pytest.fixture
def project(built, tmp_path):
    shutil.copytree(built, tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy")
    project.config = CONFIG
    return project


def planned(project: Project, target: str = "converted") -> dict[str, int]:
    plan = project.plan(target)
    assert plan.status == 0, plan.output
    return {rule: count for rule, count in plan.jobs.items() if not rule.startswith("converted")}


def relabel(xml: Path, old: str, new: str) -> None:
    text = xml.read_text(encoding="utf-8")
    assert old in text
    xml.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_what_was_converted_reads_back(built):
    results = built / "results/converted"
    splits = {}
    for split in ("train", "val", "test"):
        folders = [results / f"yolo/{kind}/{split}" for kind in ("images", "labels")]
        coco = sv.DetectionDataset.from_coco(str(results / f"coco/images/{split}"), str(results / f"coco/{split}.json"))
        yolo = sv.DetectionDataset.from_yolo(*map(str, folders), str(results / "yolo/data.yaml"))
        assert coco.classes == yolo.classes == ["disc", "square"]
        assert len(coco) == len(yolo) == len(list((results / f"voc/{split}").rglob("*.xml")))
        splits[split] = len(coco)
    assert splits["train"] + splits["val"] == 9
    assert splits["test"] == 4
    assert (results / "csv/labels.csv").read_text().startswith("filename,width,height,class,xmin,ymin,xmax,ymax,")


def test_converters_are_no_part_of_all(project):
    assert not any("convert" in rule or "yolo" in rule for rule in project.plan().jobs)


def test_nothing_is_converted_twice(project):
    for path in (project.folder / "results/converted").rglob("*"):
        path.touch()
    assert planned(project) == {}


def test_relabelled_test_image_converts_the_test_split(project):
    relabel(project.folder / "images/test/000.xml", "<difficult>0<", "<difficult>1<")
    assert planned(project) == {"make_boxes": 1, **OF_SPLIT}
    assert planned(project, "converted_voc") == {"make_boxes": 1, "convert_voc": 1}
    run = project.snakemake("converted_voc")
    assert run.status == 0, run.output
    text = (project.folder / "results/converted/voc/test/test/000.xml").read_text(encoding="utf-8")
    assert "<difficult>1</difficult>" in text


def test_new_class_reaches_all_that_has_ids(project):
    name = "<name>square" if "<name>square" in (project.folder / "images/test/000.xml").read_text() else "<name>disc"
    relabel(project.folder / "images/test/000.xml", name, "<name>triangle")
    assert planned(project) == {
        **{"make_boxes": 1, "write_label_map": 1, "write_yolo_data": 1},
        **{"convert_coco": 3, "convert_yolo": 3, "convert_voc": 1, "convert_csv": 1},
    }


def test_links_in_place_of_copies_are_another_setting(project):
    project.configure(**CONFIG | {"convert": {"images": "link"}})
    assert planned(project) == {"convert_coco": 3, "convert_voc": 3, "convert_yolo": 3}


def test_what_was_deleted_is_made_again(project):
    shutil.rmtree(project.folder / "results/converted/yolo/labels/val")
    assert planned(project) == {"convert_yolo": 1}


def test_labelbox_with_images_from_the_network(tmp_path):
    """A legacy export: addresses, no sizes, y counted upwards. The sizes are those of what was fetched."""
    draw_data(tmp_path / "served", 2, size=(64, 48))
    photos = [(tmp_path / f"served/00{index}.jpg").read_bytes() for index in range(2)]

    def serve(handler):
        respond(handler, 200, photos[int(handler.path.rpartition("/")[2])], Content_Type="image/jpeg")

    with serving(serve) as server:
        squares = ["POLYGON ((10 8, 30 8, 30 20, 10 20, 10 8))", "POLYGON ((0 0, 64 0, 64 48, 0 48, 0 0))"]
        records = [
            {"Labeled Data": f"{server.base}/{index}", "Label": {"cup": [{"geometry": square}]}}
            for index, square in enumerate(squares)
        ]
        (tmp_path / "export.json").write_text(json.dumps(records), encoding="utf-8")
        source = {"format": "labelbox", "annotations": "export.json", "name": "cups", "split": "test"}
        project = Project(tmp_path, data={"sources": [source], "shards": 1}, fetch={"allow_addresses": ["127.0.0.0/8"]})
        run = project.snakemake("converted_labelbox", "results/converted/coco/test.json")
        assert run.status == 0, run.output
        assert run.finished["convert_labelbox"] == 1
    boxes = [[10, 28, 20, 12], [0, 0, 64, 48]]
    content = json.loads((tmp_path / "results/converted/labelbox/cups.json").read_text(encoding="utf-8"))
    found = {image["id"]: (image["file_name"], image["width"], image["height"]) for image in content["images"]}
    assert {found[box["image_id"]]: box["bbox"] for box in content["annotations"]} == {
        (f"{server.base}/{index}", 64, 48): box for index, box in enumerate(boxes)
    }
    content = json.loads((tmp_path / "results/converted/coco/test.json").read_text(encoding="utf-8"))
    assert {image["coco_url"] for image in content["images"]} == {f"{server.base}/{index}" for index in range(2)}
    for image in content["images"]:
        stored = (tmp_path / "results/converted/coco/images/test" / image["file_name"]).read_bytes()
        assert stored == photos[int(image["coco_url"].rpartition("/")[2])]
    assert planned(project, "converted_labelbox") == {}
    relabel(tmp_path / "export.json", "64 48, 0 48", "64 40, 0 40")
    assert planned(project, "converted_labelbox") == {"make_boxes": 1, "convert_labelbox": 1}
