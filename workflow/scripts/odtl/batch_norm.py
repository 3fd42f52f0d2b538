"""Statistics for batch normalisation that was folded into the convolutions.

A network made for inference has its normalisation multiplied into the kernels: what is left of each layer is a bias,
with a mean of 0, a variance of 1 and a scale of 1. In training such a layer would normalise with the statistics of the
batch, which are nothing like that, and so distort every feature. So the statistics are measured on images, and scale
and bias set so that the network computes what it did before, now in training, too.
"""

from collections.abc import Iterable, Mapping

import numpy as np


def restore_statistics(network, batches: Iterable) -> int:
    """Give each batch normalisation of a network the statistics that its input has, and keep what it computes.

    network: a Keras model that takes images. batches: of images as it takes them in training, at least one.
    Each layer computes scale * (x - mean) / sqrt(variance + epsilon) + bias, with the same result for every x before
    and after: with mean' and variance' as measured, scale' is scale * sqrt((variance' + epsilon) / (variance +
    epsilon)), and bias' is bias + scale * (mean' - mean) / sqrt(variance + epsilon).
    Returns the number of layers changed. Raises ValueError without batches.
    """
    import tf_keras

    layers = [layer for layer in network.submodules if isinstance(layer, tf_keras.layers.BatchNormalization)]
    statistics = _measure(network, [layer for layer in layers if layer.built], batches)
    for layer, (mean, variance) in statistics.items():
        deviation = np.sqrt(layer.moving_variance.numpy() + layer.epsilon)
        scale = layer.gamma.numpy() / deviation
        layer.beta.assign_add(scale * (mean - layer.moving_mean.numpy()))
        layer.gamma.assign(scale * np.sqrt(variance + layer.epsilon))
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
    return len(statistics)


def _measure(network, layers: Iterable, batches: Iterable) -> Mapping[object, tuple[np.ndarray, np.ndarray]]:
    """Return layer -> (mean, variance) per channel of its input, as the network is at inference."""
    import tensorflow as tf

    sums: dict[object, list] = {}

    def watched(layer):
        call = layer.call

        def look(inputs, *args, **kwargs):
            values = tf.cast(inputs, tf.float32)
            axes = list(range(values.shape.rank - 1))
            mean, variance = (part.numpy().astype(np.float64) for part in tf.nn.moments(values, axes))
            sums.setdefault(layer, []).append((mean, variance + mean**2))
            return call(inputs, *args, **kwargs)

        return look

    layers = list(layers)
    for layer in layers:
        # Keras looks the method up on the layer at each call.
        layer.call = watched(layer)
    try:
        for images in batches:
            network(images, training=False)
    finally:
        for layer in layers:
            del layer.call
    if not sums:
        raise ValueError("no images to measure the statistics on")
    found = {layer: np.mean(parts, axis=0) for layer, parts in sums.items()}
    return {
        layer: (mean.astype(np.float32), np.maximum(square - mean**2, 0.0).astype(np.float32))
        for layer, (mean, square) in found.items()
    }
