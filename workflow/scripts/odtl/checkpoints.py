"""Checkpoints of weights, in official.vision's own layout, and the models that they belong to.

The layout is `tf.train.Checkpoint(model=model, **model.checkpoint_items)`: `{prefix}.index` and
`{prefix}.data-00000-of-00001`.
"""

import os
import warnings

from odtl.errors import InputError, Problem
from odtl.experiment import read_experiment


def is_whole(prefix: str | os.PathLike) -> bool:
    """Say whether every tensor of a checkpoint can be read; its index alone proves nothing about the data."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    # What TensorFlow raises depends on what is missing: ValueError, NotFoundError, DataLossError, RuntimeError, ...
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError):
        return False
    return True


def load_model(experiment_path: str | os.PathLike, factory: str, checkpoint_prefix: str | os.PathLike):
    """Return (model, config): a trained detector, ready for inference, and its ExperimentConfig.

    experiment_path:   experiment.yaml.
    factory:           the experiment's factory, as the zoo names it.
    checkpoint_prefix: path of the checkpoint without `.index`.

    model(images, image_shape=..., anchor_boxes=None, training=False) takes float32 images as `preprocessing_of(config)`
    makes them, of shape (batch, *padded_size, 3), and image_shape of shape (batch, 2), `image_info[:, 1, :]`.
    It gives detection_boxes (batch, n, 4) as ymin, xmin, ymax, xmax in pixels of the tensor, detection_classes
    (batch, n) with ids of the label map, detection_scores (batch, n), num_detections (batch,).

    Raises InputError where the checkpoint is not whole or does not fit the experiment's model.
    """
    config = read_experiment(experiment_path, factory)
    model = build_model(config)
    read_weights(model, checkpoint_prefix)
    return model, config


def build_model(config):
    """Return the Keras model of an ExperimentConfig, with fresh weights, for one device."""
    from official.core import task_factory

    return build_model_of(task_factory.get_task(on_one_device(config).task))


def on_one_device(config):
    """Return an ExperimentConfig without what only matters on several devices; weights are the same.

    There, batch normalisation may be of another kind, which computes the same alone, but is not fused.
    """
    if not config.task.model.norm_activation.use_sync_bn:
        return config
    return config.replace(task={"model": {"norm_activation": {"use_sync_bn": False}}})


def build_model_of(task):
    """Return the Keras model of one of official.vision's tasks, with fresh weights, all of them.

    official.vision leaves the head of a detector without a decoder, as SpineNet's are, to make its weights at its first
    use: restored from a checkpoint, handed to an optimizer or saved before that, it would have none.
    """
    import tf_keras

    ignore_unused_levels()
    model = task.build_model()
    head = getattr(model, "head", None)
    if head is not None and not head.built:
        head(model.backbone(tf_keras.Input(model.backbone.input_shape[1:])))
    return model


def ignore_unused_levels() -> None:
    """Silence Keras where a backbone offers more levels than the decoder asks for, which is as it should be."""
    warnings.filterwarnings("ignore", message="Input dict contained keys")


def weights_of(model):
    """Return the `tf.train.Checkpoint` that holds a model's weights in official.vision's layout."""
    import tensorflow as tf

    return tf.train.Checkpoint(model=model, **getattr(model, "checkpoint_items", {}))


def read_weights(model, prefix: str | os.PathLike) -> None:
    """Read all of a model's weights from a checkpoint; InputError where it is not whole or does not fit."""
    if not is_whole(prefix):
        raise InputError(
            Problem(str(prefix), "checkpoint", "an incomplete one or none", "Train again, or name another checkpoint.")
        )
    try:
        weights_of(model).read(str(prefix)).assert_existing_objects_matched().expect_partial()
    # A shape that differs is a ValueError, a weight that is not in the file an AssertionError.
    except (AssertionError, ValueError) as error:
        raise InputError(
            Problem(str(prefix), "weights", str(error).splitlines()[0], "The checkpoint is of another model.")
        ) from error
