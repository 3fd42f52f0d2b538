"""What changes between the scan and the jobs: the run says so, and the next one ends with the right result."""

import os
import re
import signal
import time
from collections.abc import Callable

import pytest

from helpers import Project, draw_data
from killing import DATA, TARGETS, Watched, check_like_clean


@pytest.fixture
def project(tmp_path):
    draw_data(tmp_path / "project/images", 24)
    return Project(tmp_path / "project", data=DATA)


@pytest.mark.parametrize("what", ["replaced", "removed", "completed"])
def test_image_that_changes_after_the_scan(project, tmp_path, what):
    image = project.folder / "images/000.jpg"
    whole = image.read_bytes()
    other = (project.folder / "images/001.jpg").read_bytes()
    if what == "completed":
        # One that is still being copied when the scan comes by.
        image.write_bytes(whole[:500])
    change = {
        "replaced": lambda: image.write_bytes(other),
        "removed": image.unlink,
        "completed": lambda: image.write_bytes(whole),
    }[what]
    run = run_and_change_after_the_scan(project, change)
    assert run.process.returncode != 0
    assert "images/000.jpg" in run.output
    assert "run again" in run.output
    assert "Traceback" not in run.output
    again = project.snakemake(*TARGETS)
    assert again.status == 0, again.output
    check_like_clean(project.folder, tmp_path / "clean")


def test_annotation_that_changes_after_the_scan_is_seen_by_the_next_run(project, tmp_path):
    xml = project.folder / "images/000.xml"
    text = re.sub("<name>.*?<", "<name>pyramid<", xml.read_text(encoding="utf-8"), count=1)
    run = run_and_change_after_the_scan(project, lambda: xml.write_text(text, encoding="utf-8"))
    assert run.process.returncode == 0, run.output
    again = project.snakemake(*TARGETS)
    assert again.jobs["make_boxes"] == 1
    assert "pyramid" in (project.folder / "results/dataset/label_map.pbtxt").read_text(encoding="utf-8")
    check_like_clean(project.folder, tmp_path / "clean")


def test_inventory_that_changes_while_jobs_run(project, tmp_path):
    def cut() -> None:
        begun = re.findall(r"rule make_boxes:\n.*?wildcards: shard=(.*?)\n", run.output, re.DOTALL)
        left = [path for path in project.folder.glob("results/inventory/*.jsonl") if path.stem not in begun]
        longest = max(left, key=lambda path: path.stat().st_size)
        longest.write_text("".join(longest.read_text(encoding="utf-8").splitlines(True)[1:]), encoding="utf-8")

    run = Watched(project, *TARGETS)
    assert run.wait_for("make_boxes"), run.output
    while_stopped(run, cut)
    assert run.process.wait() != 0
    assert "when the run was planned" in run.output
    assert "run again" in run.output
    again = project.snakemake(*TARGETS)
    assert again.status == 0, again.output
    check_like_clean(project.folder, tmp_path / "clean")


def run_and_change_after_the_scan(project: Project, change: Callable[[], object]) -> Watched:
    """Run the data stages; change something when the scan is over and no job has begun; return the run, ended."""
    run = Watched(project, *TARGETS)
    # The last that the scan writes.
    while not (project.folder / "results/inventory/detect.csv").exists() and run.process.poll() is None:
        time.sleep(0.005)

    def change_in_time() -> None:
        assert not run.begun, "the jobs had begun before the change"
        change()

    while_stopped(run, change_in_time)
    run.process.wait()
    run.join()
    return run


def while_stopped(run: Watched, work: Callable[[], object]) -> None:
    os.killpg(run.process.pid, signal.SIGSTOP)
    try:
        # What it said before is read to its end.
        time.sleep(0.3)
        work()
    finally:
        os.killpg(run.process.pid, signal.SIGCONT)
