"""Averaged weights (official.vision's ExponentialMovingAverage), from the first step to the exported model."""

import numpy as np
import pytest
from test_training import FACTORY, make_experiment, run, write_images

from odtl.checkpoints import build_model, load_model, weights_of
from odtl.experiment import read_experiment
from odtl.training.options import Options


def test_averages_are_kept_exported_and_frozen_layers_stay(tmp_path):
    import tensorflow as tf

    write_images(tmp_path / "train.tfrecord", 8)
    path = make_experiment(tmp_path, "averaged", val=None, train_steps=20, learning_rate=0.2, ema=0.999)
    before = build_model(read_experiment(path, FACTORY))
    weights_of(before).write(str(tmp_path / "pretrained"))
    run(tmp_path, path, "averaged", options=Options(freeze=2))
    exported, _ = load_model(path, FACTORY, tmp_path / "averaged-ckpt")
    last = tf.train.load_checkpoint(str(tmp_path / "averaged/checkpoints/ckpt-20"))
    names = last.get_variable_to_shape_map()
    suffix = "/.OPTIMIZER_SLOT/optimizer/average/.ATTRIBUTES/VARIABLE_VALUE"
    averages = [last.get_tensor(name) for name in names if name.endswith(suffix)]
    # Those of the statistics of batch normalisation, too.
    assert len(averages) == len(exported.weights)
    assert sorted(map(np.sum, averages)) == pytest.approx(sorted(np.sum(w) for w in exported.get_weights()), rel=1e-4)
    kernel = exported.head.trainable_weights[0]
    shaped = [name for name in names if name.endswith(suffix) and names[name] == list(kernel.shape)]
    # To swap weights with their averages rounds.
    (name,) = [name for name in shaped if np.allclose(last.get_tensor(name), kernel, rtol=1e-4, atol=1e-6)]
    assert not np.allclose(last.get_tensor(name.replace(suffix, "/.ATTRIBUTES/VARIABLE_VALUE")), kernel, rtol=1e-3)
    # A decay of 0.999 alone would leave 98 % of the zeros that the averages start from.
    old, new = (model.backbone.layers[1].get_weights() for model in (before, exported))
    assert all(np.allclose(one, two, rtol=1e-4, atol=1e-6) for one, two in zip(old, new, strict=True))
