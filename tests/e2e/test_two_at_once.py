"""Two trainings at once on a pair of devices that only seem to be there, and what comes after them one by one."""

import json

import pytest

from helpers import Project, draw_data

TRAINING = {
    "image_size": 128,
    "batch_size": 2,
    "train_steps": 1,
    "warmup_steps": 0,
    "validation_interval": 1,
    "learning_rate": 0.01,
    "seeds": 2,
}
NAMES = ("detector", "detector-seed-2")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    draw_data(folder / "images/train", 4)
    draw_data(folder / "images/val", 2, seed=1)
    draw_data(folder / "images/test", 2, seed=2)
    data = {"sources": [{"format": "voc", "images": "images"}], "shards": 1}
    project = Project(folder, data=data, training=TRAINING)
    # TensorFlow for the CPU takes no notice of it.
    project.devices = "0,1"
    return project


def times(project: Project, path: str) -> tuple[float, float]:
    """Return when the job that made a file started and ended."""
    records = [json.loads(each.read_text(encoding="utf-8")) for each in metadata(project)]
    (record,) = [each for each in records if each["log"] and path in each["log"][0]][:1]
    return record["starttime"], record["endtime"]


def metadata(project: Project) -> list:
    return [path for path in (project.folder / ".snakemake/metadata").rglob("*") if path.is_file()]


def test_two_trainings_run_at_once_on_different_devices_and_gpu_jobs_of_one_device_in_turn(project):
    project.gpus = 2
    run = project.snakemake(*(f"results/{name}/checkpoint/ckpt.index" for name in NAMES))
    assert run.status == 0, run.output
    one, two = (times(project, f"logs/train/{name}.log") for name in NAMES)
    assert max(one[0], two[0]) < min(one[1], two[1])
    summaries = [
        json.loads((project.folder / f"results/{name}/checkpoint/training.json").read_text(encoding="utf-8"))
        for name in NAMES
    ]
    assert {summary["device"]["id"] for summary in summaries} == {"0", "1"}
    assert run.output.count(", of 0, 1.") == 2

    project.gpus = 1
    run = project.snakemake("comparison")
    assert run.status == 0, run.output
    assert run.finished["evaluate"] == 2 and "train" not in run.finished
    one, two = sorted(times(project, f"logs/evaluate/{name}.log") for name in NAMES)
    assert one[1] <= two[0]
    for name in NAMES:
        log = (project.folder / f"results/logs/evaluate/{name}.log").read_text(encoding="utf-8")
        assert log.startswith("Device 0, of 0, 1.\n")
    table = (project.folder / "results/comparison/trainings.csv").read_text(encoding="utf-8")
    assert [line.split(",")[:3] for line in table.splitlines()[1:]] == [
        ["detector", "detector", "1"],
        ["detector", "detector-seed-2", "2"],
    ]
