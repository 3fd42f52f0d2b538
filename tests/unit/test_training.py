"""Training, for real but tiny: what it leaves, that a killed run goes on, and that states are never mixed."""

import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from odtl.checkpoints import build_model, is_whole, load_model, weights_of
from odtl.errors import InputError
from odtl.experiment import build_experiment, read_experiment, write_experiment
from odtl.records import frame, serialize
from odtl.training import Score, State, best_of, train

FACTORY = "retinanet_mobile_coco"
STEPS = 6
RATE = 0.02
SETTINGS = {
    "task": {
        "model": {
            "backbone": {"type": "mobilenet", "mobilenet": {"model_id": "MobileNetV2", "filter_size_scale": 0.35}},
            "decoder": {"type": "fpn", "fpn": {"num_filters": 16, "use_separable_conv": True}},
            "head": {"num_convs": 1, "num_filters": 16, "use_separable_conv": True},
            "min_level": 3,
            "max_level": 4,
            "norm_activation": {"activation": "relu6"},
            # NMS over thousands of boxes of an untrained model takes longer than all the rest.
            "detection_generator": {"pre_nms_top_k": 50, "max_num_detections": 10},
        }
    }
}


class Killed(BaseException):
    """What stands for a kill: no handler in the code takes it."""


def write_images(path, count, boxes=True):
    """Write a record of squares on a plain ground, all of one class."""
    generator = np.random.default_rng(0)
    with open(path, "wb") as file:
        for number in range(count):
            pixels = np.full((48, 64, 3), 90, np.uint8)
            x, y = generator.integers(0, 40, 2) % np.array([40, 24])
            pixels[y : y + 24, x : x + 24] = (220, 40, 40)
            encoded = io.BytesIO()
            Image.fromarray(pixels).save(encoded, "JPEG")
            corners = {"xmin": x / 64, "xmax": (x + 24) / 64, "ymin": y / 48, "ymax": (y + 24) / 48}
            features = {
                "image/height": [48],
                "image/width": [64],
                "image/source_id": [str(number + 1).encode()],
                "image/encoded": [encoded.getvalue()],
                "image/format": [b"jpeg"],
                **{f"image/object/bbox/{key}": [float(value)] if boxes else [] for key, value in corners.items()},
                "image/object/class/label": [1] if boxes else [],
            }
            file.write(frame(serialize(features)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    write_images(folder / "train.tfrecord", 8)
    write_images(folder / "val.tfrecord", 3)
    write_images(folder / "background.tfrecord", 2, boxes=False)
    return folder


def make_experiment(folder, name, val="val", **changes):
    schedule = {
        "train_steps": STEPS,
        "batch_size": 2,
        "learning_rate": RATE,
        "warmup_steps": 2,
        "validation_interval": 3,
        "checkpoint_interval": 2,
        "image_size": 64,
        "augmentation": {"hflip": True, "scale_min": 0.8, "scale_max": 1.2},
        "freeze_backbone": False,
        "seed": 1,
        **changes,
    }
    summary = {"images": 8, "max_boxes": 1, "image_bytes": 8000}
    records = [str(folder / f"{val}.tfrecord")] if val else []
    experiment = build_experiment(
        FACTORY,
        SETTINGS,
        schedule,
        1,
        [str(folder / "train.tfrecord")],
        records,
        summary,
        {**summary, "images": len(records)},
        str(folder / "pretrained"),
        ["backbone", "decoder", "head"],
    )
    write_experiment(experiment, folder / f"{name}.yaml")
    return folder / f"{name}.yaml"


def run(folder, path, name, fingerprint="data", **options):
    stream = io.StringIO()
    summary = train(
        path,
        FACTORY,
        folder / name,
        folder / f"{name}-ckpt",
        fingerprint,
        folder / f"{name}.json",
        stream=stream,
        **options,
    )
    return summary, stream.getvalue()


@pytest.fixture(scope="module")
def killed(folder):
    """A training that was killed while it wrote its checkpoint of step 4, and what it told."""
    path = make_experiment(folder, "experiment")
    config = read_experiment(path, FACTORY)
    weights_of(build_model(config)).write(str(folder / "pretrained"))
    save = State.save

    def save_and_die(self, checkpoint, step):
        save(self, checkpoint, step)
        if step == 4:
            data = self.folder / "checkpoints" / "ckpt-4.data-00000-of-00001"
            data.write_bytes(data.read_bytes()[:-5000])
            raise Killed

    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(State, "save", save_and_die)
        train(path, FACTORY, folder / "state", folder / "state-ckpt", "data", folder / "state.json", stream=stream)
    return path, stream.getvalue()


@pytest.fixture(scope="module")
def resumed(folder, killed):
    """The same training, called again."""
    return run(folder, killed[0], "state")


def test_killed_run_leaves_no_result_and_a_whole_checkpoint(folder, killed):
    assert not list(folder.glob("state-ckpt*"))
    assert not (folder / "state.json").exists()
    assert is_whole(folder / "state/best/3/ckpt")


def test_run_tells_what_it_does(killed):
    lines = killed[1].splitlines()
    assert "taken are the weights of backbone 260 of 260, decoder" in lines[0]
    assert "Fresh are head/_classifier/bias, head/_classifier/pointwise_kernel." in lines[1]
    assert lines[2].startswith("Tracing the graph")
    assert any(line.startswith("step 3/6: validation AP") for line in lines)


def test_resumed_run_goes_on_from_the_last_whole_checkpoint(resumed):
    summary, told = resumed
    assert "Going on from step 3 of 6." in told
    assert (summary["steps"], summary["resumed_at"]) == (STEPS, 3)


def test_steps_and_learning_rate_go_on_as_if_nothing_had_happened(resumed):
    summary, _ = resumed
    steps = [entry["step"] for entry in summary["loss"]]
    assert steps == sorted(set(steps))
    assert steps[-1] == STEPS
    for entry in summary["loss"]:
        step = entry["step"]
        cosine = RATE * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        # The warm-up rises from a tenth of the peak to where the cosine stands at its end.
        after = RATE * 0.5 * (1 + math.cos(math.pi * 2 / STEPS))
        expected = cosine if step >= 2 else RATE / 10 + (after - RATE / 10) * step / 2
        assert entry["learning_rate"] == pytest.approx(expected, rel=1e-5)


def test_momentum_is_resumed_too(folder, resumed):
    import tensorflow as tf

    names = [name for name, _ in tf.train.list_variables(str(folder / "state/checkpoints/ckpt-6"))]
    assert any("momentum" in name for name in names)
    assert len(list((folder / "state/checkpoints").glob("*.index"))) == 2


def test_summary_says_what_was_exported_and_restored(folder, resumed):
    summary, _ = resumed
    assert json.loads((folder / "state.json").read_text()) == summary
    assert [entry["step"] for entry in summary["validation"]] == [3, 6]
    best = max(summary["validation"], key=lambda entry: (entry["AP"], entry["step"]))
    assert summary["exported"]["step"] == summary["best"]["step"] == best["step"]
    assert summary["restored"]["parts"]["backbone"] == {"taken": 260, "of": 260}
    assert set(summary["restored"]["fresh"]) == {"head/_classifier/bias", "head/_classifier/pointwise_kernel"}
    assert summary["fingerprint"] == "data"
    assert summary["versions"]["tensorflow"].startswith("2.")


def test_exported_weights_are_the_best_ones_and_load(folder, killed, resumed):
    model, _ = load_model(killed[0], FACTORY, folder / "state-ckpt")
    kept = folder / f"state/best/{resumed[0]['exported']['step']}/ckpt"
    other, _ = load_model(killed[0], FACTORY, kept)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(model.weights, other.weights, strict=True))


def test_tensorboard_has_loss_learning_rate_and_ap(folder, resumed):
    from tensorflow.python.summary.summary_iterator import summary_iterator

    def tags(name):
        files = (folder / f"state/events/{name}").glob("events*")
        return {value.tag for file in files for event in summary_iterator(str(file)) for value in event.summary.value}

    assert {"training_loss", "learning_rate"} <= tags("train")
    assert {"AP", "AP50"} <= tags("validation")


def test_finished_run_is_not_trained_again(folder, killed, resumed):
    summary, told = run(folder, killed[0], "state")
    assert "Tracing" not in told
    assert summary["exported"] == resumed[0]["exported"]


def test_images_without_objects_make_the_last_weights_the_result(folder, killed):
    path = make_experiment(folder, "background", val="background", train_steps=1, warmup_steps=0)
    summary, told = run(folder, path, "background")
    assert "not defined (no objects to find)" in told
    assert summary["best"] is None
    assert summary["exported"] == {"step": 1, "reason": "last weights: no evaluation could tell an AP"}
    assert is_whole(folder / "background-ckpt")


def test_diverged_training_stops_with_advice_and_without_result(folder, killed):
    path = make_experiment(folder, "diverged", val=None, learning_rate=1e30, warmup_steps=0)
    with pytest.raises(InputError, match="lower learning_rate"):
        run(folder, path, "diverged")
    assert not list(folder.glob("diverged-ckpt*"))


def fill(folder):
    for name in ("checkpoints", "best/3", "events/train"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("content")


def test_state_of_another_fingerprint_is_removed_and_nothing_else(tmp_path):
    state = State(tmp_path, {"given": {"records": "a"}})
    fill(tmp_path)
    state.record(3, loss=1.0)
    (tmp_path / "notes.txt").write_text("mine")
    same = State(tmp_path, {"given": {"records": "a"}})
    assert same.history() == [{"step": 3, "loss": 1.0}]
    other = State(tmp_path, {"given": {"records": "b"}})
    assert other.history() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fingerprint.json", "notes.txt"]


@pytest.mark.parametrize("content", [None, "", "{"])
def test_state_without_a_readable_fingerprint_belongs_to_nobody(tmp_path, content):
    fill(tmp_path)
    if content is not None:
        (tmp_path / "fingerprint.json").write_text(content)
    State(tmp_path, "a")
    assert [path.name for path in tmp_path.iterdir()] == ["fingerprint.json"]


def test_history_survives_a_line_cut_short(tmp_path):
    state = State(tmp_path, "a")
    state.record(1, loss=1.0)
    state.record(2, AP=0.5, AP50=0.75)
    (tmp_path / "history.jsonl").open("a").write('{"step": 3, "lo')
    assert [entry["step"] for entry in state.history()] == [1, 2]
    state.rewind(1)
    state.record(2, loss=0.5)
    assert state.history() == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]


def test_best_is_the_highest_known_ap_and_of_equal_ones_the_latest():
    scores = [Score(1, 0.5, 0.9), Score(2, -1.0, -1.0), Score(3, 0.5, 0.8), Score(4, 0.4, 0.9), Score(5, math.nan, 0.0)]
    assert best_of(scores) == scores[2]
    assert best_of([scores[1], scores[4]]) is None
    assert best_of([]) is None
