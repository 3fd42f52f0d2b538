"""Which jobs would run: for a fresh data set, for settings, and never for a configuration that cannot work."""

import pytest

from helpers import Project, draw_data
from odtl import scratch
from odtl.split import shard_names

DATA = ["write_card", "write_records"]
SOURCE = {"format": "voc", "images": "images", "split": "by_hash"}


@pytest.fixture
def project(tmp_path):
    draw_data(tmp_path / "images", 12)
    return Project(tmp_path, data={"sources": [SOURCE], "shards": 2})


def test_fresh_data_set_runs_every_stage(project):
    plan = project.plan()
    assert plan.status == 0, plan.output
    assert plan.jobs == {
        "make_boxes": 6,
        "hash_images": 6,
        "find_duplicates": 1,
        "check_leaks": 1,
        "compare_copies": 1,
        "write_records": 6,
        "write_split_tables": 3,
        "write_label_map": 1,
        "write_card": 1,
        "write_check": 1,
        "fetch_pretrained": 1,
        "write_experiment": 1,
        "train": 1,
        "evaluate": 1,
        "export_graphs": 1,
        "write_reference": 1,
        "check_saved_model": 1,
        "check_frozen_graph": 1,
        "write_export_labels": 1,
        "measure_latency": 1,
        "write_model_card": 1,
        "detect": 1,
        "plot_training": 1,
        "plot_pr_curve": 1,
        "write_summary": 1,
    }


def test_what_a_dry_run_reads_of_manifests_is_kept(project):
    assert project.plan().status == 0
    kept = scratch.load(project.folder / ".snakemake/odtl/part-digests", "digests 1")
    assert kept.keys() == set(shard_names(2))
    assert all(set(digests) == {"manifest", "images", "placing"} for digests in kept.values())


def test_second_experiment_shares_data_and_model(project):
    project.configure(data={"sources": [SOURCE]}, experiments={"longer": {"model": "demo", "train_steps": 400}})
    jobs = project.plan().jobs
    assert {
        rule: jobs[rule] for rule in ["write_experiment", "train", "evaluate", "export_graphs", "detect"]
    } == dict.fromkeys(["write_experiment", "train", "evaluate", "export_graphs", "detect"], 2)
    assert jobs["write_records"] == 6
    assert jobs["fetch_pretrained"] == 1


def test_training_from_random_weights_fetches_nothing(project):
    project.configure(data={"sources": [SOURCE]}, training={"pretrained": False})
    assert "fetch_pretrained" not in project.plan().jobs


def test_data_stages_run_once(project):
    done = project.snakemake("--until", *DATA)
    assert done.status == 0, done.output
    again = project.plan("--until", *DATA)
    assert again.status == 0
    assert again.jobs == {}


def test_misspelt_key_stops_before_any_job(project):
    project.configure(data={"sources": [SOURCE], "shard": 3}, training={"batch_size": 0})
    run = project.snakemake()
    assert run.status != 0
    assert "data.shard: found 3. There is no such key. Did you mean `shards`?" in run.output
    assert "training.batch_size: found 0. Allowed: at least 1." in run.output
    assert not (project.folder / "results").exists()


def test_unknown_model_names_the_models(project):
    project.configure(data={"sources": [SOURCE]}, experiments={"detector": {"model": "dem"}})
    run = project.plan()
    assert run.status != 0
    assert "experiments.detector.model: found 'dem'. Not in the zoo. Did you mean `demo`?" in run.output


def test_missing_image_folder_is_named(project):
    project.configure(data={"sources": [{"format": "voc", "images": "imgaes"}]})
    run = project.plan()
    assert run.status != 0
    assert "imgaes" in run.output
    assert "Traceback" not in run.output


def test_training_takes_the_gpu(project):
    run = project.plan("--printshellcmds", "--until", "train")
    assert "gpu=1" in run.output
