"""GPUs are handed out: as many as a job holds, each to one job at a time, free again however the job ends."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from odtl import devices, running_jobs
from odtl.devices import device_for, share_threads, visible_devices

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
# Says which device it got, holds it until a line comes, then says that it lets go.
JOB = """
import os, sys
from odtl.devices import device_for
with device_for(int(sys.argv[2]), sys.argv[1], lambda text: print(text, flush=True)) as device:
    print("got", device, os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that has announced itself, as this very process; returns its folder."""
    monkeypatch.setenv("ODTL_RUN", "")
    running_jobs.announce(tmp_path)
    return tmp_path


@pytest.fixture
def start():
    """Start a job that takes one of two devices, or both, and end them all after the test."""
    jobs = []

    def start_job(name: str, gpus: int = 1, **environment: str) -> subprocess.Popen:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0,1", "PYTHONPATH": str(SCRIPTS), **environment}
        command = [sys.executable, "-c", JOB, name, str(gpus)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        jobs.append(subprocess.Popen(command, env=environment, **pipes))
        return jobs[-1]

    yield start_job
    for job in jobs:
        job.kill()
        job.communicate()


def got(job: subprocess.Popen) -> str:
    assert job.stdout.readline().startswith("Device")
    return job.stdout.readline().strip()


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("0,1", ["0", "1"]),
        (" 2 , 0", ["2", "0"]),
        ("GPU-1b2c-3d,MIG-4e/1/0", ["GPU-1b2c-3d", "MIG-4e/1/0"]),
        ("1,-1,0", ["1"]),
        ("1,1", ["1"]),
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_devices_are_read_from_the_environment_as_cuda_does(value, ids):
    assert visible_devices({"CUDA_VISIBLE_DEVICES": value}) == ids


def driver(folder: Path, monkeypatch, script: str) -> None:
    """Put a driver's tool in front of all others."""
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_devices_are_listed_by_the_driver(tmp_path, run, monkeypatch):
    driver(tmp_path, monkeypatch, 'test "$*" = "--query-gpu=index --format=csv,noheader" && printf "0\\n1\\n"')
    assert visible_devices({}) == ["0", "1"]
    environment = {}
    with device_for(1, "a job", lambda text: None, environment) as device:
        # The driver counts along the bus, CUDA by speed unless it is told.
        assert environment == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"}
        assert device == "0"


def test_without_a_driver_or_with_one_that_fails_there_is_nothing_to_hand_out(tmp_path, run, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    environment, told = {}, []
    with device_for(1, "a job", told.append, environment) as device:
        assert (device, environment, told) == (None, {}, [])
    driver(
        tmp_path, monkeypatch, 'echo "NVIDIA-SMI has failed because it could not communicate with the driver"; exit 9'
    )
    assert visible_devices({}) == []


def test_a_job_without_gpus_sees_none(run):
    environment = {"CUDA_VISIBLE_DEVICES": "0,1"}
    with device_for(0, "a job", print, environment) as device:
        assert device is None
        assert environment["CUDA_VISIBLE_DEVICES"] == "-1"


def test_outside_of_a_run_nothing_is_handed_out(monkeypatch):
    monkeypatch.delenv("ODTL_RUN", raising=False)
    environment = {"CUDA_VISIBLE_DEVICES": "0,1"}
    with device_for(1, "a job", print, environment) as device:
        assert device is None
        assert environment == {"CUDA_VISIBLE_DEVICES": "0,1"}


def test_two_jobs_take_different_devices_and_a_third_waits_for_the_first_that_is_free(run, start):
    one, two = start("one.log"), start("two.log")
    taken = {got(one), got(two)}
    assert taken == {"got 0 0", "got 1 1"}
    three = start("three.log")
    line = three.stdout.readline()
    assert line.startswith("Waiting for a device: each is taken, 0 by ")
    assert "one.log" in line and "two.log" in line
    two.communicate("\n")
    other = got(three)
    assert other in taken
    four = start("four.log")
    assert four.stdout.readline().startswith("Waiting for a device")


def test_a_job_takes_all_the_devices_that_it_holds_and_leaves_none_to_another(run, start):
    one, two = start("one.log", gpus=2), start("two.log", gpus=2)
    # Either may be first; the other one has none of them, or both would wait for ever.
    first, second = sorted([one, two], key=lambda job: job.stdout.readline().startswith("Waiting for 2 devices"))
    assert first.stdout.readline() == "got 0,1 0,1\n"
    first.communicate("\n")
    assert got(second) == "got 0,1 0,1"


def test_who_waits_for_several_devices_is_not_passed_by_others(run, start):
    one = start("one.log")
    got(one)
    several = start("several.log", gpus=2)
    assert several.stdout.readline().startswith("Waiting for 2 devices: they were last taken, ")
    three = start("three.log")
    assert three.stdout.readline().startswith("Waiting for a device")
    one.communicate("\n")
    assert got(several) == "got 0,1 0,1"
    several.communicate("\n")
    assert got(three) in {"got 0 0", "got 1 1"}


def test_of_fewer_devices_than_it_holds_a_job_takes_all(run):
    environment, told = {"CUDA_VISIBLE_DEVICES": "3"}, []
    with device_for(2, "a job", told.append, environment) as device:
        assert (device, environment["CUDA_VISIBLE_DEVICES"], told) == ("3", "3", ["Device 3."])


def test_a_killed_job_lets_go_of_its_device(run, start):
    one, two = start("one.log"), start("two.log")
    free = got(one)
    got(two)
    one.kill()
    one.wait()
    began = time.monotonic()
    assert got(start("three.log")) == free
    assert time.monotonic() - began < 30


def test_jobs_of_other_nodes_do_not_wait_for_each_other(run, start, tmp_path):
    # Each node's Snakemake announces itself in the shared folder; its job's own device may have the same id.
    here = os.environ["ODTL_RUN"]
    elsewhere = "\n".join(["1234", "another machine pid:[1]", str(tmp_path)])
    one = start("one.log", CUDA_VISIBLE_DEVICES="0", ODTL_RUN=here)
    two = start("two.log", CUDA_VISIBLE_DEVICES="0", ODTL_RUN=elsewhere)
    assert {got(one), got(two)} == {"got 0 0"}


def test_the_next_run_clears_the_locks_away(run, tmp_path):
    from odtl import run_lock

    with device_for(1, "a job", lambda text: None, {"CUDA_VISIBLE_DEVICES": "0"}):
        pass
    assert list((tmp_path / devices.FOLDER).iterdir())
    run_lock.take(tmp_path, tmp_path / "scheduler", tmp_path / "results").release()
    assert not (tmp_path / devices.FOLDER).exists()


def test_threads_are_shared_only_where_there_are_more(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    environment = {}
    share_threads(8, environment)
    assert environment == {}
    share_threads(4, environment)
    assert environment == {"TF_NUM_INTRAOP_THREADS": "4", "TF_NUM_INTEROP_THREADS": "4"}
    own = {"TF_NUM_INTRAOP_THREADS": "1"}
    share_threads(4, own)
    assert own["TF_NUM_INTRAOP_THREADS"] == "1"
