"""A detector as one ONNX file, and that file at work with ONNX Runtime, which needs no TensorFlow.

It is the same function as the SavedModel and the frozen graph, by the same names: image_tensor (N, H, W, 3), uint8,
RGB, any size, in; detection_boxes, detection_scores, detection_classes and num_detections out. Preprocessing and
non-maximum suppression are in it.

What is needed for it is optional (`make onnx`): tf2onnx and onnx to write, onnxruntime to run.
"""

import importlib
import json
import os
from collections.abc import Callable, Mapping

import numpy as np

from odtl.errors import InputError, Problem
from odtl.files import atomic_open
from odtl.preprocessing import preprocessing_of
from odtl.serving import INPUT, OUTPUTS, detect_prepared, prepare_batch

SUFFIX = ".onnx"
# From 13 on the standard lacks the way in which TensorFlow scales feature maps up (`tf_half_pixel_for_nn`), and tf2onnx
# writes it all the same.
OPSET = 12
_CLASSES = "classes"


def convert(model, config, classes: Mapping[str, int], path: str | os.PathLike) -> None:
    """Write a model as an ONNX file, whole or not at all.

    model, config: as `checkpoints.load_model` returns them. classes: name -> id; the file holds them as JSON in its
    metadata, under `classes`.
    Raises InputError where tf2onnx is not installed.
    """
    tf2onnx = _optional("tf2onnx", path)
    import tensorflow as tf

    # Else it copies the whole graph before each of its many passes, to go on without one that fails.
    os.environ.setdefault("TF2ONNX_CATCH_ERRORS", "FALSE")

    preprocessing = preprocessing_of(config)
    signature = [tf.TensorSpec([None, None, None, 3], tf.uint8, name=INPUT)]

    @tf.function(input_signature=signature, autograph=False)
    def detect(image_tensor):
        # tf2onnx gives what is scaled the type of what it was made of.
        pixels = tf.cast(image_tensor, tf.float32)
        outputs = detect_prepared(model, *prepare_batch(pixels, preprocessing))
        return {name: tf.identity(outputs[name], name=name) for name in OUTPUTS}

    written, _ = tf2onnx.convert.from_function(detect, signature, opset=OPSET)
    entry = written.metadata_props.add()
    entry.key, entry.value = _CLASSES, json.dumps(dict(classes), ensure_ascii=False)
    with atomic_open(path, "wb") as stream:
        stream.write(written.SerializeToString(deterministic=True))


def run_onnx(
    path: str | os.PathLike, threads: int | None = None
) -> tuple[Callable[[np.ndarray], dict[str, np.ndarray]], dict[int, str] | None]:
    """Return (run, names) of an ONNX detector.

    run: uint8 (N, H, W, 3), RGB -> outputs as `serving.OUTPUTS`. names: id -> name; None where the file has none.
    threads: how many ONNX Runtime uses for one operation; None: as it likes.
    Raises InputError where the file is damaged or no such detector, or onnxruntime is not installed.
    """
    runtime = _optional("onnxruntime", path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        classes = json.loads(session.get_modelmeta().custom_metadata_map.get(_CLASSES, "null"))
        names = None if classes is None else {int(number): name for name, number in classes.items()}
    # ONNX Runtime has an error of its own for each kind of damage, without a common base.
    except Exception as error:
        found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        cure = "The file is damaged or no such model: export it again."
        raise InputError(Problem(str(path), "ONNX model", found, cure)) from error
    given = {tensor.name for tensor in (*session.get_inputs(), *session.get_outputs())}
    missing = sorted({INPUT, *OUTPUTS} - given)
    if missing:
        cure = "Its inputs and outputs must be named as in the TF Object Detection API."
        raise InputError(Problem(str(path), "tensors", f"no {', '.join(missing)}", cure))

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(OUTPUTS, session.run(list(OUTPUTS), {INPUT: batch}), strict=True))

    return run, names


def _optional(name: str, path: str | os.PathLike):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        cure = "`make onnx` installs it; or leave `onnx` out of `export.formats`."
        raise InputError(Problem(str(path), name, f"not installed ({error})", cure)) from error
