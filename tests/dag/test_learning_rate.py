"""The learning-rate finder, run for real: only when asked for, without a trace in the training."""

import json

import pytest

from helpers import Project, draw_data

CONFIG = {
    "data": {"sources": [{"format": "voc", "images": "images", "split": "by_hash"}], "shards": 1},
    "training": {"image_size": 128, "batch_size": 2, "train_steps": 12, "warmup_steps": 2, "learning_rate": 0.02},
}
FINDING = {"find_learning_rate", "plot_learning_rate"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learning_rate")
    draw_data(folder / "images", 12)
    project = Project(folder, **CONFIG)
    assert not FINDING & set(project.plan().jobs)
    run = project.snakemake("learning_rates")
    assert run.status == 0, run.output
    assert set(run.finished) > FINDING
    assert not {"train", "find_duplicates"} & set(run.finished)
    return project


def test_run_says_what_it_found_and_leaves_no_state(project):
    folder = project.folder / "results/detector"
    found = json.loads((folder / "learning_rate/learning_rate.json").read_text())
    assert found["configured"] == 0.02
    assert 3 < len(found["losses"]) <= 12
    assert sorted(path.name for path in folder.iterdir()) == ["experiment.yaml", "learning_rate"]
    log = (project.folder / "results/logs/find_learning_rate/detector.log").read_text()
    assert ("uggested learning rate" in log) or ("No learning rate between" in log)


def test_found_rate_is_kept_until_something_changes(project):
    assert project.plan("learning_rates").jobs == {}
    project.configure(**CONFIG, plots={"colors": ["#000000"]})
    assert set(project.plan("learning_rates").jobs) == {"plot_learning_rate", "learning_rates"}
    project.configure(**{**CONFIG, "training": {**CONFIG["training"], "batch_size": 4}})
    assert set(project.plan("learning_rates").jobs) == {"write_experiment", *FINDING, "learning_rates"}


def test_report_shows_it(project):
    project.configure(**CONFIG)
    run = project.snakemake("learning_rates", "--report", "report.html")
    assert run.status == 0, run.output
    assert "loss over the learning rate" in (project.folder / "report.html").read_text()
