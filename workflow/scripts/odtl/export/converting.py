"""A checkpoint in a format that runs without TensorFlow: TFLite in one of four precisions, or ONNX."""

import os
import shutil
from collections.abc import Iterator, Sequence

import numpy as np

from odtl import checkpoints, onnx
from odtl.detector import LABEL_MAP
from odtl.export.formats import PATHS
from odtl.export.graphs import input_of
from odtl.export.reference import encoded_images
from odtl.files import atomic_folder
from odtl.label_map import read_label_map
from odtl.preprocessing import preprocessing_of
from odtl.serving import check_class_count
from odtl.tflite import convert as convert_tflite

# The range of the values in each layer is learnt from so many training images; more hardly change it.
CALIBRATION_IMAGES = 200


def convert_checkpoint(
    experiment_path: str | os.PathLike,
    factory: str,
    checkpoint_prefix: str | os.PathLike,
    label_map_path: str | os.PathLike,
    training_records: Sequence[str | os.PathLike],
    export_format: str,
    folder: str | os.PathLike,
) -> dict:
    """Write a checkpoint in another format, its label map beside it, and return what is to be said of it.

    training_records: TFRecord files; TFLite's int8 is calibrated on their first images.
    export_format: "onnx", or "tflite_" and "float32", "float16", "dynamic" or "int8".
    folder: written whole or not at all.
    Raises InputError where the inputs do not fit together, the model is of a kind that TFLite cannot run, or tf2onnx is
    not installed.
    """
    model, config = checkpoints.load_model(experiment_path, factory, checkpoint_prefix)
    classes = read_label_map(label_map_path)
    check_class_count(config, classes, label_map_path)
    with atomic_folder(folder) as made:
        path = made / PATHS[export_format]
        if export_format == "onnx":
            onnx.convert(model, config, classes, path)
        else:
            precision = export_format.removeprefix("tflite_")
            images = _pixels(training_records) if precision == "int8" else ()
            convert_tflite(model, config, classes, precision, path, images)
        shutil.copyfile(label_map_path, made / LABEL_MAP)
    return {"classes": classes, "input": input_of(preprocessing_of(config))}


def _pixels(records: Sequence[str | os.PathLike]) -> Iterator[np.ndarray]:
    import tensorflow as tf

    for encoded in encoded_images(records, CALIBRATION_IMAGES):
        yield tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()
