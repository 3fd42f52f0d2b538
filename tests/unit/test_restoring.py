"""What of a checkpoint fits a detector: parts, the rows of known classes, and images normalised in another way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odtl.checkpoints import build_model, read_weights, weights_of
from odtl.errors import InputError
from odtl.experiment import build_experiment, read_experiment, write_experiment
from odtl.preprocessing import preprocessing_constants
from odtl.restoring import PARTS, restore
from odtl.restoring.classes import ClassNames, move_rows
from odtl.restoring.normalisation import fold_normalisation

FACTORY = "retinanet_mobile_coco"
SCHEDULE = {
    "train_steps": 4,
    "batch_size": 2,
    "learning_rate": 0.01,
    "warmup_steps": 1,
    "validation_interval": 4,
    "image_size": 64,
    "augmentation": {"hflip": False, "scale_min": 1.0, "scale_max": 1.0},
    "freeze_backbone": False,
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


@pytest.fixture(scope="module")
def built(config):
    """A model and the values that it was built with."""
    model = build_model(config)
    return model, [weight.numpy() for weight in model.weights]


@pytest.fixture
def fresh(built):
    """A model as it is built: building one for each test would take most of the time."""
    model, values = built
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)
    return model


def same(one, other):
    return all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(one.weights, other.weights, strict=True))


def test_backbone_alone_is_taken_whole(model, fresh, config, backbone_prefix):
    untouched = [weight.numpy() for weight in fresh.head.weights]
    restored = restore(fresh, backbone_prefix, ["backbone"], config)
    count = len(fresh.backbone.weights)
    assert restored.taken == {"backbone": (count, count)}
    assert restored.fresh == {}
    assert same(model.backbone, fresh.backbone)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(untouched, fresh.head.weights, strict=True))


def test_parts_that_a_checkpoint_lacks_stay_fresh_and_are_told(fresh, config, backbone_prefix):
    restored = restore(fresh, backbone_prefix, ["backbone", "decoder", "head"], config)
    assert restored.taken["decoder"] == (0, len(fresh.decoder.weights))
    assert set(restored.fresh.values()) == {"not in the checkpoint"}


def test_head_is_taken_but_for_its_class_predictor_where_classes_are_not_known(folder, model, prefix):
    config = read_experiment(write(folder, num_classes=5), FACTORY)
    other = build_model(config)
    restored = restore(other, prefix, PARTS, config)
    assert sorted(restored.fresh) == ["head/_classifier/bias", "head/_classifier/pointwise_kernel"]
    assert set(restored.fresh.values()) == {"depends on the classes, and the checkpoint's classes are not known"}
    assert np.array_equal(model.head._box_regressor.bias.numpy(), other.head._box_regressor.bias.numpy())
    # The prior that keeps the first loss small: log(0.01 / 0.99).
    np.testing.assert_allclose(other.head._classifier.bias.numpy(), -4.595, atol=0.001)


def test_class_predictor_stays_fresh_even_where_its_shape_fits(fresh, config, prefix):
    for names in (None, ClassNames({"cat": 1, "dog": 2}, {"bird": 1, "cow": 2})):
        restored = restore(fresh, prefix, PARTS, config, names)
        assert all("depends on the classes" in reason for reason in restored.fresh.values())
        assert not restored.classes
        np.testing.assert_allclose(fresh.head._classifier.bias.numpy(), -4.595, atol=0.001)


def test_head_with_another_number_of_classes_than_it_is_said_to_have_gives_no_class(folder, fresh, config, prefix):
    """Rows of a list that does not fit would be those of other classes."""
    for names in ({"cat": 1}, {"cat": 1, "cow": 3}):
        restored = restore(fresh, prefix, PARTS, config, ClassNames(names, {"cat": 1, "dog": 2}))
        assert not restored.classes
        assert "which is not that of" in restored.fresh["head/_classifier/bias"]
        assert restored.fresh_classes == ["cat", "dog"]
        np.testing.assert_allclose(fresh.head._classifier.bias.numpy(), -4.595, atol=0.001)


def test_weights_below_model_alone_are_found(model, fresh, config, folder):
    import tensorflow as tf

    tf.train.Checkpoint(model=model).write(str(folder / "below"))
    assert restore(fresh, folder / "below", ["backbone", "decoder"], config).fresh == {}


def test_another_backbone_is_refused_and_nothing_changed(folder, prefix):
    config = read_experiment(write(folder, width=0.5), FACTORY)
    other = build_model(config)
    before = [weight.numpy() for weight in other.weights]
    with pytest.raises(InputError, match="another backbone"):
        restore(other, prefix, ["backbone", "decoder"], config)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, other.weights, strict=True))


def test_checkpoint_that_gives_nothing_is_refused(fresh, config, backbone_prefix, folder):
    with pytest.raises(InputError, match="Nothing in it fits"):
        restore(fresh, backbone_prefix, ["decoder"], config)
    with pytest.raises(InputError, match="incomplete"):
        restore(fresh, folder / "none", ["backbone"], config)
    with pytest.raises(InputError, match="Allowed"):
        restore(fresh, backbone_prefix, ["spine"], config)


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
    names = ClassNames({"cat": 1, "dog": 2}, {"bird": 1, "Dog": 2, "cat": 3})
    fresh = grown.head._classifier.bias.numpy().reshape(-1, 4)[:, 1]
    restored = restore(grown, prefix, PARTS, config, names)
    assert all(taken == total for taken, total in restored.taken.values())
    assert not restored.fresh
    assert restored.as_dict()["classes"] == {"Dog": "dog", "cat": "cat"}
    assert restored.as_dict()["fresh_classes"] == ["bird"]
    assert "Known classes: Dog (there: dog), cat. New classes: bird." in str(restored)
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
    restored = restore(fresh, prefix, PARTS, config, ClassNames({"cat": 1, "dog": 2}, {"dog": 2, "cat": 1}))
    assert not restored.fresh
    assert same(model, fresh)


def test_detector_with_swapped_ids_is_not_taken_as_it_is(config, model, prefix, fresh):
    restore(fresh, prefix, PARTS, config, ClassNames({"cat": 1, "dog": 2}, {"dog": 1, "cat": 2}))
    old, new = (np.reshape(it.head._classifier.bias, (-1, 3)) for it in (model, fresh))
    assert np.array_equal(new, old[:, [0, 2, 1]])


# ---- which classes are the same


def known(before, now, same=None):
    ids = [{name: number for number, name in enumerate(names, 1)} for names in (before, now)]
    return ClassNames(*ids, same or {}).known()


def test_classes_are_the_same_by_name_or_by_nothing_but_its_spelling():
    assert known(["bottle", "hot dog", "cat"], ["cat", "bottle", "dog"]) == {"cat": "cat", "bottle": "bottle"}
    assert known(["hot dog", "wine-glass"], ["Hot_Dog", "wine glass"]) == {
        "Hot_Dog": "hot dog",
        "wine glass": "wine-glass",
    }
    assert known(["bottle"], ["bottles", "plastic bottle", "botle"]) == {}
    # The exact name goes first; where two could be meant, neither is.
    assert known(["cat"], ["Cat", "cat"]) == {"cat": "cat"}
    assert known(["cat"], ["Cat", "CAT"]) == {}
    assert known(["Cat", "CAT"], ["cat"]) == {}


def test_classes_are_the_same_where_one_says_so():
    assert known(["bottle", "cup"], ["PET", "cup"], {"PET": "bottle"}) == {"PET": "bottle", "cup": "cup"}
    # What is given to one is not given to another of the same name.
    assert known(["bottle"], ["bottle", "PET"], {"PET": "bottle"}) == {"PET": "bottle"}


def test_classes_that_there_are_not_are_told():
    with pytest.raises(InputError) as error:
        known(["bottle"], ["PET", "cup"], {"PET": "botle", "cap": "bottle", "cup": "bottle"})
    assert [problem.field for problem in error.value.problems] == [
        "same_classes.PET",
        "same_classes.cap",
        "same_classes",
    ]


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1)


@given(before=NAMES, now=NAMES, each=st.integers(1, 4), others=st.sampled_from([(), (2,), (2, 3)]), first=st.booleans())
def test_every_class_keeps_its_weights_by_name_and_new_ones_stay_fresh(before, now, each, others, first):
    """Each weight holds the name of its class and its anchor, so that what went where can be read off."""

    def weights(names, kind):
        named = [(name, part) for name in ["background", *names] for part in range(each)]
        if not first:
            named.sort(key=lambda pair: pair[1])
        values = np.array([f"{kind} {name} {part}" for name, part in named])
        return np.broadcast_to(values, (*others, len(values)))

    old, new = weights(before, "old"), weights(now, "new")
    ids = [{name: number for number, name in enumerate(names, 1)} for names in (before, now)]
    rows = {0: 0, **{ids[1][name]: ids[0][name] for name in now if name in before}}
    moved = move_rows(old, new, each, rows, first)
    expected = [text.replace("new", "old") if text.split()[1] in {"background", *before} else text for text in new.flat]
    assert list(moved.flat) == expected
    assert moved.shape == new.shape
