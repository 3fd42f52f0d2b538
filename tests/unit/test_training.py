"""Training, for real but tiny: what it leaves, that a killed run goes on, and that states are never mixed."""

import io
import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from odtl import training
from odtl.checkpoints import build_model, is_whole, load_model, weights_of
from odtl.errors import InputError
from odtl.experiment import build_experiment, read_experiment, write_experiment
from odtl.last_model import Data, model_id, read_last
from odtl.records import frame, serialize
from odtl.training import train, trainer
from odtl.training.options import Options
from odtl.training_state import State
from odtl.warm_start import WarmStart, settings_of, shorten

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


ALWAYS = {"when": "always", "max_change": 0.1, "train_steps": 0.5, "learning_rate": 0.25}
ORIGIN = {"model": "tiny", "sha256": "abc"}
FIRST = WarmStart(ALWAYS, Data({f"{number}.jpg": "first" for number in range(8)}, {"square": 1}), ORIGIN)
# One image relabelled, and a class that takes the first id.
RELABELLED = Data({**FIRST.data.images, "0.jpg": "relabelled"}, {"disc": 1, "square": 2})


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


def make_experiment(folder, name, val="val", classes=1, images=8, overrides=None, **changes):
    schedule = {
        "train_steps": STEPS,
        "batch_size": 2,
        "learning_rate": RATE,
        "warmup_steps": 2,
        "validation_interval": 3,
        "image_size": 64,
        "augmentation": {"hflip": True, "scale_min": 0.8, "scale_max": 1.2},
        "seed": 1,
        **changes,
    }
    summary = {"images": images, "max_boxes": images, "image_bytes": 1000 * images}
    records = [str(folder / f"{val}.tfrecord")] if val else []
    overrides = overrides or {}
    overrides = {**overrides, "trainer": {"checkpoint_interval": 2, **overrides.get("trainer", {})}}
    experiment = build_experiment(
        FACTORY,
        SETTINGS,
        schedule,
        classes,
        [str(folder / "train.tfrecord")],
        records,
        summary,
        {**summary, "images": len(records)},
        str(folder / "pretrained"),
        ["backbone", "decoder", "head"],
        overrides,
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

    def die(state):
        data = state.folder / "checkpoints" / "ckpt-4.data-00000-of-00001"
        data.write_bytes(data.read_bytes()[:-5000])
        raise Killed

    return path, run_until(4, die, folder, path, "state", warm_start=FIRST)


def run_until(last, die, folder, path, name, **options):
    """Train until the checkpoint of step `last` is written, call `die` with the state, and return what was told."""
    save, stream = State.save, io.StringIO()

    def save_and_die(self, checkpoint, step):
        save(self, checkpoint, step)
        if step == last:
            die(self)

    options = {"fingerprint": "data", **options}
    out = (folder / name, folder / f"{name}-ckpt", options.pop("fingerprint"), folder / f"{name}.json")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(State, "save", save_and_die)
        train(path, FACTORY, *out, stream=stream, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def resumed(folder, killed):
    """The same training, called again."""
    return run(folder, killed[0], "state", warm_start=FIRST)


@pytest.fixture(scope="module")
def warm_killed(folder, resumed):
    """A warm training after a relabel, killed after its second step of three, and what it told."""

    def die(state):
        raise Killed

    shutil.copytree(folder / "state", folder / "warm")
    path = make_experiment(folder, "grown", classes=2)
    told = run_until(
        2, die, folder, path, "warm", fingerprint="relabelled", warm_start=WarmStart(ALWAYS, RELABELLED, ORIGIN)
    )
    shutil.copytree(folder / "warm", folder / "warm-as-killed")
    return path, told


@pytest.fixture(scope="module")
def warm_resumed(folder, warm_killed):
    """The same training, called again."""
    return run(folder, warm_killed[0], "warm", "relabelled", warm_start=WarmStart(ALWAYS, RELABELLED, ORIGIN))


def start_of(folder, state, path, fingerprint="data", **options):
    """Return (plan, step of the checkpoint it would go on from or None) of a training, without running it."""
    found = []

    def look(plan, options, state, *others):
        found.append((plan, state.latest()))
        raise Killed

    copy = folder / f"{state}-copy"
    shutil.copytree(folder / state, copy)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "Run", look)
        train(path, FACTORY, copy, copy / "ckpt", fingerprint, copy / "json", **options)
    shutil.rmtree(copy)
    plan, latest = found[0]
    return plan, latest and latest[0]


def test_killed_run_leaves_no_result_and_a_whole_checkpoint(folder, killed):
    assert not list(folder.glob("state-ckpt*"))
    assert not (folder / "state.json").exists()
    assert is_whole(folder / "state/best/3/ckpt")


def test_run_tells_what_it_does(killed):
    lines = killed[1].splitlines()
    assert lines[0] == "Full training: there is no last model to start from."
    assert lines[1].startswith("Starting from ")
    assert lines[2].startswith("Taken are the weights of backbone 260 of 260, decoder ")
    assert "Fresh are head/_classifier/bias (depends on the classes" in lines[2]
    assert lines[3].startswith("Tracing the graph")
    assert any(line.startswith("step 3/6: validation AP") for line in lines)


def test_resumed_run_goes_on_from_the_last_whole_checkpoint(resumed):
    summary, told = resumed
    assert "Going on from step 3 of 6." in told
    assert (summary["steps"], summary["resumed_at"]) == (STEPS, 3)


def check_learning_rate(summary, resumed_at, total, peak, warmup):
    """Assert that each step was done once and that all learning rates lie on one curve, before and after the kill."""
    steps = [entry["step"] for entry in summary["loss"]]
    assert steps == sorted(set(steps))
    assert steps[0] < resumed_at < steps[-1] == total
    # The warm-up rises from a tenth of the peak to where the cosine stands at its end.
    after = peak * 0.5 * (1 + math.cos(math.pi * warmup / total))
    for entry in summary["loss"]:
        step = entry["step"]
        cosine = peak * 0.5 * (1 + math.cos(math.pi * step / total))
        expected = cosine if step >= warmup else peak / 10 + (after - peak / 10) * step / warmup
        assert entry["learning_rate"] == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_steps_and_learning_rate_go_on_as_if_nothing_had_happened(resumed):
    check_learning_rate(resumed[0], resumed_at=3, total=STEPS, peak=RATE, warmup=2)


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


def test_tensorboard_has_loss_learning_rate_ap_and_examples(folder, resumed):
    from tensorflow.python.summary.summary_iterator import summary_iterator

    def tags(name):
        files = (folder / f"state/events/{name}").glob("events*")
        return {value.tag for file in files for event in summary_iterator(str(file)) for value in event.summary.value}

    losses = {"loss/total", "loss/cls", "loss/box"}
    assert {*losses, "learning_rate"} <= tags("train")
    assert {*losses, "AP/AP", "AP/AP50", "examples/1", "examples/2", "examples/3"} <= tags("validation")


def test_finished_run_is_not_trained_again(folder, killed, resumed):
    summary, told = run(folder, killed[0], "state", warm_start=FIRST)
    assert "Tracing" not in told
    assert summary["exported"] == resumed[0]["exported"]


def test_state_is_gone_on_from_only_with_the_same_data_and_settings(folder, killed, resumed):
    figures = {"mean": [0.5] * 3, "stddev": [0.5] * 3}
    path, other = killed[0], make_experiment(folder, "other", learning_rate=RATE / 2)
    assert start_of(folder, "state", path, warm_start=FIRST)[1] == STEPS
    assert start_of(folder, "state", path)[1] == STEPS
    assert start_of(folder, "state", path, fingerprint="other data")[1] is None
    assert start_of(folder, "state", other)[1] is None
    assert start_of(folder, "state", path, normalisation=figures)[1] is None


def test_finished_training_leaves_its_model_and_where_it_comes_from(folder, resumed):
    pretrained, entry = resumed[0]["lineage"]
    assert pretrained == {"pretrained": ORIGIN}
    assert (entry["steps"], entry["started_from"], entry["AP"]) == (STEPS, "pretrained", resumed[0]["best"]["AP"])
    assert entry["data"] == {"digest": FIRST.data.digest, "images": 8}
    last = read_last(folder / "state/last")
    assert last.model == entry["model"] == model_id(folder / "state-ckpt")
    assert last.data == FIRST.data


def test_relabelled_training_starts_from_the_last_model(folder, warm_killed, warm_resumed):
    lines = warm_killed[1].splitlines()
    assert lines[0].startswith("Starting from the last model (6 steps on 20")
    assert lines[0].endswith("): 1 of 8 train and val images differ (12.5 %: 1 changed); new classes: disc.")
    summary, _ = warm_resumed
    parts = summary["restored"]["parts"]
    assert all(part["taken"] == part["of"] for part in parts.values())
    assert list(parts) == ["backbone", "decoder", "head"]
    assert summary["started_from"] == "last model"


def test_killed_warm_training_leaves_the_last_model_alone(folder, resumed, warm_killed):
    assert read_last(folder / "warm-as-killed/last").model == resumed[0]["lineage"][-1]["model"]


def test_killed_warm_training_goes_on_as_the_same_warm_training(warm_resumed):
    summary, told = warm_resumed
    assert "Going on from step 2 of 3." in told
    assert (summary["steps"], summary["resumed_at"]) == (3, 2)
    check_learning_rate(summary, resumed_at=2, total=3, peak=RATE / 4, warmup=1)


def test_killed_warm_training_goes_on_only_as_the_configuration_has_it(folder, warm_killed):
    def at(data=RELABELLED, fingerprint="relabelled", **policy):
        warm_start = WarmStart({**ALWAYS, **policy}, data, ORIGIN)
        plan, step = start_of(folder, "warm-as-killed", warm_killed[0], fingerprint, warm_start=warm_start)
        return plan.start.parent is not None, plan.config.trainer.train_steps, step

    assert at() == (True, 3, 2)
    assert at(when="never") == (False, STEPS, None)
    assert at(train_steps=1 / 3) == (True, 2, None)
    again = Data({**RELABELLED.images, "1.jpg": "relabelled"}, RELABELLED.label_map)
    assert at(again, "relabelled again") == (True, 3, None)
    assert at(when="small_change") == (False, STEPS, None)
    assert at(when="small_change", max_change=0.2) == (True, 3, 2)


def test_lineage_names_each_model_and_what_it_learnt_from(folder, resumed, warm_resumed):
    first, second = resumed[0]["lineage"], warm_resumed[0]["lineage"]
    assert second[:2] == first
    entry = second[2]
    assert entry["started_from"] == first[-1]["model"]
    assert entry["data"] == {"digest": RELABELLED.digest, "images": 8, "added": 0, "removed": 0, "changed": 1}
    assert entry["model"] == model_id(folder / "warm-ckpt")
    assert (entry["steps"], entry["AP"]) == (3, warm_resumed[0]["best"]["AP"])
    assert json.loads((folder / "warm.json").read_text())["lineage"] == second


def test_finished_warm_training_is_not_trained_again(folder, warm_killed, warm_resumed):
    """Although the last model is its own by now."""
    assert read_last(folder / "warm/last").model == warm_resumed[0]["lineage"][-1]["model"]
    plan, step = start_of(
        folder, "warm", warm_killed[0], "relabelled", warm_start=WarmStart(ALWAYS, RELABELLED, ORIGIN)
    )
    assert step == 3
    assert plan.start.parent == warm_resumed[0]["lineage"][-2]["model"]


def test_images_without_objects_make_the_last_weights_the_result(folder, killed):
    path = make_experiment(folder, "background", val="background", train_steps=1, warmup_steps=0)
    summary, told = run(folder, path, "background")
    assert "not defined (no objects to find)" in told
    assert summary["best"] is None
    assert summary["exported"] == {"step": 1, "reason": "last weights: no evaluation could tell an AP"}
    assert is_whole(folder / "background-ckpt")


def test_diverged_training_stops_with_advice_and_without_result(folder, killed):
    path = make_experiment(folder, "diverged", val=None, learning_rate=1e30, warmup_steps=0)
    with pytest.raises(InputError, match=r"Lower it, to .* or raise warmup_steps"):
        run(folder, path, "diverged")
    assert not list(folder.glob("diverged-ckpt*"))


def test_training_ends_where_the_ap_no_longer_rises_and_goes_on_with_more_patience(folder, killed):
    # Such small steps change nothing: every evaluation gives the same AP.
    path = make_experiment(folder, "stopped", train_steps=8, validation_interval=2, learning_rate=1e-12)
    impatient = Options(early_stopping={"patience": 1, "min_delta": 0.0})
    summary, told = run(folder, path, "stopped", options=impatient)
    assert "Stopped early at step 4 of 8: " in told
    assert summary["stopped_early"] == "no better AP in the last evaluation (best AP 0.000)"
    assert (summary["steps"], summary["planned_steps"]) == (4, 8)
    assert [entry["step"] for entry in summary["validation"]] == [2, 4]
    summary, told = run(folder, path, "stopped", options=impatient)
    assert "the model is kept" in told
    assert summary["steps"] == 4
    summary, told = run(folder, path, "stopped")
    assert "Going on from step 4 of 8." in told
    assert (summary["steps"], summary["stopped_early"]) == (8, None)
    # What it has learnt since then it would not have.
    summary, told = run(folder, path, "stopped", options=impatient)
    assert summary["resumed_at"] is None
    assert (summary["steps"], summary["exported"]["step"]) == (4, 4)
    assert [entry["step"] for entry in summary["validation"]] == [2, 4]


def test_frozen_layers_keep_their_weights_and_statistics(folder, killed):
    path = make_experiment(folder, "frozen", val=None, train_steps=2, warmup_steps=0, learning_rate=0.5)
    run(folder, path, "frozen", options=Options(freeze=2))
    trained, config = load_model(path, FACTORY, folder / "frozen-ckpt")
    before = build_model(config)
    weights_of(before).read(str(folder / "pretrained")).expect_partial()
    layers = [
        [np.allclose(one, two) for one, two in zip(old.get_weights(), new.get_weights(), strict=True)]
        for old, new in zip(before.backbone.layers, trained.backbone.layers, strict=True)
        if old.weights
    ]
    assert all(all(same) for same in layers[:2])
    assert not any(all(same) for same in layers[2:])


def test_folded_statistics_are_measured_on_images_that_are_augmented(folder, killed):
    path = make_experiment(folder, "folded", val=None, train_steps=2, warmup_steps=0)
    more = Options(augmentation={"color": 0.3, "aspect": 1.3, "mosaic": 0.5})
    summary, told = run(folder, path, "folded", options=more, folded_batch_norm=True)
    assert "Measured are the statistics of 52 layers of batch normalisation" in told
    assert summary["steps"] == 2
    assert all(np.isfinite(entry["loss"]) for entry in summary["loss"])


def test_more_layers_to_freeze_than_there_are_is_refused(folder, killed):
    path = make_experiment(folder, "frozen", val=None)
    with pytest.raises(InputError, match=r"freeze.*99.*The backbone has \d+ layers"):
        run(folder, path, "refused", options=Options(freeze=99))


def fill(folder):
    for name in ("checkpoints", "best/3", "events/train", "last"):
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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fingerprint.json", "last", "notes.txt"]


@pytest.mark.parametrize("content", [None, "", "{"])
def test_state_without_a_readable_fingerprint_belongs_to_nobody(tmp_path, content):
    fill(tmp_path)
    if content is not None:
        (tmp_path / "fingerprint.json").write_text(content)
    State(tmp_path, "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fingerprint.json", "last"]


def test_history_survives_a_line_cut_short(tmp_path):
    state = State(tmp_path, "a")
    state.record(1, loss=1.0)
    state.record(2, AP=0.5, AP50=0.75)
    (tmp_path / "history.jsonl").open("a").write('{"step": 3, "lo')
    assert [entry["step"] for entry in state.history()] == [1, 2]
    state.rewind(1)
    state.record(2, loss=0.5)
    assert state.history() == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]


def test_data_are_no_setting(folder):
    def settings(**changes):
        return settings_of(read_experiment(make_experiment(folder, "settings", **changes), FACTORY), factory=FACTORY)

    assert settings() == settings(images=500, classes=3, val=None)
    changed = settings(learning_rate=RATE / 2)
    assert [key for key, value in settings().items() if changed[key] != value] == [
        "trainer.optimizer_config.learning_rate.cosine.initial_learning_rate",
        "trainer.optimizer_config.warmup.linear.warmup_learning_rate",
    ]


def test_shorter_schedule_has_the_same_form(folder):
    path = make_experiment(folder, "long", train_steps=601, warmup_steps=50, validation_interval=150)
    config = read_experiment(path, FACTORY)
    short = shorten(config, 0.25, 0.1)
    trainer, optimizer = short.trainer, short.trainer.optimizer_config
    assert (trainer.train_steps, trainer.validation_interval, trainer.checkpoint_interval) == (151, 38, 2)
    assert optimizer.learning_rate.cosine.decay_steps == 151
    assert optimizer.learning_rate.cosine.initial_learning_rate == pytest.approx(RATE * 0.1)
    assert optimizer.warmup.linear.warmup_steps == 12
    assert optimizer.warmup.linear.warmup_learning_rate == pytest.approx(RATE * 0.01)
    assert short.task.as_dict() == config.task.as_dict()
    assert config.trainer.train_steps == 601


def test_shorter_schedule_of_another_kind(folder):
    stepwise = {"type": "stepwise", "stepwise": {"boundaries": [300, 500], "values": [1, 0.1, 0.01]}}
    overrides = {"trainer": {"optimizer_config": {"learning_rate": stepwise}}}
    config = read_experiment(make_experiment(folder, "stepwise", overrides=overrides), FACTORY)
    chosen = shorten(config, 0.25, 0.5).trainer.optimizer_config.learning_rate.stepwise
    assert chosen.boundaries == [75, 125]
    assert chosen.values == pytest.approx([0.5, 0.05, 0.005])


def test_steps_and_evaluations_are_traced_once(folder, monkeypatch):
    traced = []

    class Counted(trainer._Traced):
        def __init__(self, step):
            super().__init__(step)
            traced.append(self)

    monkeypatch.setattr(trainer, "_Traced", Counted)
    # Several evaluations, the last batch of each not full.
    run(folder, make_experiment(folder, "traced", overrides={"task": {"init_checkpoint": None}}), "traced")
    assert [each._graph.experimental_get_tracing_count() for each in traced] == [1, 1]
