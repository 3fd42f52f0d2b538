"""The container image: built for real where buildah can build in a chroot, and the workflow run in it.

What the image would hold, and how long it takes to install it, is that of `make run`: so it is the long form of this
test, ODTL_CONTAINER=build. The short form looks at what can be seen without building.
"""

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import building
from helpers import ROOT, draw_data

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
ENTRYPOINT = ROOT / "workflow/container/entrypoint"
# As docs/container.md has it: the files are then those of who starts the container.
SOMEBODY = "12345:12345"


def instructions(name: str) -> list[str]:
    """Return what stands behind an instruction, each time it is given."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [" ".join(line.split()[1:]) for line in joined.splitlines() if line.startswith(f"{name} ")]


def entrypoint(tmp_path: Path, *arguments: str) -> list[str]:
    """Return the command that the entry point becomes, on a machine where each program prints what it was given."""
    programs = tmp_path / "programs"
    if not programs.exists():
        programs.mkdir()
        for name in ("snakemake", "python", "nvidia-smi"):
            (programs / name).write_text('#!/bin/sh\nprintf "%s\\n" "${0##*/}" "$@"\n', encoding="utf-8")
            (programs / name).chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin"}
    return subprocess.run(
        [ENTRYPOINT, *arguments], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_workflow_is_run_with_the_options_that_are_given(tmp_path):
    run = ["snakemake", "--snakefile", "/opt/odtl/Snakefile", "--cores", "all"]
    assert entrypoint(tmp_path) == run
    assert entrypoint(tmp_path, "--configfile", "my own.yaml") == [*run, "--configfile", "my own.yaml"]
    assert entrypoint(tmp_path, "snakemake", "check", "--dry-run") == [*run, "check", "--dry-run"]


def test_other_commands_are_what_their_names_say(tmp_path):
    watch = ["/opt/odtl/workflow/scripts/watch.py", "--host", "0.0.0.0", "--port", "6006"]
    run = ["snakemake", "--snakefile", "/opt/odtl/Snakefile", "--cores", "all"]
    assert entrypoint(tmp_path, "tensorboard") == ["python", *watch]
    assert entrypoint(tmp_path, "watch", "--configfile", "my.yaml") == [
        "python",
        *watch,
        *run,
        "--configfile",
        "my.yaml",
    ]
    assert entrypoint(tmp_path, "detect", "model", "a b.jpg") == ["python", "-m", "odtl", "detect", "model", "a b.jpg"]
    assert entrypoint(tmp_path, "nvidia-smi") == ["nvidia-smi"]


def test_image_is_for_a_user_that_is_not_root_and_says_what_it_shows():
    assert instructions("USER") == ["odtl"]
    assert instructions("WORKDIR")[-1] == "/project" and not instructions("VOLUME")
    assert instructions("EXPOSE") == ["6006"]
    assert json.loads(instructions("ENTRYPOINT")[0]) == [f"/opt/odtl/{ENTRYPOINT.relative_to(ROOT)}"]
    assert ENTRYPOINT.stat().st_mode & stat.S_IXOTH


def test_base_and_lock_are_arguments_and_each_lock_is_there():
    assert [line.partition("=")[0] for line in instructions("ARG")] == ["BASE", "LOCK"]
    assert instructions("FROM") == ["${BASE}"]
    named = " ".join(re.findall(r'LOCK="?([\w ]+)', DOCKERFILE)).split()
    assert {"run", "gpu", "kubernetes"} <= set(named)
    assert all((ROOT / f"requirements/{name}.lock").exists() for name in named)


@pytest.fixture(scope="module")
def container(tmp_path_factory) -> Iterator[tuple[building.Builder, str]]:
    if os.environ.get("ODTL_CONTAINER") != "build":
        pytest.skip("the long form: ODTL_CONTAINER=build is not set")
    try:
        building.install()
        folder = tmp_path_factory.mktemp("containers")
        builder = building.Builder(folder)
        builder.make_base()
    except building.CannotBuildError as error:
        pytest.skip(str(error))
    builder.build(ROOT, "localhost/odtl", BASE=building.BASE)
    yield builder, builder.call("from", "--pull-never", "localhost/odtl")
    shutil.rmtree(folder, ignore_errors=True)


def test_image_says_what_it_runs_as_whom_and_where(container):
    builder, name = container
    config = json.loads(builder.call("inspect", "--type=container", name))["OCIv1"]["config"]
    assert config["User"] == "odtl" and config["WorkingDir"] == "/project"
    assert config["Entrypoint"] == ["/opt/odtl/workflow/container/entrypoint"]
    assert {port.removesuffix("/tcp") for port in config["ExposedPorts"]} == {"6006"}
    assert "NVIDIA_VISIBLE_DEVICES=all" in config["Env"]
    # What is no part of the workflow is not in it.
    held = builder.run(name, "ls", "-A", "/opt/odtl").split()
    assert {"Snakefile", "environment.yml", "workflow", "config", "profiles", ".venv"} <= set(held)
    assert not {".git", "tests", "docs", "benchmarks", "build", "results"} & set(held)
    assert builder.run(name, "id", "-u") == "1000"


def test_workflow_makes_its_data_in_a_mounted_folder_as_any_user(container, tmp_path):
    """Data, inventory to records, without a training; the files are the user's own."""
    builder, name = container
    draw_data(tmp_path / "images/train", 6)
    draw_data(tmp_path / "images/test", 2, seed=1)
    (tmp_path / "my.yaml").write_text("data:\n  sources:\n    - {format: voc, images: images}\n  shards: 1\n")
    subprocess.run(["chown", "-R", SOMEBODY, str(tmp_path)], check=True)
    # Whoever runs the container must be able to reach the folder.
    for folder in tmp_path.parents:
        if folder.owner() == "root" and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    entry = ["/opt/odtl/workflow/container/entrypoint", "snakemake", "data", "--configfile", "my.yaml"]
    told = builder.run(name, *entry, user=SOMEBODY, volumes=[f"{tmp_path}:/project"])
    assert "Finished jobid" in told, told[-3000:]
    records = sorted((tmp_path / "results/records").glob("*.tfrecord"))
    assert records and {path.stat().st_uid for path in records} == {12345}


def test_detector_is_trained_in_it(container, tmp_path):
    """Two steps, on the network that the demo starts from, which is in the image."""
    builder, name = container
    draw_data(tmp_path / "images/train", 8)
    draw_data(tmp_path / "images/val", 2, seed=1)
    draw_data(tmp_path / "images/test", 2, seed=2)
    (tmp_path / "resources").symlink_to("/opt/odtl/resources")
    settings = "training: {image_size: 128, batch_size: 4, train_steps: 2, warmup_steps: 1, validation_interval: 2}\n"
    sources = "data:\n  sources:\n    - {format: voc, images: images}\n  shards: 1\n"
    (tmp_path / "my.yaml").write_text(sources + settings)
    subprocess.run(["chown", "-R", SOMEBODY, str(tmp_path)], check=True)
    entry = ["/opt/odtl/workflow/container/entrypoint", "snakemake", "results/detector/checkpoint/ckpt.index"]
    told = builder.run(name, *entry, "--configfile", "my.yaml", user=SOMEBODY, volumes=[f"{tmp_path}:/project"])
    summary = json.loads((tmp_path / "results/detector/checkpoint/training.json").read_text())
    assert summary["steps"] == 2, told[-3000:]
