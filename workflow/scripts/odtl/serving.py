"""A trained detector as it is used: pixels in, detections out, by the names of the TF Object Detection API.

Evaluation, the exports and the proof that they agree all go through here, so that there is one meaning of "what the
detector finds". The preprocessing and the model are official.vision's.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from odtl.detections import Detections, from_outputs
from odtl.errors import InputError, Problem
from odtl.preprocessing import preprocessing_of

# The names by which clients of the TF Object Detection API know a detector's tensors.
# https://github.com/tensorflow/models/blob/master/research/object_detection/exporter_lib_v2.py
INPUT = "image_tensor"
OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


def detect_encoded(model, config, encoded: Iterable[bytes], batch_size: int = 8) -> Iterator[Detections]:
    """Yield what the model detects in each encoded image (JPEG or PNG, upright), the last partial batch too.

    model, config: as `checkpoints.load_model` returns them. Images are decoded by TensorFlow, as in training.
    """
    import tensorflow as tf

    preprocessing = preprocessing_of(config)

    def decode(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
        return prepare(pixels, preprocessing)

    dataset = tf.data.Dataset.from_generator(lambda: encoded, output_signature=tf.TensorSpec([], tf.string))
    dataset = dataset.map(decode, num_parallel_calls=2).batch(batch_size, drop_remainder=False).prefetch(1)
    # Without a signature the last, smaller batch would be traced anew.
    specs = [tf.TensorSpec((None, *spec.shape[1:]), spec.dtype) for spec in dataset.element_spec]
    detect = tf.function(lambda prepared, image_info: detect_prepared(model, prepared, image_info), specs)
    for prepared, image_info in dataset:
        outputs = {name: tensor.numpy() for name, tensor in detect(prepared, image_info).items()}
        for index, (height, width) in enumerate(image_info[:, 0].numpy()):
            yield from_outputs(outputs, index, int(width), int(height))


def prepare(image, preprocessing):
    """Return (prepared, image_info) of one image for the model; for almost any image just what `preprocessing` does.

    image: uint8 tensor (H, W, 3). preprocessing: as `preprocessing_of` gives it. prepared: float32
    (*padded_size, 3). image_info: float32 (4, 2); its first row is the height and width of the image as given.
    An image so narrow that scaling would leave no pixel of it, which official.vision refuses, is padded before.
    """
    import tensorflow as tf

    height, width = tf.unstack(tf.shape(image)[:2])
    least = tf.cast(tf.math.ceil(tf.maximum(height, width) / min(preprocessing.input_size)), tf.int32)
    padded = tf.image.pad_to_bounding_box(image, 0, 0, tf.maximum(height, least), tf.maximum(width, least))
    prepared, image_info = preprocessing.apply(padded)
    size = tf.cast(tf.stack([height, width]), tf.float32)
    return prepared, tf.concat([size[None], image_info[1:]], axis=0)


def prepare_batch(batch, preprocessing):
    """Return (prepared, image_info) of a batch, (N, *padded_size, 3) and (N, 4, 2); see `prepare`.

    batch: uint8 tensor (N, H, W, 3), all sizes unknown or not.
    """
    import tensorflow as tf

    signature = tf.TensorSpec((*preprocessing.padded_size, 3), tf.float32), tf.TensorSpec((4, 2), tf.float32)
    return tf.map_fn(lambda image: prepare(image, preprocessing), batch, fn_output_signature=signature)


def detect_prepared(model, prepared, image_info) -> dict:
    """Return the model's detections of a prepared batch as the outputs of the TF Object Detection API.

    model: any of official.vision's detectors; it is called as `model(images, image_shape=..., anchor_boxes=None,
    training=False)`. prepared, image_info: as `prepare_batch` gives them.
    Boxes are ymin, xmin, ymax, xmax relative to the original image, clipped to it. A box of which nothing is left then,
    because it lay in the padding, is taken out. What comes after the last detection is zero.
    """
    import tensorflow as tf

    found = model(prepared, image_shape=image_info[:, 1, :], anchor_boxes=None, training=False)
    original, scale = image_info[:, None, 0, :], image_info[:, None, 2, :]
    boxes = tf.cast(found["detection_boxes"], tf.float32) / tf.tile(scale * original, [1, 1, 2])
    boxes = tf.clip_by_value(boxes, 0.0, 1.0)
    listed = tf.range(tf.shape(boxes)[1])[None] < tf.cast(found["num_detections"], tf.int32)[:, None]
    keep = listed & tf.reduce_all(boxes[..., 2:] > boxes[..., :2], axis=-1)
    order = tf.argsort(tf.cast(keep, tf.int32), axis=1, direction="DESCENDING", stable=True)
    kept = tf.cast(tf.gather(keep, order, batch_dims=1), tf.float32)

    def packed(values):
        return tf.gather(tf.cast(values, tf.float32), order, batch_dims=1)

    return {
        "detection_boxes": packed(boxes) * kept[..., None],
        "detection_scores": packed(found["detection_scores"]) * kept,
        "detection_classes": packed(found["detection_classes"]) * kept,
        "num_detections": tf.reduce_sum(kept, axis=1),
    }


def check_class_count(config, classes: Mapping[str, int], label_map_file: str | os.PathLike) -> None:
    """Raise InputError unless a model of this ExperimentConfig tells just the ids of the label map apart."""
    # The model counts the background, which has the id 0.
    highest = int(config.task.model.num_classes) - 1
    if max(classes.values()) != highest:
        cure = (
            f"The model was trained for the ids 1 to {highest}: train again, or give the label map it was trained with."
        )
        raise InputError(Problem(str(label_map_file), "highest id", str(max(classes.values())), cure))


def checkpoint_digest(prefix: str | os.PathLike) -> str:
    """Return the hex SHA-256 over the files of a checkpoint (`{prefix}.index`, `{prefix}.data-...`), in name order.

    Raises InputError where there is none.
    """
    prefix = Path(prefix)
    files = sorted(
        path
        for path in prefix.parent.glob(f"{prefix.name}.*")
        if path.suffix == ".index" or path.name.startswith(f"{prefix.name}.data-")
    )
    if not files:
        cure = "A checkpoint is an .index file and .data files under one prefix: train first."
        raise InputError(Problem(str(prefix), "checkpoint", "no such files", cure))
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
