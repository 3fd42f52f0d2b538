"""The learning-rate finder: what it reads from a curve, and that its steps are real and leave nothing."""

import io
import json
import math
import tempfile

import numpy as np
import pytest
from test_training import FACTORY, make_experiment, write_images

from odtl.experiment import read_experiment
from odtl.training import rate_finding
from odtl.training.rate_finding import (
    HIGHEST,
    LOWEST,
    blown_up,
    describe,
    find_rate,
    peak_of,
    rising,
    smooth,
    suggest,
)

RATES = np.geomspace(LOWEST, HIGHEST, 121)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rates")
    write_images(folder / "train.tfrecord", 8)
    return folder


def experiment(folder, name, **changes):
    overrides = {"task": {"init_checkpoint": None}, **changes.pop("overrides", {})}
    return make_experiment(folder, name, val=None, overrides=overrides, **changes)


def valley(lowest, noise=0.0):
    """Return losses over RATES that fall from 1.5 to 1 at the rate `lowest` and rise beyond it."""
    decades = np.log10(RATES / lowest)
    losses = 1.5 - 0.5 * np.exp(-0.5 * (decades / 0.5) ** 2) + np.maximum(decades, 0) ** 2
    return list(losses + np.random.default_rng(0).normal(0, noise, len(RATES)))


@pytest.mark.parametrize("lowest", [1e-3, 0.05, 0.4])
def test_suggestion_is_a_fifth_of_the_rate_with_the_lowest_loss(lowest):
    assert suggest(RATES, smooth(valley(lowest), 121)) == pytest.approx(lowest / 5, rel=0.15)
    # Single steps scatter by a tenth of the fall and more.
    assert suggest(RATES, smooth(valley(lowest, 0.07), 121)) == pytest.approx(lowest / 5, rel=1)


def test_loss_that_never_falls_suggests_nothing():
    flat = smooth([1.0] * 60 + [1.0 + step / 10 for step in range(61)], 121)
    assert suggest(RATES, flat) is None
    found = {"suggested": None, "rates": list(RATES), "configured": 0.08}
    assert "No learning rate between 1e-05 and 10 made the loss fall" in describe(found, "detector")


def test_smoothing_does_not_shift():
    losses = [abs(step - 60) for step in range(121)]
    assert int(np.argmin(smooth(losses, 121))) == 60
    assert smooth([2.0] * 10, 121) == pytest.approx([2.0] * 10)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        pytest.param([1.0], False, id="first"),
        pytest.param([math.nan], True, id="no number"),
        pytest.param([1.0, 1.0, 1.0, 9.0], False, id="one batch"),
        pytest.param([1.0, 1.0, 1.0, 9.0, 9.0, 9.0], True, id="three batches"),
        pytest.param([9.0, 9.0, 9.0, 1.0, 1.0, 1.0], False, id="falling"),
    ],
)
def test_one_bad_batch_is_no_end(losses, expected):
    assert blown_up(losses) is expected


def test_words_say_how_to_set_the_rate():
    found = {"suggested": 0.043, "lowest_at": 0.217, "configured": 0.4, "stopped": "the loss blew up", "rates": [1]}
    assert "It has 0.4 now. To set it: experiments: {detector: {learning_rate: 0.043}}" in describe(found, "detector")
    assert "The 0.08 that it has now is as good" in describe({**found, "configured": 0.08}, "detector")


def test_optimizer_is_that_of_the_training_with_a_rising_rate(folder):
    from official.modeling.optimization.optimizer_factory import OptimizerFactory

    config = read_experiment(experiment(folder, "curve", train_steps=120), FACTORY)
    risen = rising(config, 61)
    schedule = OptimizerFactory(risen.trainer.optimizer_config).build_learning_rate()
    rates = [float(schedule(step)) for step in range(61)]
    assert rates == pytest.approx(np.geomspace(LOWEST, HIGHEST, 61), rel=1e-4)
    assert risen.trainer.optimizer_config.optimizer == config.trainer.optimizer_config.optimizer
    assert risen.task == config.task
    assert peak_of(config) == 0.02
    assert config.trainer.train_steps == 120


def test_peak_of_other_schedules(folder):
    def peak(kind, **fields):
        rate = {"trainer": {"optimizer_config": {"learning_rate": {"type": kind, kind: fields}}}}
        return peak_of(read_experiment(experiment(folder, kind, overrides=rate), FACTORY))

    assert peak("stepwise", boundaries=[2, 4], values=[0.3, 0.5, 0.1]) == 0.5
    assert peak("constant", learning_rate=0.25) == 0.25


def test_real_steps_end_when_the_loss_blows_up_and_leave_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # Few steps are enough where no training survives the rates.
    monkeypatch.setattr(rate_finding, "HIGHEST", 1e9)
    path = experiment(folder, "real", train_steps=15)
    before, stream = sorted(folder.rglob("*")), io.StringIO()
    found = find_rate(path, FACTORY, stream=stream)
    assert found["stopped"] == "the loss blew up"
    assert 3 < len(found["losses"]) < 15
    assert len(found["losses"]) == len(found["rates"]) == len(found["smoothed"])
    assert found["rates"] == pytest.approx(np.geomspace(LOWEST, 1e9, 15)[: len(found["rates"])])
    assert all(map(math.isfinite, found["losses"]))
    assert found["configured"] == 0.02
    assert json.loads(json.dumps(found)) == found
    assert "Starting from random weights." in stream.getvalue()
    assert sorted(folder.rglob("*")) == before
    # TensorFlow itself drops files of generated code there.
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
