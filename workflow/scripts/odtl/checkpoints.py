"""Checkpoints of weights, in official.vision's own layout, and the models that they belong to.

The layout is `tf.train.Checkpoint(model=model, **model.checkpoint_items)`: `{prefix}.index` and
`{prefix}.data-00000-of-00001`.
"""

import os
from dataclasses import dataclass

from odtl.errors import InputError, Problem
from odtl.experiment import read_experiment


@dataclass(frozen=True)
class Preprocessing:
    """What official.vision's parsers do to an image before a detector sees it.

    input_size:        (height, width) in pixels that the image is scaled into: `task.model.input_size`.
    padded_size:       (height, width) in pixels of the tensor; zeros are added at the bottom and on the right.
    keep_aspect_ratio: one scale for both axes (True) or one for each: `task.validation_data.parser.keep_aspect_ratio`.
    mean, stddev:      per channel (red, green, blue), of intensities in [0, 1]. They are constants of
                       `official.vision.ops.preprocess_ops` (those of ImageNet): no configuration reaches them, and
                       `official.vision.serving.detection` applies the same.
    """

    input_size: tuple[int, int]
    padded_size: tuple[int, int]
    keep_aspect_ratio: bool
    mean: tuple[float, float, float]
    stddev: tuple[float, float, float]

    def apply(self, image):
        """Return the model's input for one image, and how it was made.

        image: uint8, shape (height, width, 3), RGB.
        Returns (tensor, image_info): float32 of shape (*padded_size, 3); and float32 of shape (4, 2), rows (original
        height, width), (input height, width), (y scale, x scale), (y offset, x offset). A box of the original in
        pixels, times the scale, is a box of the tensor.
        """
        import tensorflow as tf
        from official.vision.ops import preprocess_ops

        image = tf.ensure_shape(tf.convert_to_tensor(image, tf.uint8), [None, None, 3])
        return preprocess_ops.resize_and_crop_image(
            preprocess_ops.normalize_image(image, self.mean, self.stddev),
            list(self.input_size),
            padded_size=list(self.padded_size),
            aug_scale_min=1.0,
            aug_scale_max=1.0,
            keep_aspect_ratio=self.keep_aspect_ratio,
        )


def preprocessing(config) -> Preprocessing:
    """Return what a detector of this experiment expects to be done to an image at evaluation.

    config: an ExperimentConfig whose parser has `pad` and `keep_aspect_ratio`, as all detectors' have.
    """
    from official.vision.ops import preprocess_ops

    model, parser = config.task.model, config.task.validation_data.parser
    input_size = [int(side) for side in model.input_size[:2]]
    # The levels of a feature pyramid must be exact halves of each other.
    padded = preprocess_ops.compute_padded_size(input_size, 2**model.max_level) if parser.pad else input_size
    return Preprocessing(
        tuple(input_size),
        tuple(int(side) for side in padded),
        bool(parser.keep_aspect_ratio),
        preprocess_ops.MEAN_NORM,
        preprocess_ops.STDDEV_NORM,
    )


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

    model(images, image_shape=..., anchor_boxes=None, training=False) takes float32 images as `preprocessing(config)`
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
    """Return the Keras model of an ExperimentConfig, with fresh weights."""
    from official.core import task_factory

    return task_factory.get_task(config.task).build_model()


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
