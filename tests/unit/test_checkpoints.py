"""Checkpoints: whole or not, the model they give, and what an image becomes for it."""

from pathlib import Path

import numpy as np
import pytest

from odtl.checkpoints import (
    build_model,
    is_whole,
    load_model,
    weights_of,
)
from odtl.errors import InputError
from odtl.experiment import build_experiment, read_experiment, write_experiment
from odtl.preprocessing import preprocessing_of

FACTORY = "retinanet_mobile_coco"
SCHEDULE = {
    "train_steps": 4,
    "batch_size": 2,
    "learning_rate": 0.01,
    "warmup_steps": 1,
    "validation_interval": 4,
    "image_size": 64,
    "augmentation": {"hflip": False, "scale_min": 1.0, "scale_max": 1.0},
    "seed": 1,
}
SUMMARY = {"images": 4, "max_boxes": 2, "image_bytes": 4000}


def settings(width=0.35, filters=16):
    return {
        "task": {
            "model": {
                "backbone": {"type": "mobilenet", "mobilenet": {"model_id": "MobileNetV2", "filter_size_scale": width}},
                "decoder": {"type": "fpn", "fpn": {"num_filters": filters, "use_separable_conv": True}},
                "head": {"num_convs": 1, "num_filters": filters, "use_separable_conv": True},
                "min_level": 3,
                "max_level": 5,
                "norm_activation": {"activation": "relu6"},
            }
        }
    }


def write(folder, num_classes=2, **changes):
    path = folder / f"experiment-{num_classes}-{len(changes)}.yaml"
    experiment = build_experiment(
        FACTORY, settings(**changes), SCHEDULE, num_classes, ["train.tfrecord"], [], SUMMARY, {**SUMMARY, "images": 0}
    )
    write_experiment(experiment, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def config(folder):
    return read_experiment(write(folder), FACTORY)


@pytest.fixture(scope="module")
def model(config):
    """A model none of whose weights is what a fresh one has."""
    model = build_model(config)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(generator.uniform(0.1, 1.0, weight.shape))
    return model


@pytest.fixture(scope="module")
def prefix(folder, model):
    weights_of(model).write(str(folder / "ckpt"))
    return folder / "ckpt"


@pytest.fixture(scope="module")
def backbone_prefix(folder, model):
    import tensorflow as tf

    tf.train.Checkpoint(backbone=model.backbone).write(str(folder / "backbone"))
    return folder / "backbone"


def same(one, other):
    return all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(one.weights, other.weights, strict=True))


def test_checkpoint_is_whole_only_with_all_its_data(prefix, tmp_path):
    assert is_whole(prefix)
    assert not is_whole(tmp_path / "missing")
    index, data = (Path(f"{prefix}{suffix}").read_bytes() for suffix in (".index", ".data-00000-of-00001"))
    damaged = {"no data": (index, None), "cut": (index, data[:-1000]), "zeros": (index, bytes(len(data)))}
    damaged |= {"empty": (index, b""), "no index": (None, data), "cut index": (index[:500], data)}
    for name, (its_index, its_data) in damaged.items():
        for suffix, content in ((".index", its_index), (".data-00000-of-00001", its_data)):
            if content is not None:
                (tmp_path / f"{name}{suffix}").write_bytes(content)
        assert not is_whole(tmp_path / name), name


def test_loaded_model_is_the_saved_one_and_detects(folder, model, prefix):
    loaded, config = load_model(write(folder), FACTORY, prefix)
    assert same(model, loaded)
    image, info = preprocessing_of(config).apply(np.full((40, 80, 3), 100, np.uint8))
    output = loaded(image[None], image_shape=info[None, 1, :], training=False)
    assert output["detection_boxes"].shape == (1, 100, 4)


def test_checkpoint_of_another_model_is_refused(folder, prefix, backbone_prefix):
    path = write(folder, num_classes=3)
    with pytest.raises(InputError, match="of another model"):
        load_model(path, FACTORY, prefix)
    with pytest.raises(InputError, match="of another model"):
        load_model(path, FACTORY, backbone_prefix)
    with pytest.raises(InputError, match="incomplete"):
        load_model(path, FACTORY, folder / "none")


def test_image_becomes_what_official_visions_parser_makes_of_it(config):
    import tensorflow as tf
    from official.vision.dataloaders import retinanet_input

    image = np.random.default_rng(0).integers(0, 256, (50, 90, 3)).astype(np.uint8)
    parser = retinanet_input.Parser([64, 64], 3, 5, 3, [0.5, 1.0, 2.0], 3.0, dtype="float32")
    expected, labels = parser.parse_fn(is_training=False)(
        {
            "image": tf.constant(image),
            "source_id": tf.constant("1"),
            "height": tf.constant(50),
            "width": tf.constant(90),
            "groundtruth_boxes": tf.constant([[0.1, 0.1, 0.5, 0.5]]),
            "groundtruth_classes": tf.constant([1], tf.int64),
            "groundtruth_area": tf.constant([800.0]),
            "groundtruth_is_crowd": tf.constant([False]),
        }
    )
    made, info = preprocessing_of(config).apply(image)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    np.testing.assert_allclose(info, labels["image_info"])
    # Absolute values: 90 pixels wide become 64, what is below the image is zero, which is the mean colour.
    np.testing.assert_allclose(info[2], [64 / 90, 64 / 90], atol=0.01)
    assert not np.any(made[37:])
