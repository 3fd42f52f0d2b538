"""Several trainings: which jobs would run for experiments, seeds and sweeps, and what a change of them runs again."""

import re
from pathlib import Path

import pytest

from helpers import Project, draw_data

PER_TRAINING = (
    *("write_experiment", "train", "plot_training", "evaluate", "plot_pr_curve", "export_graphs", "write_reference"),
    *(
        "check_saved_model",
        "check_frozen_graph",
        "write_export_labels",
        "measure_latency",
        "write_model_card",
        "detect",
    ),
)
CONFIG = {
    "data": {"sources": [{"format": "voc", "images": "images", "split": "by_hash"}], "shards": 1},
    "training": {"seeds": 2},
    "experiments": {"detector": {"model": "demo"}, "large": {"model": "demo", "image_size": 384}},
    "sweeps": {},
    "export": {"formats": ["saved_model"]},
}
RATES = {"rates": {"base": "detector", "vary": {"learning_rate": [0.02, 0.04]}}}
FOLDERS = {"saved_model", "frozen_graph", "images", "videos", "drafts"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    draw_data(folder / "images", 12)
    project = Project(folder, **CONFIG)
    run = project.snakemake("data", "results/dataset/leaks.json", "results/dataset/check.html")
    assert run.status == 0, run.output
    return project


def finish(project: Project, config: dict) -> None:
    """Put a file in the place of each output of a training, and have Snakemake take them for made."""
    project.configure(**config)
    outputs = re.findall(r"^(results/\S+)\t", project.snakemake("--summary").output, re.MULTILINE)
    assert any("/checkpoint/" in path for path in outputs)
    for path in (Path(project.folder, each) for each in outputs):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if path.name in FOLDERS else path.write_text("{}", encoding="utf-8")
    # All of them: of what is there already, and was never run, it would keep no record.
    touched = project.snakemake("--touch", "--forceall")
    assert touched.status == 0, touched.output
    assert planned(project, config) == ({}, set())


def planned(project: Project, config: dict) -> tuple[dict[str, int], set[str]]:
    """Return the jobs that would run, and the trainings among them by their folders."""
    project.configure(**config)
    plan = project.plan()
    assert plan.status == 0, plan.output
    return plan.jobs, set(
        re.findall(r"^rule train:(?:\n.*)+?\n    output: results/([^/]+)/", plan.output, re.MULTILINE)
    )


def trainings(count: int) -> dict[str, int]:
    return dict.fromkeys(PER_TRAINING, count)


def test_two_experiments_of_two_seeds_are_four_trainings(project):
    jobs, names = planned(project, CONFIG)
    assert jobs == {**trainings(4), "fetch_pretrained": 1, "compare_experiments": 1, "write_summary": 1}
    assert names == {"detector", "detector-seed-2", "large", "large-seed-2"}


def test_a_sweep_over_two_settings_is_every_combination(project):
    sweeps = {"rates": {"base": "large", "vary": {"learning_rate": [0.02, 0.04], "augmentation.hflip": [True, False]}}}
    jobs, names = planned(project, {**CONFIG, "training": {"seeds": 1}, "sweeps": sweeps})
    assert jobs["train"] == len(names) == 6
    assert "rates-hflip-false-learning_rate-0.04" in names


def test_changes_of_seeds_and_sweeps_run_what_they_concern(project):
    config = {**CONFIG, "sweeps": RATES}
    finish(project, config)
    after = {"compare_experiments": 1, "write_summary": 1}

    jobs, names = planned(project, {**config, "training": {"seeds": 3}})
    assert names == {
        f"{name}-seed-3" for name in ("detector", "large", *(f"rates-learning_rate-{v}" for v in ("0.02", "0.04")))
    }
    assert jobs == {**trainings(4), **after}

    other = {"rates": {"base": "detector", "vary": {"learning_rate": [0.02, 0.1]}}}
    jobs, names = planned(project, {**config, "sweeps": other})
    assert names == {"rates-learning_rate-0.1", "rates-learning_rate-0.1-seed-2"}
    assert jobs == {**trainings(2), **after}

    # What a sweep has from its base is its own.
    slower = {**CONFIG["experiments"], "detector": {"model": "demo", "warmup_steps": 9}}
    _, names = planned(project, {**config, "experiments": slower})
    assert len(names) == 6 and not any("large" in name for name in names)
    _, names = planned(project, {**config, "experiments": {**CONFIG["experiments"], "large": {"model": "demo"}}})
    assert names == {"large", "large-seed-2"}

    # On how many devices one computes.
    spread = {"model": "demo", "image_size": 384, "distribution": "mirrored", "devices": 2}
    jobs, names = planned(project, {**config, "experiments": {**CONFIG["experiments"], "large": spread}})
    assert names == {"large", "large-seed-2"}
    # The label map of an export does not go by it.
    assert jobs == {**{rule: 2 for rule in PER_TRAINING if rule != "write_export_labels"}, **after}

    # Fewer of them, and the same in another order: nothing is trained.
    assert planned(project, {**config, "training": {"seeds": 1}}) == (after, set())
    turned = {"rates": {"vary": {"learning_rate": [0.04, 0.02]}, "base": "detector"}}
    assert planned(project, {**config, "sweeps": turned}) == ({}, set())


@pytest.mark.parametrize(
    ("gpus", "spread", "expected"),
    [
        # Two at a time have a core each.
        (2, {}, (1, 1, 4000)),
        (2, {"distribution": "mirrored", "devices": 2}, (2, 2, 4000)),
        (4, {"distribution": "mirrored", "devices": 2}, (1, 2, 4000)),
        (4, {"distribution": "multi_worker", "devices": 2, "workers": 2}, (2, 4, 8000)),
    ],
)
def test_threads_and_gpus_of_a_training_follow_from_its_devices(project, monkeypatch, gpus, spread, expected):
    monkeypatch.setattr(Project, "gpus", gpus)
    project.configure(**{**CONFIG, "training": spread})
    output = project.plan("results/detector/checkpoint/ckpt.index", "--forcerun", "train").output
    job = re.search(r"^rule train:(?:\n .*)+", output, re.MULTILINE)[0]
    found = [re.search(pattern, job) for pattern in (r"threads: (\d+)", r"\bgpu=(\d+)", r"mem_mb=(\d+)")]
    assert tuple(int(match[1]) if match else 1 for match in found) == expected
    # Else it would hide what a profile says of `slurm_extra` for all rules.
    assert [name in job for name in ("tasks=", "mpi=", "slurm_extra=")] == [spread.get("workers", 1) > 1] * 3


def test_mistake_in_a_sweep_ends_a_run_before_any_job(project):
    misspelt = {"rates": {"base": "detector", "vary": {"learning_rat": [0.1]}}}
    project.configure(**{**CONFIG, "sweeps": misspelt})
    run = project.plan()
    assert run.status != 0
    assert (
        "sweeps.rates.vary.learning_rat: found 0.1. There is no such key. Did you mean `learning_rate`?" in run.output
    )
