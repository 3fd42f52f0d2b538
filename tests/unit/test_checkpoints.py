"""Checkpoints: whole or not, the model they give, what of one fits another model, what an image becomes for it."""

from pathlib import Path

import numpy as np
import pytest

from odtl.checkpoints import (
    build_model,
    fold_normalisation,
    is_whole,
    load_model,
    preprocessing,
    preprocessing_constants,
    read_weights,
    restore_detector,
    restore_parts,
    weights_of,
)
from odtl.errors import InputError
from odtl.experiment import build_experiment, read_experiment, write_experiment

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


@pytest.fixture
def fresh(config):
    return build_model(config)


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
    image, info = preprocessing(config).apply(np.full((40, 80, 3), 100, np.uint8))
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
    made, info = preprocessing(config).apply(image)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    np.testing.assert_allclose(info, labels["image_info"])
    # Absolute values: 90 pixels wide become 64, what is below the image is zero, which is the mean colour.
    np.testing.assert_allclose(info[2], [64 / 90, 64 / 90], atol=0.01)
    assert not np.any(made[37:])


def test_backbone_alone_is_taken_whole(model, fresh, config, backbone_prefix):
    untouched = [weight.numpy() for weight in fresh.head.weights]
    restored = restore_parts(fresh, backbone_prefix, ["backbone"], config)
    count = len(fresh.backbone.weights)
    assert restored.taken == {"backbone": (count, count)}
    assert restored.fresh == {}
    assert same(model.backbone, fresh.backbone)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(untouched, fresh.head.weights, strict=True))


def test_parts_that_a_checkpoint_lacks_stay_fresh_and_are_told(fresh, config, backbone_prefix):
    restored = restore_parts(fresh, backbone_prefix, ["backbone", "decoder", "head"], config)
    assert restored.taken["decoder"] == (0, len(fresh.decoder.weights))
    assert set(restored.fresh.values()) == {"not in the checkpoint"}


def test_head_is_taken_but_for_its_class_predictor_where_shapes_differ(folder, model, prefix):
    config = read_experiment(write(folder, num_classes=5), FACTORY)
    other = build_model(config)
    restored = restore_parts(other, prefix, ["backbone", "decoder", "head"], config)
    assert sorted(restored.fresh) == ["head/_classifier/bias", "head/_classifier/pointwise_kernel"]
    assert "in the checkpoint" in restored.fresh["head/_classifier/bias"]
    assert np.array_equal(model.head._box_regressor.bias.numpy(), other.head._box_regressor.bias.numpy())
    # The prior that keeps the first loss small: log(0.01 / 0.99).
    np.testing.assert_allclose(other.head._classifier.bias.numpy(), -4.595, atol=0.001)


def test_class_predictor_stays_fresh_even_where_its_shape_fits(fresh, config, prefix):
    restored = restore_parts(fresh, prefix, ["backbone", "decoder", "head"], config)
    assert set(restored.fresh.values()) == {"depends on the classes"}
    np.testing.assert_allclose(fresh.head._classifier.bias.numpy(), -4.595, atol=0.001)


def test_classes_are_taken_where_asked_for(model, fresh, config, prefix):
    restored = restore_parts(fresh, prefix, ["backbone", "decoder", "head", "classes"], config)
    assert restored.fresh == {}
    assert same(model, fresh)


def test_weights_below_model_alone_are_found(model, fresh, config, folder):
    import tensorflow as tf

    tf.train.Checkpoint(model=model).write(str(folder / "below"))
    assert restore_parts(fresh, folder / "below", ["backbone", "decoder"], config).fresh == {}


def test_another_backbone_is_refused_and_nothing_changed(folder, prefix):
    config = read_experiment(write(folder, width=0.5), FACTORY)
    other = build_model(config)
    before = [weight.numpy() for weight in other.weights]
    with pytest.raises(InputError, match="another backbone"):
        restore_parts(other, prefix, ["backbone", "decoder"], config)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, other.weights, strict=True))


def test_checkpoint_that_gives_nothing_is_refused(fresh, config, backbone_prefix, folder):
    with pytest.raises(InputError, match="Nothing in it fits"):
        restore_parts(fresh, backbone_prefix, ["decoder"], config)
    with pytest.raises(InputError, match="incomplete"):
        restore_parts(fresh, folder / "none", ["backbone"], config)
    with pytest.raises(InputError, match="Allowed"):
        restore_parts(fresh, backbone_prefix, ["spine"], config)


def test_folded_backbone_sees_the_same_in_the_parsers_images(fresh, config, prefix):
    import tf_keras

    read_weights(fresh, prefix)
    theirs = ([0.5, 0.5, 0.5], [0.5, 0.4, 0.3])
    intensities = np.random.default_rng(1).uniform(0, 1, (1, 64, 64, 3)).astype(np.float32)

    def features(normalisation):
        mean, stddev = np.asarray(normalisation[0]), np.asarray(normalisation[1])
        block = tf_keras.Model(fresh.backbone.input, fresh.backbone.layers[1].output)
        return block((intensities - mean) / stddev, training=False).numpy()

    expected = features(theirs)
    assert fold_normalisation(fresh.backbone, *theirs)
    made = features(preprocessing_constants())
    # Padding is zero on either side of the folding, and so another colour.
    inner = np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(made[inner], expected[inner], atol=1e-4)


def test_folding_what_is_the_parsers_own_changes_nothing(model, fresh, prefix):
    read_weights(fresh, prefix)
    assert fold_normalisation(fresh.backbone, *preprocessing_constants())
    assert same(model, fresh)


def test_detector_of_another_label_map_scores_the_classes_it_knows_as_before(folder, model, prefix):
    """Grown and permuted: the scores of known classes are found at their new ids, those of a new one are fresh."""
    config = read_experiment(write(folder, num_classes=3), FACTORY)
    grown = build_model(config)
    before, now = {"cat": 1, "dog": 2}, {"bird": 1, "dog": 2, "cat": 3}
    fresh = grown.head._classifier.bias.numpy().reshape(-1, 4)[:, 1]
    restored = restore_detector(grown, prefix, config, before, now)
    assert all(taken == total for taken, total in restored.taken.values())
    assert not restored.fresh
    images = np.random.default_rng(1).uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
    scores = []
    for detector, count in ((model, 3), (grown, 4)):
        features = detector.decoder(detector.backbone(images))
        # As official.vision's losses and its detection generator take them apart.
        scores.append({level: np.reshape(out, (-1, count)) for level, out in detector.head(features)[0].items()})
    for level, known in scores[0].items():
        assert np.allclose(scores[1][level][:, [0, 3, 2]], known, rtol=1e-4)
        assert len(np.unique(known)) > 3
    assert np.array_equal(grown.head._classifier.bias.numpy().reshape(-1, 4)[:, 1], fresh)


def test_detector_of_the_same_label_map_is_taken_whole(config, model, prefix, fresh):
    restored = restore_detector(fresh, prefix, config, {"cat": 1, "dog": 2}, {"dog": 2, "cat": 1})
    assert not restored.fresh
    assert same(model, fresh)


def test_detector_with_swapped_ids_is_not_taken_as_it_is(config, model, prefix, fresh):
    restore_detector(fresh, prefix, config, {"cat": 1, "dog": 2}, {"dog": 1, "cat": 2})
    old, new = (np.reshape(it.head._classifier.bias, (-1, 3)) for it in (model, fresh))
    assert np.array_equal(new, old[:, [0, 2, 1]])
