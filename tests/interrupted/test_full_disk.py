"""A disk that is full or read-only: a clear error, nothing half-written, and the right result once that is cured.

The small disks are tmpfs in a mount namespace of their own, so nothing is left mounted whatever happens.
"""

import os
import subprocess
from pathlib import Path

import pytest

from helpers import Project, draw_data
from killing import DATA, TARGETS, check_like_clean, check_whole, unfinished

NAMESPACES = [["--mount"], ["--user", "--map-root-user", "--mount"]]
HOLD = 'mount -t tmpfs -o "size=$2" tmpfs "$1" && echo ready && exec cat'


class SmallDisk:
    """A tmpfs at a folder that only processes with `prefix` see there; others see it at `path`."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for flags in NAMESPACES:
            self._holder = subprocess.Popen(
                ["unshare", *flags, "sh", "-c", HOLD, "sh", str(folder), size],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            if self._holder.stdout.readline() == "ready\n":
                self._flags = ["--user", "--preserve-credentials"] if "--user" in flags else []
                return
            self.close()
        pytest.skip("a small disk cannot be mounted here: neither as root nor in a user namespace")

    @property
    def path(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/root{self.folder}")

    def prefix(self, working_folder: Path) -> list[str]:
        enter = ["nsenter", f"--target={self._holder.pid}", "--mount", *self._flags]
        return [*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(working_folder)]

    def remount(self, options: str) -> None:
        subprocess.run(
            [*self.prefix(Path("/")), "mount", "-o", f"remount,{options}", "tmpfs", str(self.folder)], check=True
        )

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()


@pytest.fixture
def small_disk():
    disks = []

    def make(folder: Path, size: str) -> SmallDisk:
        disks.append(SmallDisk(folder, size))
        return disks[-1]

    yield make
    for disk in disks:
        disk.close()


@pytest.fixture
def folder(tmp_path):
    draw_data(tmp_path / "project/images", 24)
    return tmp_path / "project"


@pytest.mark.parametrize("size", ["16k", "64k", "96k", "120k", "144k"])
def test_full_results_folder_is_told_and_goes_on_when_there_is_space(folder, small_disk, size):
    disk = small_disk(folder / "results", size)
    project = Project(folder, prefix=disk.prefix(folder), data=DATA)
    run = project.snakemake(*TARGETS)
    assert run.status != 0
    # Snakemake's own words, where it is the one that cannot write, start with a capital.
    assert "no space left on device" in run.output.lower()
    assert "run again" in run.output
    assert "Traceback" not in run.output
    check_whole(disk.path)
    assert not unfinished(disk.path)
    disk.remount("size=50m")
    run = project.snakemake(*TARGETS)
    assert run.status == 0, run.output
    check_like_clean(disk.path.parent, folder.parent / "clean")


def test_full_disk_with_the_whole_project_on_it(folder, small_disk):
    used = sum(-(-path.stat().st_size // 4096) * 4 for path in folder.rglob("*")) + 40
    disk = small_disk(folder.parent / "disk", f"{used + 300}k")
    subprocess.run([*disk.prefix(folder.parent), "cp", "-r", "project", "disk"], check=True)
    project = Project(folder, prefix=disk.prefix(folder.parent / "disk/project"), data=DATA)
    subprocess.run([*disk.prefix(folder.parent), "cp", "project/my.yaml", "disk/project"], check=True)
    run = project.snakemake(*TARGETS)
    assert run.status != 0
    assert "no space left on device" in run.output.lower()
    check_whole(disk.path / "project/results")
    disk.remount("size=50m")
    run = project.snakemake(*TARGETS)
    assert run.status == 0, run.output
    assert not unfinished(disk.path)
    check_like_clean(disk.path / "project", folder.parent / "clean")


def test_read_only_results_are_told_and_what_needs_no_writing_works(folder, small_disk):
    disk = small_disk(folder / "results", "50m")
    project = Project(folder, prefix=disk.prefix(folder), data=DATA)
    disk.remount("ro")
    assert_refused(project.snakemake(*TARGETS))
    disk.remount("rw")
    assert project.snakemake("results/dataset/card.txt").status == 0
    disk.remount("ro")
    assert "Nothing to be done" in project.snakemake("results/dataset/card.txt").output
    assert_refused(project.snakemake(*TARGETS))
    disk.remount("rw")
    assert project.snakemake(*TARGETS).status == 0
    check_like_clean(disk.path.parent, folder.parent / "clean")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_results_of_someone_else_are_told(folder):
    project = Project(folder, data=DATA)
    (folder / "results").mkdir(mode=0o555)
    run = project.snakemake(*TARGETS)
    assert run.status != 0
    assert "permission denied" in run.output
    assert "Traceback" not in run.output


def assert_refused(run) -> None:
    assert run.status != 0
    assert "read-only file system" in run.output
    assert "results" in run.output
    assert "run again" in run.output
    assert "Traceback" not in run.output
