"""What counts as a layer of each kind of backbone, and that a frozen one stays as it is, its statistics, too."""

from types import SimpleNamespace

import numpy as np
import pytest

from odtl.errors import InputError
from odtl.training.freezing import freeze_first, layers_of

FROZEN = 3


@pytest.fixture(scope="module", params=["mobilenet", "resnet", "spinenet"])
def backbone(request):
    import tf_keras
    from official.vision.modeling import backbones

    specs = tf_keras.layers.InputSpec(shape=[None, 128, 128, 3])
    return {
        "mobilenet": lambda: backbones.MobileNet("MobileNetV2", filter_size_scale=0.35, input_specs=specs),
        "resnet": lambda: backbones.ResNet(18, input_specs=specs),
        "spinenet": lambda: backbones.SpineNetMobile(input_specs=specs, min_level=3, max_level=7),
    }[request.param]()


def test_layer_is_a_convolution_with_its_normalisation_or_a_block(backbone):
    layers = layers_of(backbone)
    assert not any(hasattr(layer[0], "moving_mean") for layer in layers)
    parts = [part for layer in layers for part in layer]
    assert sorted(map(id, parts)) == sorted(id(layer) for layer in backbone.layers if layer.weights)


def test_frozen_layers_keep_weights_and_statistics_and_the_others_learn(backbone):
    import tensorflow as tf

    freeze_first(SimpleNamespace(backbone=backbone), FROZEN)
    layers = layers_of(backbone)
    frozen = [weight for layer in layers[:FROZEN] for part in layer for weight in part.weights]
    assert {id(weight) for weight in frozen}.isdisjoint(map(id, backbone.trainable_weights))
    assert all(part.trainable_weights for layer in layers[FROZEN:] for part in layer)
    before = [weight.numpy() for weight in frozen]
    moved = [part for layer in layers[FROZEN:] for part in layer if hasattr(part, "moving_mean")]
    moved += [
        part for layer in layers[FROZEN:] for each in layer for part in each.submodules if hasattr(part, "moving_mean")
    ]
    means = [part.moving_mean.numpy() for part in moved]
    backbone(tf.random.stateless_uniform([2, 128, 128, 3], seed=[1, 2]), training=True)
    assert all(np.array_equal(old, weight) for old, weight in zip(before, frozen, strict=True))
    assert not any(np.array_equal(old, part.moving_mean) for old, part in zip(means, moved, strict=True))


def test_more_than_there_are_is_refused(backbone):
    count = len(layers_of(backbone))
    with pytest.raises(InputError, match=f"The backbone has {count} layers"):
        freeze_first(SimpleNamespace(backbone=backbone), count + 1)
