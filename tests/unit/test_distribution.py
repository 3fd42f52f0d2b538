"""Several devices and processes compute what one does: the same images, the same losses, and one set of results."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from test_inputs import COUNT, make_task, seed
from test_inputs import records as records
from test_training import make_experiment, write_images

from odtl.checkpoints import build_model, is_whole
from odtl.distribution import Distribution
from odtl.errors import InputError
from odtl.experiment import read_experiment
from odtl.training import crew, inputs, runtime
from odtl.training.options import Options

SCRIPT = Path(__file__).parents[1] / "training_apart.py"
FACTORY = "retinanet_mobile_coco"
TWO_DEVICES = {"distribution": "mirrored", "devices": 2}
TWO_PROCESSES = {"distribution": "multi_worker", "workers": 2}
# A third of the trainable weights, which is enough for a curve. Half of 16 images in a step: which ones matters.
SETTINGS = {
    "freeze": "backbone",
    "train_steps": 6,
    "batch_size": 8,
    "images": 16,
    "learning_rate": 0.1,
    "warmup_steps": 0,
    "validation_interval": 6,
    # Evaluation and what is kept take the averages, and then the weights come back.
    "ema": 0.9,
    "augmentation": {"hflip": False, "scale_min": 1.0, "scale_max": 1.0},
}


@pytest.mark.parametrize(
    ("settings", "batch_size", "field", "advice"),
    [
        ({"devices": 2}, None, "x.devices", "distribution: mirrored"),
        ({"distribution": "mirrored"}, None, "x.distribution", "`devices`"),
        ({"distribution": "mirrored", "devices": 2, "workers": 2}, None, "x.workers", "distribution: multi_worker"),
        ({"distribution": "multi_worker"}, None, "x.distribution", "`workers`"),
        ({"distribution": "multi_worker", "workers": 2, "devices": 2}, 6, "x.batch_size", "a multiple of 4"),
        (TWO_DEVICES, 7, "x.batch_size", "a multiple of 2"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, batch_size, field, advice):
    (problem,) = Distribution.of(settings).problems("x", batch_size)
    assert problem.field == field
    assert advice in problem.cure


def test_what_makes_sense_is_not_refused():
    for settings in ({}, TWO_DEVICES, TWO_PROCESSES):
        assert not list(Distribution.of(settings).problems("x", 8))
    assert not list(Distribution.of(TWO_DEVICES).problems("x", None, deterministic=True))
    (problem,) = Distribution.of(TWO_PROCESSES).problems("x", None, deterministic=True)
    assert problem.field == "x.deterministic"


def test_experiment_says_it_as_official_vision_does(tmp_path):
    path = make_experiment(tmp_path, "one")
    config = read_experiment(path, FACTORY)
    assert (config.runtime.distribution_strategy, config.runtime.num_gpus) == ("one_device", 0)
    assert not config.task.model.norm_activation.use_sync_bn
    config = read_experiment(make_experiment(tmp_path, "two", **TWO_DEVICES), FACTORY)
    assert (config.runtime.distribution_strategy, config.runtime.num_gpus) == ("mirrored", 2)
    assert config.task.model.norm_activation.use_sync_bn
    # What is evaluated and exported is made of it for one device.
    assert not any("Sync" in type(layer).__name__ for layer in build_model(config).submodules)
    with pytest.raises(InputError, match="a multiple of 2 is needed"):
        make_experiment(tmp_path, "odd", batch_size=3, **TWO_DEVICES)


def test_too_few_gpus_are_refused(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"] if kind == "GPU" else ["CPU:0"])
    with pytest.raises(InputError, match=r"1 GPU\(s\) for 2.*--resources gpu=2"):
        runtime.strategy(Distribution.of(TWO_DEVICES))


@pytest.mark.parametrize("cached", [True, False])
def test_processes_share_the_images_that_one_would_take(records, cached, monkeypatch):
    """Three steps of an epoch and a half: what two processes take in a step is what one does."""
    import tensorflow as tf

    monkeypatch.setattr(inputs, "MAX_CACHE_BYTES", inputs.MAX_CACHE_BYTES if cached else 0)
    made = tf.autograph.experimental.do_not_convert(inputs.build_inputs)
    task = make_task(records, global_batch_size=4)

    def numbers(process, processes):
        context = tf.distribute.InputContext(processes, process, processes)
        seed(1)
        batches = made(task, task.task_config.train_data, Options(workers=2), context)
        return [labels[inputs.SOURCE_ID].numpy().ravel().tolist() for _, labels in batches.take(3)]

    whole, shares = numbers(0, 1), [numbers(process, 2) for process in (0, 1)]
    assert [len(batch) for batch in whole] == [4, 4, 4]
    assert [sorted(one + two) for one, two in zip(*shares, strict=True)] == [sorted(batch) for batch in whole]


def test_each_process_sees_all_validation_images(records):
    import tensorflow as tf

    made = tf.autograph.experimental.do_not_convert(inputs.build_inputs)
    task = make_task(records)
    for process in (0, 1):
        context = tf.distribute.InputContext(2, process, 2)
        batches = made(task, task.task_config.validation_data, Options(workers=2), context)
        numbers = [labels["groundtruths"]["source_id"].numpy() for _, labels in batches]
        assert sorted(np.concatenate(numbers)) == list(range(1, COUNT + 1))


# Trainings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distribution")
    write_images(folder / "train.tfrecord", 16)
    # Five: with two devices, there is a last batch for one of them only.
    write_images(folder / "val.tfrecord", 5)
    return folder


def train_apart(folder: Path, name: str, prefix: Sequence[str] = (), **settings) -> dict:
    command = [*prefix, sys.executable, SCRIPT, folder, name, json.dumps({**SETTINGS, **settings})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(folder):
    return train_apart(folder, "alone")


def check_same(one: dict, several: dict, folder: Path, name: str) -> None:
    """Assert that a training on several devices took the same images, and came to the same losses."""
    assert several["images"] == one["images"]
    assert len(several["losses"]) == SETTINGS["train_steps"]
    # It falls: else no update of the weights could be told from another.
    assert one["losses"][-1] < 0.9 * one["losses"][0]
    # official.vision divides a loss by one more than the objects' anchors, of which each device has half.
    np.testing.assert_allclose(several["losses"], one["losses"], rtol=0.03)
    assert several["summary"]["steps"] == SETTINGS["train_steps"]
    assert [entry["step"] for entry in several["summary"]["validation"]] == [SETTINGS["train_steps"]]
    assert several["scored"] == one["scored"] == [1, 2, 3, 4, 5]
    assert is_whole(folder / f"{name}-ckpt")


def test_two_devices_learn_as_one_does(folder, alone):
    several = train_apart(folder, "devices", **TWO_DEVICES)
    assert several["summary"]["distribution"] == {**TWO_DEVICES, "workers": 1}
    check_same(alone, several, folder, "devices")


def test_two_processes_learn_as_one_does(folder, alone):
    # TensorFlow's server listens on all interfaces: there is to be but one.
    loopback = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*loopback, "true"], capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    several = train_apart(folder, "processes", loopback, **TWO_PROCESSES)
    check_same(alone, several, folder, "processes")
    # One state: of the further process nothing is left.
    assert {path.name for path in (folder / "processes").iterdir()} == {
        *("checkpoints", "kept", "events", "fingerprint.json", "history.jsonl", "lock")
    }


# The further processes


@pytest.fixture
def of_two(tmp_path, monkeypatch):
    """A crew whose one further process runs a given script instead."""

    def start(script: str):
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        python.chmod(0o755)
        monkeypatch.setattr(crew.sys, "executable", str(python))
        return crew.Crew(Distribution.of(TWO_PROCESSES))

    return start


class Config:
    """An experiment that holds nothing."""

    @staticmethod
    def as_dict() -> dict:
        return {}


def test_process_that_ends_too_early_is_told_of_with_its_last_words(of_two):
    with (
        pytest.raises(InputError, match="process 2 of 2: found ended with status 3") as caught,
        of_two("echo 1; read task; echo no memory >&2; exit 3") as others,
    ):
        others.start(Config, FACTORY, Options(**TWO_PROCESSES), 0, False)
        time.sleep(0.5)
        raise RuntimeError("a collective was aborted")
    assert "no memory" in str(caught.value)


def test_process_that_runs_out_of_memory_is_told_of_as_that(of_two):
    with (
        pytest.raises(MemoryError, match=r"process 2 of 2: .*OOM"),
        of_two("echo 1; read task; echo ResourceExhaustedError: OOM when allocating >&2; exit 1") as others,
    ):
        others.start(Config, FACTORY, Options(**TWO_PROCESSES), 0, False)
        raise RuntimeError("a collective was aborted")


def test_own_lack_of_memory_goes_before_the_end_of_another(of_two):
    with pytest.raises(MemoryError, match=r"^mine$"), of_two("echo 1; read task; exit 1") as others:
        others.start(Config, FACTORY, Options(**TWO_PROCESSES), 0, False)
        raise MemoryError("mine")


def test_process_that_is_not_ready_in_time_is_told_of_with_what_it_says(of_two, monkeypatch):
    monkeypatch.setattr(crew, "STARTING_SECONDS", 0.5)
    monkeypatch.setattr(crew, "SEEN_SECONDS", 0.1)
    script = "echo srun: Requested nodes are busy >&2; exec cat > /dev/null"
    with pytest.raises(InputError, match="not ready after") as caught, of_two(script) as others:
        others.start(Config, FACTORY, Options(**TWO_PROCESSES), 0, False)
    assert "Requested nodes are busy" in str(caught.value)


def test_further_processes_end_with_the_block(of_two):
    with of_two("echo 1; exec cat > /dev/null") as others:
        others.start(Config, FACTORY, Options(**TWO_PROCESSES), 0, False)
        others.tell("train", 1)
        (process,) = others._processes
    assert process.returncode == 0


def test_process_that_does_not_end_is_ended(of_two, monkeypatch):
    monkeypatch.setattr(crew, "ENDING_SECONDS", 0.5)
    with of_two("echo 1; exec sleep 600") as others:
        others.start(Config, FACTORY, Options(**TWO_PROCESSES), 0, False)
        (process,) = others._processes
    assert process.returncode == -signal.SIGKILL


def test_further_process_ends_when_the_first_is_gone():
    """Also while it waits for the first one to do its part."""
    code = "import time; from odtl.training import worker; worker.ENDING_SECONDS = 0.2; import sys; "
    code += "commands = worker._commands_of(sys.stdin); print(next(commands), flush=True); time.sleep(600)"
    scripts = Path(__file__).parents[2] / "workflow/scripts"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(scripts)},
    )
    process.stdin.write('["train", 1]\n')
    process.stdin.flush()
    assert process.stdout.readline() == "['train', 1]\n"
    process.stdin.close()
    assert process.wait(30) == 1
