"""A checkpoint as SavedModel and as frozen graph.

Both take images of any size and do the preprocessing themselves. Their tensors are named as those of the TF Object
Detection API, so that its clients run them unchanged:
  image_tensor       uint8 (N, H, W, 3), RGB
  detection_boxes    float32 (N, M, 4), ymin, xmin, ymax, xmax in [0, 1] of the image as given
  detection_scores   float32 (N, M), best first
  detection_classes  float32 (N, M), ids of the label map, from 1
  num_detections     float32 (N,): what comes after is padding

The SavedModel has a second signature, `serving_bytes`, that takes files instead of pixels:
  encoded_image_string_tensor   string (N,), JPEG or PNG, each of any size; EXIF is not looked at, as TensorFlow's
                                decoders do not

official.vision has an exporter, too (`official.vision.serving.export_saved_model_lib`). It is not used, for three
reasons: its boxes are pixels of the original image unless another switch is set, and the names and types of its tensors
are not the API's; for a batch of any size it replaces NMS versions that the evaluation uses; and it writes the Keras
objects along, which takes longer than all the rest. The model and each step of the preprocessing are official.vision's.
"""

import os
import shutil
from pathlib import Path

from odtl import checkpoints
from odtl.detector import FROZEN_GRAPH, LABEL_MAP, SAVED_MODEL
from odtl.export.formats import VERSION
from odtl.files import atomic_folder
from odtl.label_map import read_label_map
from odtl.preprocessing import preprocessing_of
from odtl.serving import INPUT, OUTPUTS, check_class_count, detect_prepared, prepare, prepare_batch

ENCODED_INPUT = "encoded_image_string_tensor"


def export_graphs(
    experiment_path: str | os.PathLike,
    factory: str,
    checkpoint_prefix: str | os.PathLike,
    label_map_path: str | os.PathLike,
    saved_model_folder: str | os.PathLike,
    frozen_graph_folder: str | os.PathLike,
) -> dict:
    """Write a checkpoint as SavedModel and as frozen graph, and return what is to be said of both.

    experiment_path, factory: the experiment's configuration and the name official.vision knows its kind by.
    saved_model_folder:  gets `saved_model/1/`, frozen_graph_folder: `frozen_inference_graph.pb`; each with the label
                         map, whole or not at all.
    Raises InputError where the inputs do not fit together.
    """
    model, config = checkpoints.load_model(experiment_path, factory, checkpoint_prefix)
    classes = read_label_map(label_map_path)
    check_class_count(config, classes, label_map_path)
    preprocessing = preprocessing_of(config)
    with atomic_folder(saved_model_folder) as saved, atomic_folder(frozen_graph_folder) as frozen:
        write_models(model, preprocessing, saved / SAVED_MODEL / VERSION, frozen / FROZEN_GRAPH)
        extra = saved / SAVED_MODEL / VERSION / "assets.extra"
        extra.mkdir(parents=True, exist_ok=True)
        for place in (saved, extra, frozen):
            shutil.copyfile(label_map_path, place / LABEL_MAP)
    return {"classes": classes, "input": input_of(preprocessing)}


def write_models(model, preprocessing, saved_model: Path, frozen_graph: Path) -> None:
    """Write a model as SavedModel and as frozen graph; one tracing serves both."""
    import tensorflow as tf

    def detect_named(prepared, image_info):
        outputs = detect_prepared(model, prepared, image_info)
        return {name: tf.identity(outputs[name], name=name) for name in OUTPUTS}

    class Serving(tf.Module):
        """Holds the weights alone: with the Keras model in it, saving would trace each layer once more."""

        def __init__(self) -> None:
            super().__init__()
            self.weights = list(model.variables)

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name=INPUT)])
        def detect(self, image_tensor):
            return detect_named(*prepare_batch(image_tensor, preprocessing))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=ENCODED_INPUT)])
        def detect_files(self, encoded_image_string_tensor):
            return detect_named(*_prepare_files(encoded_image_string_tensor, preprocessing))

    serving = Serving()
    traced = serving.detect.get_concrete_function()
    signatures = {"serving_default": traced, "serving_bytes": serving.detect_files.get_concrete_function()}
    tf.saved_model.save(serving, str(saved_model), signatures=signatures)
    frozen_graph.write_bytes(_freeze(traced).SerializeToString(deterministic=True))


def _prepare_files(files, preprocessing):
    """Return (prepared, image_info) of a batch of encoded images, as `serving.prepare_batch` does of pixels."""
    import tensorflow as tf

    def decode(file):
        return prepare(tf.io.decode_image(file, channels=3, expand_animations=False), preprocessing)

    signature = tf.TensorSpec((*preprocessing.padded_size, 3), tf.float32), tf.TensorSpec((4, 2), tf.float32)
    return tf.map_fn(decode, files, fn_output_signature=signature)


def _freeze(traced):
    """Return the GraphDef of a traced function with its variables as constants."""
    # It has no public name; TensorFlow's own guides to frozen graphs import it from here.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(traced).graph.as_graph_def()


def input_of(preprocessing) -> dict:
    """Return what metadata.json says of the input."""
    return {
        "tensor": f"{INPUT}:0",
        "type": "uint8",
        "shape": [None, None, None, 3],
        "colours": "RGB",
        "preprocessing": "in the model: normalised, scaled into `size`, padded with zeros to `padded_size`",
        "size": list(preprocessing.input_size),
        "padded_size": list(preprocessing.padded_size),
        "keep_aspect_ratio": preprocessing.keep_aspect_ratio,
        "mean": list(preprocessing.mean),
        "stddev": list(preprocessing.stddev),
    }
