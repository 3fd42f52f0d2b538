"""Two runs at once in one folder: the second is refused, and harms nothing."""

import base64
import os
import signal
import subprocess
import time

import pytest

from helpers import Project, draw_data
from killing import DATA, TARGETS, Watched, check_like_clean, unfinished


@pytest.fixture
def project(tmp_path):
    draw_data(tmp_path / "project/images", 24)
    return Project(tmp_path / "project", data=DATA)


def test_second_run_is_refused_and_the_first_ends_right(project, tmp_path):
    first = Watched(project, *TARGETS)
    assert first.wait_for("make_boxes"), first.output
    os.killpg(first.process.pid, signal.SIGSTOP)
    for arguments in [TARGETS, ["--nolock", *TARGETS]]:
        second = project.snakemake(*arguments)
        assert second.status != 0
        assert f"process {first.process.pid} on " in second.output
        assert "Traceback" not in second.output
    look = project.plan(*TARGETS)
    assert look.status == 0, look.output
    assert f"process {first.process.pid} on " in look.output
    os.killpg(first.process.pid, signal.SIGCONT)
    assert first.process.wait() == 0, first.output
    assert not unfinished(project.folder)
    assert "Nothing to be done" in project.snakemake(*TARGETS).output
    check_like_clean(project.folder, tmp_path / "clean")


def test_unlocking_does_not_let_a_second_run_in(project, tmp_path):
    first = Watched(project, *TARGETS)
    assert first.wait_for("make_boxes"), first.output
    os.killpg(first.process.pid, signal.SIGSTOP)
    project.snakemake("--unlock")
    second = project.start(*TARGETS, stdout=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(8)
    second.kill()
    second.wait()
    os.killpg(first.process.pid, signal.SIGCONT)
    assert first.process.wait() == 0, first.output
    check_like_clean(project.folder, tmp_path / "clean")


def test_jobs_of_a_killed_run_are_gone_before_the_next_run_begins(project, tmp_path):
    first = Watched(project, *TARGETS)
    assert first.wait_for("make_boxes"), first.output
    first.kill("run")
    second = project.snakemake(*TARGETS)
    assert second.status == 0, second.output
    assert f"The last run was cut short (process {first.process.pid} on " in second.output
    check_like_clean(project.folder, tmp_path / "clean")


def test_incomplete_files_are_told_where_a_profile_does_not_make_them_again(project, tmp_path):
    first = Watched(project, *TARGETS)
    while not (making := records_in_the_making(project)) and first.process.poll() is None:
        time.sleep(0.005)
    first.kill("all")
    # What is marked as being made, but is there, is what Snakemake asks about.
    (project.folder / making[0]).touch()
    run = project.snakemake("--workflow-profile", "none", *TARGETS)
    assert run.status != 0
    assert "--rerun-incomplete" in run.output
    run = project.snakemake("--workflow-profile", "none", "--rerun-incomplete", *TARGETS)
    assert run.status == 0, run.output
    check_like_clean(project.folder, tmp_path / "clean")


def records_in_the_making(project: Project) -> list[str]:
    """Return the records that Snakemake has marked as being made."""
    marks = (project.folder / ".snakemake/incomplete").glob("*")
    files = [base64.urlsafe_b64decode(mark.name).decode() for mark in marks]
    return [file for file in files if file.startswith("results/records/")]
