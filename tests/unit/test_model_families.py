"""Every family of models: restored from an archive as it is published, trained, evaluated, exported, detecting.

The short form takes one model of each family but that of the demo, which other tests train and export; ODTL_MODELS=all
takes every model of the zoo. Images are small, and so
are the steps: what is tested is that the parts fit together, and that every weight comes from where it should.
"""

import functools
import io
import os
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from odtl import checkpoints, label_map, zoo
from odtl.compare import Tolerances
from odtl.detector import Detector
from odtl.evaluation import evaluate
from odtl.experiment import build_experiment, write_experiment
from odtl.export.choice import Choice
from odtl.export.formats import PATHS
from odtl.export.gate import check_export
from odtl.export.graphs import export_graphs
from odtl.export.reference import write_reference
from odtl.export.sidecars import describe
from odtl.overriding import factory_config, override_config
from odtl.pretrained import fetch, folder_name
from odtl.records import frame, serialize
from odtl.training import loop, train
from odtl.warm_start import Data, WarmStart

MODELS = zoo.load([Path(__file__).parents[2] / "workflow/zoo.yaml"])
SHORT = ("retinanet_spinenet49mobile_384", "fasterrcnn_resnet50fpn_640")
ALL = os.environ.get("ODTL_MODELS") == "all"
CHOSEN = sorted(MODELS) if ALL else SHORT
# The smallest that is a multiple of the stride of the highest level.
SIZE = 128
# Umbrella and bottle are known to COCO and to the demo's weights; nobody knows a gizmo.
CLASSES = {"gizmo": 1, "Bottle": 2, "umbrella": 3}
KNOWN = {"Bottle": "bottle", "umbrella": "umbrella"}
FEW = {"pre_nms_top_k": 100, "max_num_detections": 10}
SMALL = {
    "RetinaNet": {"detection_generator": FEW},
    "Faster R-CNN": {
        "detection_generator": FEW,
        "roi_generator": {"num_proposals": 50, "test_num_proposals": 50},
        "roi_sampler": {"num_sampled_rois": 16},
    },
}


def write_records(path, count):
    """Write a record of a square of each class on a plain ground."""
    with open(path, "wb") as file:
        for number in range(count):
            pixels = np.full((96, 128, 3), 90, np.uint8)
            boxes = [(8 + 40 * place, 20 + 10 * number, 32, 40) for place in range(3)]
            for place, (x, y, width, height) in enumerate(boxes):
                pixels[y : y + height, x : x + width] = np.eye(3)[place] * 220
            encoded = io.BytesIO()
            Image.fromarray(pixels).save(encoded, "JPEG")
            features = {
                "image/height": [96],
                "image/width": [128],
                "image/filename": [f"{number}.jpg".encode()],
                "image/source_id": [str(number + 1).encode()],
                "image/encoded": [encoded.getvalue()],
                "image/format": [b"jpeg"],
                "image/object/bbox/xmin": [x / 128 for x, _, _, _ in boxes],
                "image/object/bbox/xmax": [(x + width) / 128 for x, _, width, _ in boxes],
                "image/object/bbox/ymin": [y / 96 for _, y, _, _ in boxes],
                "image/object/bbox/ymax": [(y + height) / 96 for _, y, _, height in boxes],
                "image/object/class/label": [1, 2, 3],
            }
            file.write(frame(serialize(features)))


def config_of(entry):
    """Return the ExperimentConfig that a model's weights are published with."""
    if entry.trained_on == "ImageNet (backbone)":
        config = factory_config("resnet_imagenet" if "resnet" in entry.name else "mobilenet_imagenet")
        model = {"backbone": entry.settings["task"]["model"]["backbone"], "input_size": [SIZE, SIZE, 3]}
        return override_config(config, {"task": {"model": {"num_classes": 11, **model}}}, entry.name)
    config = override_config(factory_config(entry.factory), entry.settings, entry.name)
    classes = max(entry.classes.values()) + 1
    return override_config(config, {"task": {"model": {"num_classes": classes, "input_size": [SIZE, SIZE, 3]}}}, "test")


def publish(entry, folder):
    """Write a checkpoint with known values as official.vision's trainer does, packed as it is published.

    Returns part -> the values of its weights.
    """
    import tensorflow as tf

    model = checkpoints.build_model(config_of(entry))
    generator = np.random.default_rng(0)
    for weight in model.weights:
        near = 1.0 if "gamma" in weight.name or "variance" in weight.name else 0.0
        weight.assign(near + generator.normal(0, 0.02, weight.shape).clip(-0.05, 0.05))
    inner = folder / folder_name(entry.archive_file or f"{entry.name}.tar.gz")
    step = tf.Variable(277200, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(global_step=step, model=model, **model.checkpoint_items)
    prefix = checkpoint.write(str(inner / "ckpt-277200"))
    (inner / "checkpoint").write_text(f'model_checkpoint_path: "/elsewhere/{Path(prefix).name}"\n')
    with tarfile.open(folder / f"{inner.name}.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(inner, inner.name)
    return {part: [weight.numpy() for weight in module.weights] for part, module in model.checkpoint_items.items()}


@pytest.mark.parametrize("name", CHOSEN)
def test_model(name, tmp_path, monkeypatch):
    entry = MODELS[name]
    (tmp_path / "mirror").mkdir()
    published = publish(entry, tmp_path / "mirror")
    # The demo's weights lie in the repository: here they come from an archive like all others.
    file = entry.archive_file or f"{name}.tar.gz"
    packed = zoo.Model(**{**vars(entry), "path": None, "archive_file": file, "archive_url": None})
    source = fetch(packed, tmp_path / "pretrained", str(tmp_path / "mirror"), tmp_path / "checksums.json")
    assert source["prefix"] == f"{folder_name(file)}/ckpt-277200"

    records = {split: tmp_path / f"{split}.tfrecord" for split in ("train", "val")}
    write_records(records["train"], 3)
    write_records(records["val"], 1)
    (tmp_path / "label_map.pbtxt").write_text(label_map.format(CLASSES))
    experiment = make_experiment(entry, records, tmp_path / "pretrained" / source["prefix"])
    write_experiment(experiment, tmp_path / "experiment.yaml")

    started = {}

    def start(model, *arguments):
        loop_start(model, *arguments)
        parts = model.checkpoint_items.items()
        started.update({part: [weight.numpy() for weight in module.weights] for part, module in parts})

    loop_start = loop.start
    monkeypatch.setattr(loop, "start", start)
    told = io.StringIO()
    summary = train(
        tmp_path / "experiment.yaml",
        entry.factory,
        tmp_path / "state",
        tmp_path / "ckpt",
        "data",
        tmp_path / "training.json",
        normalisation=None,
        classes=entry.classes,
        stream=told,
        warm_start=WarmStart({"when": "never"}, Data({}, CLASSES), None),
    )
    check_restored(entry, published, started, summary["restored"])
    assert "Taken are the weights of backbone" in told.getvalue()
    trained = dict(zip(started, weights_after(tmp_path, entry, monkeypatch), strict=True))
    for part, weights in started.items():
        assert any(not np.array_equal(a, b) for a, b in zip(weights, trained[part], strict=True)), part
    if ALL or name != "retinanet_spinenet49mobile_384":
        check_exported(tmp_path, entry, records["val"])


def check_exported(tmp_path, entry, record):
    """Evaluate what was trained, export it, and detect with the export."""
    metrics = evaluate(
        tmp_path / "experiment.yaml",
        entry.factory,
        tmp_path / "ckpt",
        [record],
        tmp_path / "label_map.pbtxt",
        metrics_json=tmp_path / "metrics.json",
        per_class_csv=tmp_path / "per_class.csv",
        pr_curve_csv=tmp_path / "pr_curve.csv",
        detections_json=tmp_path / "detections.json",
        batch_size=1,
    )
    assert metrics["images"] == 1
    choice = Choice("best", 2, "", str(tmp_path / "ckpt"))
    given = tmp_path / "experiment.yaml", entry.factory
    export_graphs(
        *given, choice.prefix, tmp_path / "label_map.pbtxt", tmp_path / "saved_model", tmp_path / "frozen_graph"
    )
    images = {"test": [record]}, 1
    write_reference(
        *given, choice, tmp_path / "label_map.pbtxt", *images, tmp_path / "reference.json", tmp_path / "summary.json"
    )
    for name in ("saved_model", "frozen_graph"):
        describe(tmp_path / f"{name}.json", tmp_path / name, choice, {})
        check_export(
            name,
            tmp_path / name,
            tmp_path / f"{name}.json",
            tmp_path / "reference.json",
            tmp_path / "label_map.pbtxt",
            *images,
            Tolerances(),
            tmp_path / "export" / PATHS[name],
            tmp_path / f"export/{name}.json",
        )
    shutil.copyfile(tmp_path / "label_map.pbtxt", tmp_path / "export/label_map.pbtxt")
    pixels = np.full((1, 77, 133, 3), 90, np.uint8)
    found = Detector.load(tmp_path / "export/frozen_inference_graph.pb").detect(pixels)[0]
    assert found.boxes.shape[1] == 4


def make_experiment(entry, records, prefix):
    schedule = {
        "train_steps": 2,
        "batch_size": 1,
        "learning_rate": 0.01,
        "warmup_steps": 1,
        "validation_interval": 2,
        "image_size": SIZE,
        "augmentation": {"hflip": True, "scale_min": 1.0, "scale_max": 1.0},
        "freeze": None,
        "freeze_backbone": False,
        "seed": 1,
    }
    summary = {"images": 3, "max_boxes": 3, "image_bytes": 6000}
    small = SMALL["Faster R-CNN" if entry.family == "Faster R-CNN" else "RetinaNet"]
    return build_experiment(
        entry.factory,
        entry.settings,
        schedule,
        len(CLASSES),
        [str(records["train"])],
        [str(records["val"])],
        summary,
        {**summary, "images": 1},
        str(prefix),
        entry.restore,
        {"task": {"model": small}},
    )


def weights_after(tmp_path, entry, monkeypatch):
    """Return the weights of each part after the training; what loads the model after this gets the same one."""
    load = functools.cache(checkpoints.load_model)
    monkeypatch.setattr(checkpoints, "load_model", load)
    model, _ = load(tmp_path / "experiment.yaml", entry.factory, tmp_path / "ckpt")
    return [[weight.numpy() for weight in module.weights] for module in model.checkpoint_items.values()]


def check_restored(entry, published, started, restored):
    """Every weight of the restored parts has the value that was published, but for the classes nobody knows."""
    assert {part for part in started if part in published and part in entry.restore} == {
        part for part in entry.restore if part in started
    }
    for part in entry.restore:
        assert started[part], part
        for ours, theirs in zip(started[part], published[part], strict=True):
            if part == "head" and ours.shape != theirs.shape:
                check_rows(entry, ours, theirs)
            else:
                np.testing.assert_array_equal(ours, theirs)
        taken = restored["parts"][part]
        assert taken["taken"] == taken["of"] == len(published[part]), part
    assert restored["fresh"] == {}
    known = KNOWN if entry.classes else {}
    assert restored["classes"] == known
    assert restored["fresh_classes"] == ([name for name in CLASSES if name not in known] if entry.classes else [])


def check_rows(entry, ours, theirs):
    """The classifier has for each anchor all classes, the background first."""
    ours = ours.reshape(*ours.shape[:-1], -1, len(CLASSES) + 1)
    theirs = theirs.reshape(*theirs.shape[:-1], ours.shape[-2], -1)
    rows = {0: 0, **{CLASSES[name]: entry.classes[there] for name, there in KNOWN.items()}}
    for to, origin in rows.items():
        np.testing.assert_array_equal(ours[..., to], theirs[..., origin])
    fresh = CLASSES["gizmo"]
    assert not any(np.array_equal(ours[..., fresh], theirs[..., row]) for row in range(theirs.shape[-1]))


def test_two_stage_head_keeps_the_rows_of_known_classes(tmp_path):
    """Of the detection head of a Faster R-CNN: one score and four box offsets per class."""
    import tensorflow as tf
    from official.vision.modeling.heads.instance_heads import DetectionHead

    from odtl.restoring import restore
    from odtl.restoring.classes import ClassNames

    def detector(classes, values=None):
        head = DetectionHead(classes, num_convs=0, num_fcs=1, fc_dims=8)
        head(tf.zeros([1, 2, 3, 3, 4]))
        for number, weight in enumerate(head.weights if values else ()):
            weight.assign(tf.reshape(tf.range(tf.size(weight), dtype=tf.float32), weight.shape) + 1000 * number)
        heads = tf.train.Checkpoint(detection_head=[head]).detection_head
        return SimpleNamespace(checkpoint_items={"detection_head": heads}), head

    before, now = {"cat": 1, "dog": 2, "cow": 3}, {"bird": 1, "cow": 2}
    (_, theirs), (model, ours) = detector(4, values=True), detector(3)
    tf.train.Checkpoint(detection_head=[theirs]).write(str(tmp_path / "ckpt"))
    config = SimpleNamespace(task=SimpleNamespace(model=SimpleNamespace(num_classes=3)))
    restored = restore(model, tmp_path / "ckpt", ["head"], config, ClassNames(before, now))
    assert restored.classes == {"cow": "cow"}
    assert restored.taken["head"] == (len(ours.weights), len(ours.weights))
    for layer, each in ((("_classifier"), 1), ("_box_regressor", 4)):
        for here, there in zip(getattr(ours, layer).weights, getattr(theirs, layer).weights, strict=True):
            here, there = (value.numpy().reshape(*value.shape[:-1], -1, each) for value in (here, there))
            np.testing.assert_array_equal(here[..., 0, :], there[..., 0, :])
            np.testing.assert_array_equal(here[..., 2, :], there[..., 3, :])
            assert np.abs(here[..., 1, :]).max() < 1
