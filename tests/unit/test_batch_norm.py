"""Batch normalisation that was folded: the network computes what it did before, in training, too."""

import numpy as np
import pytest

from odtl.batch_norm import DEPTHWISE_NORM, NORM, restore_statistics


@pytest.fixture
def network():
    """Return a small network with normalisation as it is after folding: scale 1, mean 0, variance 1, and a bias."""
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    layers = tf_keras.layers
    made = tf_keras.Sequential(
        [
            layers.InputLayer((12, 12, 3)),
            layers.Conv2D(6, 3, use_bias=False, kernel_initializer="random_normal"),
            layers.BatchNormalization(epsilon=1e-3, beta_initializer="random_normal"),
            layers.ReLU(6),
            layers.DepthwiseConv2D(3, use_bias=False),
            layers.BatchNormalization(epsilon=1e-3, beta_initializer="random_normal"),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(epsilon=1e-3, beta_initializer="random_normal"),
        ]
    )
    # Folding leaves kernels of any size.
    made.layers[0].kernel.assign(40 * made.layers[0].kernel)
    return made


def batches(count=1):
    random = np.random.default_rng(1)
    return [random.normal(0.5, 2.0, (8, 12, 12, 3)).astype(np.float32) for _ in range(count)]


def distance(one, two) -> float:
    return float(np.abs(one.numpy() - two.numpy()).max() / np.abs(two.numpy()).max())


def test_it_computes_the_same_as_before_now_in_training_too(network):
    images = batches()
    before = network(images[0], training=False)
    weights = network.get_weights()
    distorted = distance(network(images[0], training=True), before)
    network.set_weights(weights)
    restore_statistics(network, images)
    assert distance(network(images[0], training=False), before) < 1e-4
    assert distance(network(images[0], training=True), before) < 1e-3 < 0.1 < distorted


def test_the_statistics_are_those_of_all_batches(network):
    images = batches(3)
    assert restore_statistics(network, images) == 3
    first = network.layers[0](np.concatenate(images)).numpy()
    layer = network.layers[1]
    np.testing.assert_allclose(layer.moving_mean, first.mean((0, 1, 2)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(layer.moving_variance, first.var((0, 1, 2)), rtol=1e-3)


def test_a_channel_that_is_always_the_same_stays_so(network):
    kernel = network.layers[0].kernel
    kernel.assign(kernel.numpy() * [0, 1, 1, 1, 1, 1])
    images = batches()
    before = network(images[0], training=False)
    restore_statistics(network, images)
    assert distance(network(images[0], training=False), before) < 1e-4
    assert distance(network(images[0], training=True), before) < 1e-3


def test_kernels_get_their_usual_sizes(network):
    restore_statistics(network, batches())
    first, depthwise = network.layers[0].kernel.numpy(), network.layers[3].depthwise_kernel.numpy()
    np.testing.assert_allclose(np.sqrt(np.square(first).sum((0, 1, 2))), NORM, rtol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.square(depthwise).sum((0, 1))), DEPTHWISE_NORM, rtol=1e-4)


def test_measuring_leaves_nothing_behind(network):
    restore_statistics(network, batches())
    assert all("call" not in vars(layer) for layer in network.layers)


def test_without_images_nothing_can_be_measured(network):
    with pytest.raises(ValueError, match="no images"):
        restore_statistics(network, [])
