"""Pretrained weights that want their images normalised in another way than official.vision does it."""

from collections.abc import Sequence

import numpy as np

from odtl.preprocessing import preprocessing_constants


def fold_normalisation(backbone, mean: Sequence[float], stddev: Sequence[float]) -> bool:
    """Change the first convolution of a backbone so that it takes the parsers' images instead of those it was made for.

    mean, stddev: per channel, of intensities in [0, 1], that the backbone's weights were trained with.

    official.vision's parsers and its serving code always normalise with ImageNet's figures. With p the intensity, the
    weights want y = (p - mean') / stddev' and are given x = (p - mean) / stddev; a convolution is linear, so its kernel
    takes the factor stddev / stddev' per channel, and the constant that remains goes into the mean of the batch
    normalisation that follows. Exact but for the border, where the padding is ImageNet's mean and no longer theirs.

    Returns whether it was done: only where just one convolution takes three channels and batch normalisation follows.
    """
    import tf_keras

    ours = preprocessing_constants()
    if np.allclose(ours, (mean, stddev)):
        return True
    first = [
        layer
        for layer in backbone.submodules
        if isinstance(layer, tf_keras.layers.Conv2D)
        and not isinstance(layer, tf_keras.layers.DepthwiseConv2D)
        # Blocks hold layers that they never use, and so never build.
        and layer.built
        and layer.kernel.shape[2] == len(mean)
    ]
    if len(first) != 1 or first[0].use_bias:
        return False
    places = [id(weight) for weight in backbone.weights]
    following = places[places.index(id(first[0].kernel)) + 1]
    norms = [layer for layer in backbone.submodules if isinstance(layer, tf_keras.layers.BatchNormalization)]
    norm = next((layer for layer in norms if following in (id(layer.gamma), id(layer.beta))), None)
    if norm is None:
        return False
    kernel = first[0].kernel.numpy()
    factor = np.divide(ours[1], stddev)
    constant = np.divide(np.subtract(ours[0], mean), stddev)
    first[0].kernel.assign(kernel * factor[None, None, :, None])
    norm.moving_mean.assign(norm.moving_mean.numpy() - np.einsum("hwio,i->o", kernel, constant))
    return True
