"""What changed, and why each job runs, as a dry run tells it."""

import datetime
import re

import pytest
import yaml

from helpers import ROOT, Project, draw_data, voc_xml
from odtl import inventory
from odtl.changes import keep_last_run
from odtl.files import sha256_of

SOURCE = {"format": "voc", "images": "images", "split": "train"}
DATA = ["write_card", "write_records"]
WHEN = datetime.datetime(2026, 3, 4, 5, 6, tzinfo=datetime.UTC)
BOX = ("square", (1, 2, 30, 40))


@pytest.fixture
def project(tmp_path):
    """A project whose data stages have run, with a record as if all had."""
    draw_data(tmp_path / "images", 8)
    label(tmp_path, "000", BOX)
    project = Project(tmp_path, data={"sources": [SOURCE], "shards": 2})
    run = project.snakemake("--until", *DATA)
    assert run.status == 0, run.output
    manifests = tmp_path / "results/inventory"
    digests = {path.stem: sha256_of(path) for path in manifests.glob("*.jsonl")}
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    config["data"] |= {"sources": [SOURCE], "shards": 2}
    classes = inventory.read_classes(manifests)
    assert keep_last_run(config, classes, digests, manifests, tmp_path / "results/last_run", WHEN)
    return project


def label(folder, stem, *boxes):
    """Label an image with (class, box)."""
    (folder / f"images/{stem}.xml").write_text(voc_xml(f"{stem}.jpg", (64, 48), list(boxes)), encoding="utf-8")


def told(project, *arguments):
    """Return what a dry run tells, without Snakemake's own lines."""
    run = project.snakemake("--dry-run", *arguments, "--quiet")
    assert run.status == 0, run.output
    return re.search(r"^(Changed since|No image, label|First run|There is no record).*", run.output, re.M | re.S)[0]


def test_first_run_says_how_much_there_is(tmp_path):
    draw_data(tmp_path / "images", 5)
    project = Project(tmp_path, data={"sources": [SOURCE], "shards": 2})
    jobs = sum(project.plan().jobs.values())
    assert told(project).startswith(f"First run: 5 images (5 train, 0 val, 0 test).\nAll jobs are to run: {jobs}.\n")
    assert not {"last_run", "logs", "boxes"} & {path.name for path in (tmp_path / "results").iterdir()}


def test_relabelled_and_added_images_are_named_with_the_rules_they_make_stale(project):
    label(project.folder, "000", ("square", (3, 2, 30, 40)), ("disc", (40, 5, 50, 15)))
    (project.folder / "images/001.xml").unlink()
    (project.folder / "images/002.jpg").rename(project.folder / "images/two.jpg")
    (project.folder / "images/002.xml").rename(project.folder / "images/two.xml")
    text = told(project)
    assert "\n  images:   1 renamed, 1 relabelled, 1 without their labels now\n" in text
    assert "  000.jpg (train)\n      box 1 (square) moved: (1, 2, 30, 40) -> (3, 2, 30, 40)\n" in text
    assert "      box 2 (disc) added: (40, 5, 50, 15)\n" in text
    assert "  002.jpg -> two.jpg\n" in text
    assert re.search(r"make_boxes \(\d of 6\) +images or labels changed: train-0000", text)
    assert re.search(r"write_records \(\d of 6\) +follows make_boxes\n", text)
    assert "write_label_map" not in text
    # It was never made: that is no consequence of the changes.
    assert re.search(r"train \(detector\) +not made yet\n", text)


def test_setting_is_told_by_its_key(project):
    project.configure(
        data={"sources": [SOURCE], "shards": 2}, labels={"aliases": {"disc": "ball"}}, training={"batch_size": 2}
    )
    text = told(project)
    assert '\n  labels.aliases.disc: added, "ball"\n' in text
    assert "\n  training.batch_size: null -> 2\n" in text
    assert "with another class (" in text
    assert " disc -> ball)" in text
    assert "classes:  ball is new, disc is in no image any more" in text
    assert re.search(r"write_label_map \(1\) +the classes in the data changed\n", text)


def test_missing_output_is_told_though_nothing_changed(project):
    (project.folder / "results/records/train-00000-of-00002.tfrecord").unlink()
    text = told(project, "--until", *DATA)
    assert text.startswith("No image, label or setting has changed since the last finished run (")
    assert re.search(r"write_records \(1 of 6\) +output missing: results/records/train-00000-of-00002.tfrecord\n", text)


def test_nothing_stale_is_told(project):
    text = told(project, "--until", *DATA)
    assert text.startswith("No image, label or setting has changed since the last finished run (")
    assert "Nothing is stale: no job is to run." in text


def test_asking_makes_nothing_stale_and_leaves_the_record(project):
    label(project.folder, "000", ("square", (3, 2, 30, 40)))
    record = (project.folder / "results/last_run/run.json").read_bytes()
    assert told(project) == told(project)
    assert (project.folder / "results/last_run/run.json").read_bytes() == record
    label(project.folder, "000", BOX)
    assert project.plan("--until", *DATA).jobs == {}


def test_run_keeps_what_it_told_but_a_part_of_a_run_is_no_finished_one(project):
    label(project.folder, "000", ("square", (3, 2, 30, 40)))
    run = project.snakemake("--until", *DATA)
    assert run.status == 0, run.output
    moved = "box 1 (square) moved: (1, 2, 30, 40) -> (3, 2, 30, 40)"
    logs = project.folder / "results/logs"
    assert moved in run.output
    assert moved in (logs / "changes.txt").read_text(encoding="utf-8")
    assert f"relabelled,000.jpg,train,{moved!r}".replace("'", '"') in (logs / "changes.csv").read_text(encoding="utf-8")
    again = told(project, "--until", *DATA)
    assert moved in again
    assert "Nothing is stale: no job is to run." in again
