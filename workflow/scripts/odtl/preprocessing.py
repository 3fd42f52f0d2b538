"""What official.vision's parsers do to an image before a detector sees it."""

from dataclasses import dataclass


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

        image: uint8, or float32 of the same values, shape (height, width, 3), RGB.
        Returns (tensor, image_info): float32 of shape (*padded_size, 3); and float32 of shape (4, 2), rows (original
        height, width), (input height, width), (y scale, x scale), (y offset, x offset). A box of the original in
        pixels, times the scale, is a box of the tensor.
        """
        import tensorflow as tf
        from official.vision.ops import preprocess_ops

        image = tf.ensure_shape(tf.convert_to_tensor(image), [None, None, 3])
        # Scaled first, normalised then, padded last. The parsers normalise first, which is the same but for rounding,
        # since what is scaled is a mean of pixels; of a photograph it takes as long as the network itself.
        scaled, image_info = preprocess_ops.resize_and_crop_image(
            image,
            list(self.input_size),
            padded_size=None,
            aug_scale_min=1.0,
            aug_scale_max=1.0,
            keep_aspect_ratio=self.keep_aspect_ratio,
        )
        mean, stddev = ([255 * value for value in values] for values in (self.mean, self.stddev))
        normalised = preprocess_ops.normalize_image(scaled, mean, stddev)
        return tf.image.pad_to_bounding_box(normalised, 0, 0, *self.padded_size), image_info


def preprocessing_constants() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and stddev, per channel, of intensities in [0, 1], that official.vision's parsers normalise with."""
    from official.vision.ops import preprocess_ops

    return preprocess_ops.MEAN_NORM, preprocess_ops.STDDEV_NORM


def preprocessing_of(config) -> Preprocessing:
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
        *preprocessing_constants(),
    )
