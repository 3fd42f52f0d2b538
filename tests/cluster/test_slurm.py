"""The workflow through `snakemake --profile profiles/slurm` on a real Slurm, which is started for it on loopback."""

import contextlib
import importlib.util
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from loopback import no_other_interface

import slurm
from helpers import ROOT, Project, draw_data

# For a shared, busy machine.
PATIENCE_SECONDS = float(os.environ.get("ODTL_CLUSTER_PATIENCE", "1800"))
TRAINING = {
    "image_size": 128,
    "batch_size": 4,
    # Long enough to be interrupted twice.
    "train_steps": 240,
    "warmup_steps": 2,
    "validation_interval": 20,
    "learning_rate": 0.01,
    "seeds": 2,
}
NAMES = ("detector", "detector-seed-2")
RULES = [f"train_wildcards_{name}" for name in NAMES]


class ClusterProject(Project):
    """A project whose jobs go to Slurm, with what a user would say of this one: partition, and the size of a node."""

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        """Start Snakemake in the folder; options: as for `subprocess.Popen`."""
        cores = str(len(os.sched_getaffinity(0)))
        command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", str(self.root / "Snakefile")]
        command += ["--profile", str(self.root / "profiles/slurm")]
        command += ["--default-resources", f"slurm_partition={slurm.PARTITION}"]
        command += ["--cores", cores, "--set-threads", f"train={cores}", "measure_latency=1"]
        # sacct is installed, but there is no accounting that it could ask.
        command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
        command += ["--configfile", "my.yaml"] if self.config else []
        environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        # In a group of its own: it must not take its jobs along when it is killed, nor be found by Ctrl-C before them.
        options.setdefault("start_new_session", True)
        return subprocess.Popen(command, cwd=self.folder, env=environment, stderr=subprocess.STDOUT, **options)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[slurm.Slurm]:
    """A Slurm that runs until all tests of this module are through."""
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("the plugin is not installed: make slurm")
    try:
        slurm.install()
    except slurm.CannotRunError as error:
        pytest.skip(str(error))
    # TensorFlow's servers listen on all interfaces: there is to be but one.
    with no_other_interface(), slurm.running(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@contextlib.contextmanager
def snakemake(project: Project, log: Path, *targets: str) -> Iterator[subprocess.Popen]:
    """Run Snakemake while the block runs; what it says goes to `log`."""
    with open(log, "wb") as stream, project.start(*targets, stdout=stream) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(happened, what: str, process: subprocess.Popen, log: Path):
    """Wait as `slurm.wait_for`, but not for a Snakemake that has ended."""

    def happened_or_ended():
        found = happened()
        if not found and process.poll() is not None:
            raise AssertionError(f"Snakemake has ended before {what}:\n{log.read_text(errors='replace')[-5000:]}")
        return found

    try:
        return slurm.wait_for(happened_or_ended, PATIENCE_SECONDS, what)
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{log.read_text(errors='replace')[-5000:]}") from None


def step_of(project: Project, name: str) -> int:
    """Return the last step that a training has a checkpoint of."""
    found = (project.folder / f"results/{name}/training/checkpoints").glob("ckpt-*.index")
    return max((int(path.stem.split("-")[1]) for path in found), default=0)


def times(job: str) -> tuple[datetime, datetime]:
    """Return when a job began and ended."""
    told = slurm.call("squeue", "--states=all", "--noheader", "--jobs", job, "--format=%S %e").split()
    return datetime.fromisoformat(told[0]), datetime.fromisoformat(told[1])


def test_trainings_wait_for_the_gpu_and_outlive_kill_and_scancel(cluster, tmp_path):
    """Two trainings and one GPU; Snakemake is killed in the middle of the first, then that is taken from the queue."""
    draw_data(tmp_path / "images/train", 12)
    draw_data(tmp_path / "images/val", 4, seed=1)
    draw_data(tmp_path / "images/test", 4, seed=2)
    data = {"sources": [{"format": "voc", "images": "images"}], "shards": 1}
    project, log = ClusterProject(tmp_path, data=data, training=TRAINING), tmp_path / "run.log"
    targets = [f"results/{name}/checkpoint/ckpt.index" for name in NAMES]

    def running(without: set[str] = frozenset()):
        found = [job for rule in RULES for job in cluster.of_rule(rule, "RUNNING") if job.id not in without]
        return found[0] if found else None

    with snakemake(project, log, *targets) as process:
        first = wait_for(running, "a training that runs", process, log)
        name = first.rule.removeprefix("rule_train_wildcards_")
        wait_for(lambda: step_of(project, name), "its first checkpoint", process, log)
        # One runs where the GPU is; the other one has been submitted, too, and it is Slurm that lets it wait.
        waiting = [job for rule in RULES for job in cluster.of_rule(rule, "PENDING")]
        assert first.where == slurm.GPU_NODE
        assert len(waiting) == 1 and waiting[0].where in ("(Resources)", "(Priority)")
        process.send_signal(signal.SIGKILL)
        process.wait()
    # Slurm's jobs know nothing of that.
    time.sleep(2)
    assert [job.id for job in cluster.of_rule(f"train_wildcards_{name}", "RUNNING")] == [first.id]

    earlier = {first.id, waiting[0].id}
    with snakemake(project, log, *targets) as process:
        second = wait_for(lambda: running(earlier), "a training of the next run", process, log)
        # That both end before one of the next run begins is what keeps their files apart.
        assert f"Slurm job {first.id})" in log.read_text()
        ended = {job.id: job.state for job in cluster.jobs()}
        assert ended[first.id] == "FAILED"
        name = second.rule.removeprefix("rule_train_wildcards_")
        before = step_of(project, name)
        wait_for(lambda: step_of(project, name) > before, "its next checkpoint", process, log)
        slurm.call("scancel", second.id)
        reached = step_of(project, name)
        wait_for(lambda: process.poll() is not None, "Snakemake's end", process, log)
    said = log.read_text()
    assert process.returncode == 0, said[-5000:]
    assert "Trying to restart job" in said

    jobs = [job for rule in RULES for job in cluster.of_rule(rule)]
    assert {job.id: job.state for job in jobs}[second.id] == "CANCELLED"
    assert {job.where for job in jobs if job.state == "COMPLETED"} == {slurm.GPU_NODE}
    assert sum(job.state == "COMPLETED" for job in jobs) == 2
    last = max((job.id for job in cluster.of_rule(second.rule.removeprefix("rule_"), "COMPLETED")), key=int)
    assert int(last) > int(second.id)
    told = (project.folder / f"results/logs/train/{name}.log").read_text()
    assert int(re.search(r"Going on from step (\d+) of 240", told)[1]) >= reached > 0
    for name in NAMES:
        summary = json.loads((project.folder / f"results/{name}/checkpoint/training.json").read_text())
        assert summary["device"]["id"] == "0"
    spans = sorted(times(job.id) for job in jobs)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))


def test_processes_of_a_training_each_have_a_node(cluster, tmp_path):
    """As one GPU is all there is, on CPUs; what GPUs the profile would ask for is told by a dry run."""
    draw_data(tmp_path / "images/train", 8)
    draw_data(tmp_path / "images/val", 2, seed=1)
    draw_data(tmp_path / "images/test", 2, seed=2)
    data = {"sources": [{"format": "voc", "images": "images"}], "shards": 1}
    settings = {**TRAINING, "train_steps": 4, "validation_interval": 4, "seeds": 1, "distribution": "multi_worker"}
    project, log = ClusterProject(tmp_path, data=data, training={**settings, "workers": 2}), tmp_path / "run.log"
    target = "results/detector/checkpoint/ckpt.index"
    steps, before = set(), {job.id for job in cluster.jobs()}

    def ended(process):
        steps.update(slurm.call("squeue", "--steps", "--noheader", "--format=%j|%N").split())
        return process.poll() is not None

    with snakemake(project, log, target, "--set-resources", "train:gpu=0") as process:
        wait_for(lambda: ended(process), "Snakemake's end", process, log)
    said = log.read_text()
    assert process.returncode == 0, said[-5000:]
    (job,) = [job for job in cluster.of_rule("train_wildcards_detector") if job.id not in before]
    assert (job.state, set(job.where.split(","))) == ("COMPLETED", {slurm.CPU_NODE, slurm.GPU_NODE})
    summary = json.loads((project.folder / "results/detector/checkpoint/training.json").read_text())
    first, second = summary["device"]["nodes"]
    assert {first, second} == {slurm.CPU_NODE, slurm.GPU_NODE}
    # The job itself is the first process; the other one is a step of it.
    assert any(step.startswith("python") and step.endswith(f"|{second}") for step in steps), steps
    assert summary["steps"] == 4
    assert [entry["step"] for entry in summary["validation"]] == [4]

    project.configure(data=data, training={**settings, "workers": 3, "devices": 4, "batch_size": 12})
    with snakemake(project, log, target, "--dry-run", "--forcerun", "train") as process:
        wait_for(lambda: process.poll() is not None, "the plan", process, log)
    planned = re.search(r"^rule train:(?:\n .*)+", log.read_text(), re.MULTILINE)[0]
    for wanted in ("gpu=12", "nodes=3", "tasks=3", "mpi=srun", "slurm_extra=--gpus-per-node=4", "mem_mb=4000"):
        assert wanted in planned, planned


def test_demo_runs_through(cluster, tmp_path):
    """All rules of the demo, with few steps: what needs a GPU on the node that has it, what is small with Snakemake."""
    training = {"train_steps": 40, "warmup_steps": 5, "validation_interval": 20}
    project, log = ClusterProject(tmp_path, training=training), tmp_path / "run.log"
    # The demo's paths are relative to the repository.
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    before = {job.id for job in cluster.jobs()}
    with snakemake(project, log) as process:
        wait_for(lambda: process.poll() is not None, "Snakemake's end", process, log)
    said = log.read_text()
    assert process.returncode == 0, said[-5000:]
    jobs = [job for job in cluster.jobs() if job.id not in before]
    assert {job.state for job in jobs} == {"COMPLETED"}
    ran_on = {job.rule: job.where for job in jobs}
    for rule in ("train", "evaluate", "detect"):
        assert ran_on[f"rule_{rule}_wildcards_detector"] == slurm.GPU_NODE
        told = (project.folder / f"results/logs/{rule}/detector.log").read_text()
        assert told.startswith("Device 0.\n"), told[:200]
    assert set(re.findall(r"^localrule (\w+):", said, re.MULTILINE)) >= {"write_label_map", "write_summary"}
    assert not any("write_summary" in rule for rule in ran_on)
    assert "AP50" in (project.folder / "results/summary.txt").read_text()
