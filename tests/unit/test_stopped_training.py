"""A training that cannot go on: it says at which step, with which images, what to try, and leaves nothing half-made."""

import io
import multiprocessing
import os
import signal

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_training import FACTORY, make_experiment

from odtl.errors import InputError
from odtl.records import frame, serialize
from odtl.training import inputs, train, trainer
from odtl.training.loop import Run
from odtl.training.trouble import image_names
from odtl.training.watching import Watch, all_finite
from odtl.training_state import State, alone_in

IMAGES = [f"photos/{number}.jpg" for number in range(6)]


def write_images(path):
    """Write a record of squares."""
    with open(path, "wb") as file:
        for number, name in enumerate(IMAGES):
            encoded = io.BytesIO()
            Image.fromarray(np.full((64, 64, 3), 30 * number, np.uint8)).save(encoded, "JPEG")
            features = {
                "image/height": [64],
                "image/width": [64],
                "image/filename": [name.encode()],
                "image/source_id": [str(2**52 + number).encode()],
                "image/encoded": [encoded.getvalue()],
                "image/format": [b"jpeg"],
                **{f"image/object/bbox/{key}": [0.25] for key in ("xmin", "ymin")},
                **{f"image/object/bbox/{key}": [0.75] for key in ("xmax", "ymax")},
                "image/object/class/label": [1],
            }
            file.write(frame(serialize(features)))


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path / "train.tfrecord")
    return tmp_path


def experiment(folder, **changes):
    """Return the file of an experiment from random weights, without validation, checkpoints every second step."""
    settings = {"train_steps": 12, "warmup_steps": 0}
    overrides = changes.pop("overrides", {})
    overrides = {**overrides, "task": {"init_checkpoint": None, **overrides.get("task", {})}}
    return make_experiment(folder, "experiment", val=None, images=6, overrides=overrides, **{**settings, **changes})


def run(folder, path):
    train(path, FACTORY, folder / "state", folder / "ckpt", "data", folder / "summary.json", stream=io.StringIO())


def stopped(folder, path):
    """Train, and return the error that ends it; nothing may look finished then."""
    with pytest.raises(InputError) as caught:
        run(folder, path)
    assert not list(folder.glob("ckpt*"))
    assert not (folder / "summary.json").exists()
    return caught.value


def told_at_start(folder, path, monkeypatch):
    """Return the lines that a run tells before its first step."""

    def end(run):
        raise KeyboardInterrupt

    told = io.StringIO()
    monkeypatch.setattr(Run, "to_the_end", end)
    with pytest.raises(KeyboardInterrupt):
        train(path, FACTORY, folder / "state", folder / "ckpt", "data", folder / "summary.json", stream=told)
    return told.getvalue().splitlines()


def stepwise(*values, at):
    """Return overrides with a learning rate that changes at a step."""
    schedule = {"type": "stepwise", "stepwise": {"boundaries": [at], "values": list(values)}}
    return {"trainer": {"optimizer_config": {"learning_rate": schedule}}}


def test_absurd_learning_rate_of_a_later_step_is_told_with_step_and_images(folder, monkeypatch):
    path = experiment(folder, overrides=stepwise(0.01, 1e35, at=5))
    error = stopped(folder, path)
    assert str(error).startswith("The training was stopped: ")
    settings, images = error.problems
    # The rate is the higher one from the seventh update on.
    assert images.file in ("step 7", "step 8")
    assert images.field == "images of the batch"
    assert set(images.found.split(", ")) <= set(IMAGES)
    assert len(images.found.split(", ")) == 2
    assert settings.found.startswith(f"1e+35 at {images.file}, after losses of ")
    assert "Lower it" in settings.cure
    # None of the checkpoints has proven good: the next run starts anew, and says why.
    assert not list((folder / "state/checkpoints").glob("*.index"))
    lines = told_at_start(folder, path, monkeypatch)
    assert lines[0].startswith("The last run with these settings was stopped: ")
    assert lines[1] == "Starting from random weights."


def test_images_whose_targets_are_no_numbers_are_named(folder, monkeypatch):
    def poisoned(image, labels):
        bad = tf.reshape(labels["source_id"] == 2**52 + 4, [-1, 1, 1, 1])
        targets = {level: tf.where(bad, np.nan, target) for level, target in labels["box_targets"].items()}
        return image, {**labels, "box_targets": targets}

    def build_inputs(*arguments):
        return inputs.build_inputs(*arguments).map(poisoned)

    monkeypatch.setattr(trainer, "build_inputs", build_inputs)
    error = stopped(folder, experiment(folder))
    assert [(problem.file, problem.field) for problem in error.problems] == [(IMAGES[4], "boxes")]


def test_weights_that_are_no_numbers_reach_no_checkpoint():
    class Model:
        variables = (tf.Variable([1.0, 2.0]), tf.Variable([1, 2]), tf.Variable([0.0, 1.0]))

    watch = Watch(10, 0)
    report = {"loss": 0.5, "images": np.array([3, 4]), "bad": np.array([False, False]), "weights": True}
    assert watch.look([report]) is None
    assert watch.check(all_finite(Model)) is None
    Model.variables[2].assign([0.0, np.nan])
    trouble = watch.check(all_finite(Model))
    assert (trouble.step, trouble.what, trouble.images) == (11, "weights", [3, 4])
    assert str(trouble) == "weights are no numbers after step 11"


def test_names_are_found_in_any_of_the_records(tmp_path):
    write_images(tmp_path / "a.tfrecord")
    assert image_names([2**52 + 3, 17], [tmp_path / "a.tfrecord"]) == {2**52 + 3: IMAGES[3], 17: "image number 17"}


def failing(error, folder, monkeypatch, **settings):
    """Return what comes of a training in which TensorFlow raises an error."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("odtl.training.actions.make_trainer", fail)
    with pytest.raises((InputError, type(error))) as caught:
        run(folder, experiment(folder, **settings))
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "Graph execution error:\n\nOOM when allocating a tensor\n\nmore"),
        tf.errors.InternalError(None, None, "OOM when allocating a tensor, out of memory"),
        MemoryError("OOM when allocating a tensor"),
    ],
    ids=["exhausted", "internal", "host"],
)
def test_out_of_memory_says_what_to_lower(folder, monkeypatch, error):
    found = failing(error, folder, monkeypatch, image_size=128)
    assert str(found).startswith("Out of memory (OOM when allocating a tensor")
    assert [(problem.field, problem.found) for problem in found.problems] == [
        ("batch_size", "2"),
        ("image_size", "128 x 128"),
        ("model", "mobilenet"),
    ]
    assert "Lower it to 1" in found.problems[0].cure
    assert "image_size: 96" in found.problems[1].cure


def test_what_cannot_be_lowered_is_not_advised(folder, monkeypatch):
    found = failing(MemoryError(), folder, monkeypatch, image_size=16, batch_size=1)
    assert str(found).startswith("Out of memory (MemoryError)")
    assert [problem.field for problem in found.problems] == ["model"]


def test_other_failures_of_tensorflow_stay_as_they_are(folder, monkeypatch):
    error = tf.errors.InternalError(None, None, "something else")
    assert failing(error, folder, monkeypatch) is error


def test_run_that_was_killed_is_told_of_in_the_next_one(folder, monkeypatch):
    path = experiment(folder, image_size=128)
    assert told_at_start(folder, path, monkeypatch) == ["Starting from random weights."]
    # As the system does where memory runs out: in a process of its own, without a chance to say anything.
    fingerprint = State.fingerprint_in(folder / "state")
    process = multiprocessing.get_context("fork").Process(target=work_and_die, args=(folder / "state", fingerprint))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    lines = told_at_start(folder, path, monkeypatch)
    assert lines[0].startswith("The last run of this training was ended from outside.")
    assert "batch_size 2: Lower it to 1" in lines[0]
    assert told_at_start(folder, path, monkeypatch) == ["Starting from random weights."]


def work_and_die(folder, fingerprint):
    with State(folder, fingerprint).at_work():
        os.kill(os.getpid(), signal.SIGKILL)


def test_two_do_not_train_in_one_folder(tmp_path):
    told = pytest.raises(InputError, match="another process that trains here")
    with alone_in(tmp_path / "state"), told, alone_in(tmp_path / "state"):
        raise AssertionError("both are at work")
    with alone_in(tmp_path / "state"):
        pass
