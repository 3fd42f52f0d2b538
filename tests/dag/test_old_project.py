"""A pipeline.config of an old project: what a change in it runs again, and how it is refused."""

import pytest
import yaml

from helpers import Project, draw_data

PIPELINE = """
model { ssd { num_classes: 5 anchor_generator { ssd_anchor_generator { num_layers: 6 } } } }
train_config {
  batch_size: 4
  num_steps: 40  # quick
}
"""
TARGETS = ("results/detector/pipeline_config.txt", "results/detector/experiment.yaml")
CONFIG = {
    "data": {"sources": [{"format": "voc", "images": "images", "split": "train"}], "shards": 1, "gaps": "report"},
    "training": {"warmup_steps": 5},
    "experiments": {"detector": {"model": "demo", "pipeline_config": "old.config", "validation_interval": 20}},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    draw_data(folder / "images", 6)
    (folder / "old.config").write_text(PIPELINE, encoding="utf-8")
    project = Project(folder, **CONFIG)
    run = project.snakemake(*TARGETS)
    assert run.status == 0, run.output
    return project, run


@pytest.fixture
def project(made):
    project, _ = made
    yield project
    (project.folder / "old.config").write_text(PIPELINE, encoding="utf-8")
    project.configure(**CONFIG)


def edit(project, before: str, after: str) -> None:
    assert before in PIPELINE
    (project.folder / "old.config").write_text(PIPELINE.replace(before, after), encoding="utf-8")


def test_file_is_translated_into_the_experiment_and_told(made):
    project, run = made
    experiment = yaml.safe_load((project.folder / TARGETS[1]).read_text(encoding="utf-8"))
    assert experiment["task"]["train_data"]["global_batch_size"] == 4
    assert experiment["trainer"]["train_steps"] == 40
    assert experiment["trainer"]["validation_interval"] == 20
    told = (project.folder / TARGETS[0]).read_text(encoding="utf-8")
    assert "line 4  train_config.batch_size: 4\n    -> batch_size: 4\n" in told
    assert "num_classes is 5, but the data has 2 classes" in run.output
    assert "4 settings: 2 translated, 1 kept as they are here, 1 needless here." in run.output
    assert project.plan(*TARGETS).jobs == {}


@pytest.mark.parametrize(("before", "after"), [("# quick", "# slow"), ("num_layers: 6", "num_layers: 5")])
def test_what_changes_no_setting_is_only_told_again(project, before, after):
    edit(project, before, after)
    assert project.plan(*TARGETS).jobs == {"tell_pipeline_config": 1}


def test_what_changes_a_setting_is_trained_again(project):
    edit(project, "batch_size: 4", "batch_size: 2")
    assert project.plan(*TARGETS).jobs == {"tell_pipeline_config": 1, "write_experiment": 1}


def test_own_key_that_goes_over_the_file_is_told(project):
    project.configure(**{**CONFIG, "experiments": {"detector": {**CONFIG["experiments"]["detector"], "batch_size": 4}}})
    assert project.plan(*TARGETS).jobs == {"tell_pipeline_config": 1}


def test_experiment_without_such_a_file_has_no_such_job(project):
    project.configure(**{**CONFIG, "experiments": {"detector": {"model": "demo"}}})
    plan = project.plan()
    assert plan.status == 0, plan.output
    assert "tell_pipeline_config" not in plan.jobs


def test_missing_and_damaged_files_are_refused_in_one_line(project):
    (project.folder / "old.config").unlink()
    edited = project.plan()
    assert edited.status == 1
    assert "old.config: pipeline_config: found no such file." in edited.output
    assert "Traceback" not in edited.output
    edit(project, "batch_size: 4", "batch_size: none")
    edited = project.plan()
    assert edited.status == 1
    assert (
        "old.config: line 4, train_config.batch_size: found none. A whole number above 0 is expected." in edited.output
    )
    assert "Traceback" not in edited.output
