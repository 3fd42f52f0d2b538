"""A trained RetinaNet becomes a TFLite file with metadata, in one of four precisions.

In:  image, (1, *padded_size, 3), RGB, pixels in [0, 255]: float32, of int8 models uint8. The normalisation is in the
     model, since MediaPipe knows only one that is the same for all three channels.
Out: the four outputs of TFLite_Detection_PostProcess, float32: boxes (1, M, 4), ymin, xmin, ymax, xmax in [0, 1] of the
     input; classes (1, M), from 0: the id less 1; scores (1, M), best first; and the number of detections (1,).
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from odtl.errors import InputError, Problem
from odtl.files import atomic_open
from odtl.preprocessing import preprocessing_of
from odtl.tflite.metadata import Settings, labels_of, with_metadata
from odtl.tflite.preparing import prepare

PRECISIONS = ("float32", "float16", "dynamic", "int8")


def convert(
    model,
    config,
    classes: Mapping[str, int],
    precision: str,
    path: str | os.PathLike,
    calibration_images: Iterable[np.ndarray] = (),
) -> None:
    """Write a model as a TFLite file, whole or not at all.

    model, config:      as `checkpoints.load_model` returns them. classes: name -> id.
    precision:          one of PRECISIONS: "float16" stores weights so, "dynamic" as 8-bit integers; "int8" calculates
                        with 8-bit integers, too.
    calibration_images: uint8 (H, W, 3), RGB; for "int8" alone, which learns from them which values occur.
    Raises InputError where the model is of a kind that cannot be converted, or int8 has no image to learn from.
    """
    import tensorflow as tf

    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    check_convertible(config)
    preprocessing = preprocessing_of(config)
    settings = Settings(
        preprocessing.input_size,
        preprocessing.padded_size,
        preprocessing.keep_aspect_ratio,
        # What is added is 0 after the normalisation.
        tuple(255 * mean for mean in preprocessing.mean),
    )
    # Before the model is traced, which takes a while.
    examples = _examples(calibration_images, settings) if precision == "int8" else None
    serving = _serving(tf, model, config)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serving.detect.get_concrete_function()], serving)
    converter.allow_custom_ops = True
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = examples
        converter.inference_input_type = tf.uint8
    description = f"A detector of {len(classes)} class(es), {precision}."
    data = with_metadata(converter.convert(), labels_of(classes), settings, description)
    with atomic_open(path, "wb") as stream:
        stream.write(data)


def check_convertible(config) -> None:
    """Raise InputError unless the model of an ExperimentConfig is of a kind that TFLite can run: a RetinaNet."""
    from official.vision.configs.retinanet import RetinaNet

    if not isinstance(config.task.model, RetinaNet):
        cure = "Only one-stage detectors (RetinaNet) are exported to TFLite: leave it out of the exports."
        raise InputError(Problem("config", "model", type(config.task.model).__name__, cure))


def _examples(images: Iterable[np.ndarray], settings: Settings) -> Callable[[], Iterator[list[np.ndarray]]]:
    """Return what the converter calls for inputs to calibrate with."""
    inputs = [prepare(image, settings)[0][None] for image in images]
    if not inputs:
        cure = "int8 is calibrated on training images: give some, or leave int8 out of the exports."
        raise InputError(Problem("config", "calibration images", "none", cure))
    return lambda: iter([[pixels] for pixels in inputs])


def _serving(tf, model, config):
    """Return a tf.Module whose function `detect` is to be converted."""
    preprocessing = preprocessing_of(config)
    anchors = _anchors(model, preprocessing.padded_size)
    raw = _frozen_outputs(tf, model, preprocessing, config.task.model.num_classes)
    find = _post_processing(tf, config.task.model)

    class Serving(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec(raw.inputs[0].shape, tf.float32, name="image")])
        def detect(self, image):
            boxes, scores = raw(image)
            return find(boxes, scores, anchors)

    return Serving()


def _frozen_outputs(tf, model, preprocessing, num_classes: int):
    """Return a concrete function from pixels to encoded boxes (1, n, 4) and scores (1, n, num_classes), all constants.

    The converter would save each weight as a variable, and take five times as long.
    """
    # As in `odtl.export`: it has no public name.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    mean, stddev = np.array(preprocessing.mean), np.array(preprocessing.stddev)
    factor, shift = np.float32(1 / (255 * stddev)), np.float32(-mean / stddev)

    @tf.function(input_signature=[tf.TensorSpec([1, *preprocessing.padded_size, 3], tf.float32, name="image")])
    def outputs(image):
        features = model.backbone(image * factor + shift, training=False)
        if model.decoder:
            features = model.decoder(features, training=False)
        scores, boxes, _ = model.head(features, training=False)
        levels = sorted(scores, key=int)

        def flat(maps, size: int):
            return tf.concat([tf.reshape(maps[level], [1, -1, size]) for level in levels], axis=1)

        return flat(boxes, 4), tf.sigmoid(flat(scores, num_classes))

    return convert_variables_to_constants_v2(outputs.get_concrete_function())


def _anchors(model, size: tuple[int, int]) -> np.ndarray:
    """Return all anchors, float32 (n, 4): y and x of the centre, height, width, in [0, 1] of the input."""
    from official.vision.ops import anchor

    settings = model.get_config()
    names = ("min_level", "max_level", "num_scales", "aspect_ratios", "anchor_size")
    levels = anchor.Anchor(**{name: settings[name] for name in names}, image_size=size).multilevel_boxes
    corners = np.concatenate([np.reshape(levels[level], (-1, 4)) for level in sorted(levels, key=int)])
    low, high = corners[:, :2], corners[:, 2:]
    return np.float32(np.concatenate([(low + high) / 2, high - low], axis=1) / np.tile(size, 2))


def _post_processing(tf, model_config):
    """Return the function that the converter makes TFLite's own operation of; it finds nothing in TensorFlow.

    official.vision has one, too (`nms_version='tflite'`). It counts the background as a class, which then stands first
    in the labels and is searched.
    https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/utils/nms_utils.cc
    """
    generator = model_config.detection_generator
    y_scale, x_scale, h_scale, w_scale = generator.box_coder_weights or (1.0, 1.0, 1.0, 1.0)
    whole = {
        "max_detections": generator.max_num_detections,
        "detections_per_class": generator.max_num_detections,
        "max_classes_per_detection": 1,
        # Without the background: the operation leaves out the first of the scores if there is one more.
        "num_classes": model_config.num_classes - 1,
    }
    real = {
        "nms_score_threshold": generator.pre_nms_score_threshold,
        "nms_iou_threshold": generator.nms_iou_threshold,
        "y_scale": y_scale,
        "x_scale": x_scale,
        "h_scale": h_scale,
        "w_scale": w_scale,
    }
    # Regular: each class on its own, as official.vision does unless it is told otherwise.
    regular = str(not generator.use_class_agnostic_nms).lower()
    attributes = [
        'name: "TFLite_Detection_PostProcess"',
        *(f'attr {{ key: "{name}" value {{ i: {value} }} }}' for name, value in whole.items()),
        *(f'attr {{ key: "{name}" value {{ f: {value:f} }} }}' for name, value in real.items()),
        f'attr {{ key: "use_regular_nms" value {{ b: {regular} }} }}',
    ]

    @tf.function(experimental_implements=" ".join(attributes))
    def detection_post_process(boxes, scores, anchors):
        return tuple(tf.constant(0.0, name=name) for name in ("boxes", "classes", "scores", "number"))

    return detection_post_process
