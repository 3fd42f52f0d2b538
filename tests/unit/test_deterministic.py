"""Deterministic mode: the same seed gives the same figures and weights, also where a kill comes in between."""

import numpy as np
import pytest
from test_training import FACTORY, STEPS, Killed, make_experiment, run, run_until, write_images

from odtl.checkpoints import load_model
from odtl.training.options import Options

DETERMINISTIC = Options(deterministic=True)


@pytest.fixture
def folder(tmp_path):
    from tensorflow.python.framework import config

    write_images(tmp_path / "train.tfrecord", 8)
    write_images(tmp_path / "val.tfrecord", 3)
    yield tmp_path
    # Other tests in this process are not to pay for it.
    config.disable_op_determinism()


def figures(summary):
    """Return all figures of a training but how long it took."""
    entries = [*summary["loss"], *summary["validation"]]
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in entries]


def test_same_seed_gives_the_same_training_killed_or_not(folder):
    """Averaged weights follow all the others there were: if they are the same, these are."""

    def die(state):
        raise Killed

    path = make_experiment(folder, "experiment", ema=0.9, overrides={"task": {"init_checkpoint": None}})
    whole, _ = run(folder, path, "whole", options=DETERMINISTIC)
    run_until(4, die, folder, path, "killed", options=DETERMINISTIC)
    resumed, told = run(folder, path, "killed", options=DETERMINISTIC)
    assert "Going on from step 4 of 6." in told
    assert figures(resumed) == figures(whole)
    assert [entry["step"] for entry in whole["loss"]] == [2, 3, 4, STEPS]
    assert len({entry["loss"] for entry in whole["loss"]}) == 4
    weights = [load_model(path, FACTORY, folder / f"{name}-ckpt")[0].get_weights() for name in ("whole", "killed")]
    assert all(np.array_equal(one, two) for one, two in zip(*weights, strict=True))
