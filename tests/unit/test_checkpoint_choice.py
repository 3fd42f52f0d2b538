"""Which weights are exported: those that are asked for, or an error that names those at hand."""

import json

import pytest

from odtl.errors import InputError
from odtl.export.choice import choose
from odtl.last_model import model_id
from odtl.training_state import State

SUFFIXES = (".data-00000-of-00001", ".index")


class Training:
    """A finished training of 60 steps, best at 40, with the weights of 20, 40 and 60 kept."""

    def __init__(self, folder):
        self.state, self.path = folder / "training", folder / "checkpoint/training.json"
        self.path.parent.mkdir()
        for step in (20, 40, 60):
            prefix = State.kept_in(self.state, step)
            (self.state / "kept" / str(step)).mkdir(parents=True)
            for suffix in SUFFIXES:
                with open(prefix + suffix, "w") as stream:
                    stream.write(f"weights of step {step}")
        self.summary = {
            "steps": 60,
            "exported": {"step": 40, "reason": "best AP on the validation images: 0.5000"},
            "kept": {str(step): model_id(State.kept_in(self.state, step)) for step in (20, 40, 60)},
        }
        self.write()

    def write(self, **changes):
        self.path.write_text(json.dumps({**self.summary, **changes}))

    def choose(self, wanted):
        return choose(wanted, self.path, self.state)


@pytest.fixture
def training(tmp_path):
    return Training(tmp_path)


def test_the_best_is_the_declared_checkpoint(training):
    choice = training.choose("best")
    assert (choice.step, choice.reason) == (40, "best AP on the validation images: 0.5000")
    assert choice.prefix == str(training.path.parent / "ckpt")
    assert training.choose(40).prefix == choice.prefix
    assert training.choose(40).reason == (
        "step 40, as `export.checkpoint` asks for; they have the best AP on the validation images: 0.5000"
    )


@pytest.mark.parametrize(
    ("wanted", "step", "reason"),
    [
        ("last", 60, "the last weights, as `export.checkpoint` asks for"),
        (60, 60, "step 60, as `export.checkpoint` asks for"),
        (20, 20, "step 20, as `export.checkpoint` asks for"),
    ],
)
def test_others_are_taken_from_where_the_training_kept_them(training, wanted, step, reason):
    choice = training.choose(wanted)
    assert (choice.wanted, choice.step, choice.reason) == (wanted, step, reason)
    assert choice.prefix == State.kept_in(training.state, step)


def test_the_last_that_is_the_best_needs_no_other_place(training):
    training.write(exported={"step": 60, "reason": "last weights: there are no validation images"}, kept={})
    assert training.choose("last").prefix == training.choose("best").prefix == str(training.path.parent / "ckpt")


def test_a_step_that_was_not_kept_is_an_error_that_names_the_others(training):
    with pytest.raises(
        InputError, match=r"step 30, which was not kept\. At hand are the steps 20, 40, 60; the best is 40"
    ):
        training.choose(30)


def test_weights_that_are_gone_or_others_are_not_exported(training):
    (training.state / "kept/60/ckpt.data-00000-of-00001").write_text("others")
    with pytest.raises(InputError, match="other weights of step 60 than the training has left"):
        training.choose("last")
    (training.state / "kept/60/ckpt.index").unlink()
    with pytest.raises(InputError, match="no weights of step 60, though they were kept"):
        training.choose(60)


def test_state_keeps_what_it_is_told_to(tmp_path):
    class Weights:
        def write(self, prefix):
            for suffix in SUFFIXES:
                with open(prefix + suffix, "w") as stream:
                    stream.write(prefix)

    state = State(tmp_path / "state", {"of": "a training"})
    for step in (10, 20, 30, 40):
        assert state.keep(Weights(), step) == state.kept(step) == State.kept_in(tmp_path / "state", step)
    state.keep_only([20, 40, 50])
    assert state.kept_steps() == [20, 40]
    # What comes after the step that a run goes on from is not of that run.
    state.rewind(30)
    assert state.kept_steps() == [20]
