"""The whole chain on tiny drawn images: every file is there, nothing runs twice, a relabel runs what it must."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT, SIX_STEPS, Project, draw_data
from odtl import label_map
from odtl.detecting.videos import VideoWriter
from odtl.files import sha256_of
from red import read_film, rows_of
from running_notebooks import run_notebook

TRAINING = {**SIX_STEPS, "learning_rate": 0.003, "same_classes": {"disc": "pear", "square": "bottle"}}
DETECT = {"score_threshold": 0.001, "max_images": 3}


FORMATS = ["saved_model", "frozen_graph", "tflite_float16", "onnx"]
# Among so few detections, one that its own suppression decides otherwise is much.
LOOSE = {"tflite_float16": {"min_iou": 0.95, "max_score_difference": 0.02, "max_outliers": 0.3, "max_ap_drop": 0.5}}
CONFIG = {
    "data": {"sources": [{"format": "voc", "images": "images"}], "split": {"val_from_train": 0.2}},
    "training": TRAINING,
    "detect": DETECT,
    "export": {"formats": FORMATS, "latency_threads": [1], "tolerances": LOOSE},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A data set of 24 images in folders of train and test, run to the end once."""
    folder = tmp_path_factory.mktemp("project")
    draw_data(folder / "images/train", 18)
    draw_data(folder / "images/test", 6, seed=1)
    project = Project(folder, **CONFIG)
    run = project.snakemake()
    assert run.status == 0, run.output
    project.first_output = run.output
    return project


def test_ends_by_saying_what_was_made(project):
    summary = (project.folder / "results/summary.txt").read_text(encoding="utf-8")
    assert summary.strip() in project.first_output
    assert "results/detector/export/frozen_inference_graph.pb" in summary
    assert "AP50" in summary


def test_every_result_is_there(project):
    results = project.folder / "results"
    for name in [
        "dataset/card.json",
        "dataset/label_map.pbtxt",
        "dataset/train_labels.csv",
        "dataset/val_labels.csv",
        "dataset/test_labels.csv",
        "dataset/repairs.csv",
        "records/test-00001-of-00002.tfrecord",
        "detector/experiment.yaml",
        "detector/checkpoint/ckpt.index",
        "detector/checkpoint/training.json",
        "detector/evaluation/metrics.json",
        "detector/evaluation/per_class.csv",
        "detector/evaluation/pr_curve.svg",
        "detector/export/frozen_inference_graph.pb",
        "detector/export/saved_model/1/saved_model.pb",
        "detector/export/detector_float16.tflite",
        "detector/export/detector.onnx",
        "detector/export/labels.txt",
        "detector/export/metadata.json",
        "detector/export/model_card.md",
        "detector/detections/detections.csv",
    ]:
        assert (results / name).stat().st_size > 0, name
    assert len(list((results / "detector/detections/images").rglob("*.jpg"))) == 3
    assert list((results / "detector/training").rglob("events.out.tfevents*"))
    ids = label_map.parse((results / "dataset/label_map.pbtxt").read_text(encoding="utf-8"))
    assert ids == {"disc": 1, "square": 2}


def test_exports_say_what_they_are(project):
    export = project.folder / "results/detector/export"
    metadata = json.loads((export / "metadata.json").read_text(encoding="utf-8"))
    assert list(metadata["formats"]) == FORMATS
    for name, entry in metadata["formats"].items():
        assert entry["compared_on"] == {"split": "test", "images": 6}
        assert list(entry["milliseconds"]) == ["1"] and entry["milliseconds"]["1"] > 0
        proof = json.loads((export / f"parity/{name}.json").read_text(encoding="utf-8"))
        assert proof["passed"] and proof["detections"] >= 6 and proof["checkpoint"] == metadata["checkpoint"]
    for name, facts in metadata["files"].items():
        assert sha256_of(export / name) == facts["sha256"], name
    training = json.loads((export.parent / "checkpoint/training.json").read_text(encoding="utf-8"))
    assert (metadata["checkpoint"]["wanted"], metadata["checkpoint"]["step"]) == ("best", training["exported"]["step"])
    assert metadata["pretrained"]["licence"]["name"] and len(metadata["data"]["fingerprint"]["test"]) == 64
    metrics = json.loads((export.parent / "evaluation/metrics.json").read_text(encoding="utf-8"))
    assert metadata["quality"]["AP"] == metrics["AP"]
    with open(export / "formats.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["format"] for row in rows] == FORMATS
    assert int(rows[2]["bytes"]) == (export / "detector_float16.tflite").stat().st_size
    card = (export / "model_card.md").read_text(encoding="utf-8")
    assert "It finds 2 kind(s) of objects in images: `disc`, `square`." in card
    assert metadata["pretrained"]["licence"]["name"] in card


def test_every_image_is_counted_and_scored(project):
    results = project.folder / "results"
    card = json.loads((results / "dataset/card.json").read_text(encoding="utf-8"))
    splits = card["splits"]
    assert splits["train"]["images"] + splits["val"]["images"] == 18
    assert splits["val"]["images"] > 0
    assert splits["test"]["images"] == 6
    metrics = json.loads((results / "detector/evaluation/metrics.json").read_text(encoding="utf-8"))
    assert metrics["images"] == 6
    with open(results / "dataset/test_labels.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
    assert {row["filename"] for row in rows} == {f"test/{index:03}.jpg" for index in range(6)}


def test_finished_run_is_what_later_ones_are_compared_with(project):
    assert "First run: 24 images (" in project.first_output
    text = project.plan("--quiet").output
    assert "No image, label or setting has changed since the last finished run (" in text
    assert "Nothing is stale: no job is to run." in text


def test_second_run_has_nothing_to_do(project):
    again = project.snakemake()
    assert again.status == 0
    assert "Nothing to be done" in again.output


def test_command_detects_what_the_workflow_does(project, tmp_path):
    """Of each export; here with a video and a file that is none besides."""
    results, films = project.folder / "results/detector", tmp_path / "films"
    films.mkdir()
    with VideoWriter(films / "film.mp4", 10) as film:
        for path in sorted((project.folder / "images/test").glob("*.jpg")):
            film.write(np.asarray(Image.open(path)))
    (films / "none.mp4").write_bytes(b"")

    def detect(model, *inputs):
        command = [sys.executable, "-m", "odtl", "detect", str(results / "export" / model), *map(str, inputs)]
        options = ["--score-threshold", "0.001", "--output", str(tmp_path / "found"), "--every", "2"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts"), "TF_CPP_MIN_LOG_LEVEL": "2"}
        return subprocess.run([*command, *options], env=environment, capture_output=True, text=True, timeout=300)

    done = detect("frozen_inference_graph.pb", project.folder / "images/test", films / "film.mp4")
    assert done.returncode == 0, done.stderr
    assert re.search(r"in 6 image\(s\) \(.* images a second\) and 6 frame\(s\) of 1 video\(s\)", done.stderr)
    found = rows_of(tmp_path / "found/detections.csv")
    by_workflow = rows_of(results / "detections/detections.csv")
    assert by_workflow
    # Another batch rounds otherwise, which may decide between two boxes that are as good as each other.
    same = [any(is_same(row, other) for other in found) for row in by_workflow]
    assert np.mean(same) >= 0.95
    assert {row["frame"] for row in found if row["filename"] == "film.mp4"} <= set("012345")
    assert len(read_film(tmp_path / "found/videos/film.mp4")[1]) == 6
    assert len(list((tmp_path / "found/drafts/film.mp4").glob("*.jpg"))) == 3

    done = detect("", films)
    assert done.returncode == 3, done.stderr
    assert "Skipped, cannot be read: none.mp4: VideoError: a file of zero bytes" in done.stderr
    assert len(read_film(tmp_path / "found/videos/film.mp4")[1]) == 6

    done = detect("", "nowhere", films / "film.mp4")
    assert done.returncode == 1
    assert "nowhere: path: found nothing there" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "found/unreadable.csv").exists()


def test_notebook_runs_from_its_first_cell_to_its_last(project, tmp_path):
    notebook = run_notebook(
        ROOT / "notebooks/try_detector.ipynb",
        {
            "ODTL_NOTEBOOK_MODEL": str(project.folder / "results/detector/export"),
            "ODTL_NOTEBOOK_IMAGES": str(project.folder / "images/test"),
            "ODTL_NOTEBOOK_OUTPUT": str(tmp_path / "out"),
            "ODTL_NOTEBOOK_THRESHOLD": "0.001",
        },
    )
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert (tmp_path / "out/video/drafts/film.mp4/000004.jpg").exists()


def test_setting_that_makes_nothing_stale_is_told_until_the_next_run(project):
    project.configure(**CONFIG, pretrained={"mirror": "elsewhere"})
    text = project.plan("--quiet").output
    assert '\n  pretrained.mirror: null -> "elsewhere"\n\nNothing is stale: no job is to run.\n' in text
    assert "Nothing to be done" in project.snakemake().output
    assert "No image, label or setting has changed since" in project.plan("--quiet").output
    project.configure(**CONFIG)


def test_touch_and_resave_are_no_change(project):
    for xml in (project.folder / "images").rglob("*.xml"):
        text = xml.read_text(encoding="utf-8").replace("/elsewhere/", "/somewhere else/").replace("><", ">\n  <")
        xml.write_text(text, encoding="utf-8")
    for image in (project.folder / "images").rglob("*.jpg"):
        os.utime(image)
    assert project.plan().jobs == {}


def test_how_the_next_training_starts_is_no_reason_for_one(project):
    warm_start = {"when": "always", "max_change": 0.5, "train_steps": 0.3, "learning_rate": 0.1}
    project.configure(**{**CONFIG, "training": {**TRAINING, "warm_start": warm_start}})
    assert project.plan().jobs == {}
    project.configure(**CONFIG)


def test_a_format_that_fell_apart_is_refused_and_others_stay(project):
    """int8 must find to the last digit what float32 finds, which it cannot."""
    exact = {"min_iou": 1, "max_score_difference": 0, "max_outliers": 0, "max_ap_drop": 0}
    export = {"formats": [*FORMATS, "tflite_int8"], "latency_threads": [1]}
    project.configure(**{**CONFIG, "export": {**export, "tolerances": {**LOOSE, "tflite_int8": exact}}})
    run = project.snakemake("--until", "check_tflite")
    assert run.status != 0
    assert "The export `tflite_int8` differs from the checkpoint by more than is allowed" in run.output
    assert re.search(r"  - \d+ of \d+ detections \(\d+\.\d%\) differ, on [1-6] of 6 image\(s\); 0.0% may", run.output)
    assert re.search(r"  - test/00\d.jpg: .*largest score difference 0\.\d+", run.output)
    folder = project.folder / "results/detector"
    assert not (folder / "export/detector_int8.tflite").exists()
    assert not (folder / "export/parity/tflite_int8.json").exists()
    assert (folder / "candidates/tflite_int8/detector_int8.tflite").stat().st_size > 0
    assert (folder / "export/detector_float16.tflite").stat().st_size > 0
    lenient = {"min_iou": 0, "max_score_difference": 1, "max_outliers": 1, "max_ap_drop": 1}
    project.configure(**{**CONFIG, "export": {**export, "tolerances": {**LOOSE, "tflite_int8": lenient}}})
    assert project.snakemake("--until", "check_tflite").finished == {"check_tflite": 1}
    assert (folder / "export/detector_int8.tflite").stat().st_size > 0
    project.configure(**CONFIG)


def test_relabelled_test_image_is_evaluated_but_not_trained_on(project):
    relabel(project, "test/000.xml")
    jobs = project.plan().jobs
    assert jobs["make_boxes"] == 1
    assert jobs["write_records"] == 1
    assert jobs["evaluate"] == 1
    assert "train" not in jobs
    assert jobs["check_tflite"] == 1
    assert not {"export_graphs", "convert_checkpoint", "measure_latency"} & jobs.keys()


def test_relabelled_training_image_trains_again(project):
    relabel(project, "train/000.xml")
    plan = project.plan()
    assert "  images:   2 relabelled\n  boxes:    2 moved\n" in plan.output
    assert re.search(r"  train \(detector\) +follows write_records, write_experiment\n", plan.output)
    jobs = plan.jobs
    assert jobs["train"] == 1
    assert jobs["write_records"] == 2
    assert "fetch_pretrained" not in jobs


def test_a_step_that_was_not_kept_is_refused_by_name(project):
    project.configure(**{**CONFIG, "export": {**CONFIG["export"], "checkpoint": 5}})
    # Without the training that a relabelled image asks for.
    run = project.snakemake("results/detector/candidates/saved_model.json", "--allowed-rules", "export_graphs")
    assert run.status != 0
    assert (
        "export.checkpoint 5: found step 5, which was not kept. At hand are the steps 3, 6; the best is" in run.output
    )


def test_report_is_written(project):
    run = project.snakemake("--report", "report.html")
    assert run.status == 0, run.output
    assert (project.folder / "report.html").stat().st_size > 1_000_000


def test_killed_training_resumes_and_the_next_one_starts_from_it(tmp_path):
    draw_data(tmp_path / "images", 16)
    data = {"sources": [{"format": "voc", "images": "images", "split": "by_hash"}]}
    training = {**TRAINING, "train_steps": 32, "validation_interval": 16}
    project = Project(tmp_path, data=data, training=training)
    state = tmp_path / "results/detector/training"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    with subprocess.Popen(
        [*command, "--configfile", "my.yaml", "--until", "train"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 300
        while not list(state.rglob("ckpt-*.index")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "results/detector/checkpoint/ckpt.index").exists()
    run = project.snakemake("--until", "train")
    assert run.status == 0, run.output
    first = json.loads((tmp_path / "results/detector/checkpoint/training.json").read_text(encoding="utf-8"))
    assert first["steps"] == 32
    assert first["resumed_at"] >= 16
    for entry in first["loss"]:
        if entry["step"] >= TRAINING["warmup_steps"]:
            cosine = TRAINING["learning_rate"] * 0.5 * (1 + math.cos(math.pi * entry["step"] / 32))
            assert entry["learning_rate"] == pytest.approx(cosine, rel=1e-4, abs=1e-7)

    project.configure(data=data, training={**training, "warm_start": {"when": "always"}})
    with open(tmp_path / "results/dataset/train_labels.csv", encoding="utf-8", newline="") as stream:
        relabel(project, next(csv.DictReader(stream))["filename"].replace(".jpg", ".xml"))
    run = project.snakemake("--until", "train")
    assert run.status == 0, run.output
    assert "Starting from the last model (32 steps on 20" in run.output
    second = json.loads((tmp_path / "results/detector/checkpoint/training.json").read_text(encoding="utf-8"))
    assert second["steps"] == 8
    assert second["lineage"][:-1] == first["lineage"]
    assert second["lineage"][-1]["data"]["changed"] == 1
    assert second["lineage"][0]["pretrained"]["model"] == "demo"


def is_same(row: dict[str, str], other: dict[str, str]) -> bool:
    """Say whether two rows of tables of detections tell of the same one, up to rounding."""
    if any(row[key] != other[key] for key in ("filename", "width", "height", "class", "frame")):
        return False
    differences = [abs(float(row[key]) - float(other[key])) for key in ("score", "xmin", "ymin", "xmax", "ymax")]
    return differences[0] < 0.001 and max(differences) < 0.1


def relabel(project: Project, name: str) -> None:
    """Move the first box of one XML by a pixel."""
    xml = project.folder / "images" / name
    text = xml.read_text(encoding="utf-8")
    value = text.split("<xmax>")[1].split("</xmax>")[0]
    xml.write_text(text.replace(f"<xmax>{value}<", f"<xmax>{int(value) - 1}<", 1), encoding="utf-8")
