"""A checkpoint as files that others can use: a SavedModel and a frozen graph, both with the label map.

Both take images of any size and do the preprocessing themselves. Their tensors are named as those of the TF Object
Detection API, so that its clients run them unchanged:
  image_tensor       uint8 (N, H, W, 3), RGB
  detection_boxes    float32 (N, M, 4), ymin, xmin, ymax, xmax in [0, 1] of the image as given
  detection_scores   float32 (N, M), best first
  detection_classes  float32 (N, M), ids of the label map, from 1
  num_detections     float32 (N,): what comes after is padding

official.vision has an exporter, too (`official.vision.serving.export_saved_model_lib`). It is not used, for three
reasons: its boxes are pixels of the original image unless another switch is set, and the names and types of its tensors
are not the API's; for a batch of any size it replaces NMS versions that the evaluation uses; and it writes the Keras
objects along, which takes longer than all the rest. The model and each step of the preprocessing are official.vision's.
"""

import importlib.metadata
import itertools
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from odtl import checkpoints
from odtl.compare import Tolerances, check_parity
from odtl.detector import FROZEN_GRAPH, LABEL_MAP, METADATA, SAVED_MODEL, Detector
from odtl.files import atomic_folder, sha256_of, write_json
from odtl.label_map import read_label_map
from odtl.preprocessing import preprocessing_of
from odtl.records import read_records
from odtl.serving import (
    INPUT,
    OUTPUTS,
    check_class_count,
    checkpoint_digest,
    detect_encoded,
    detect_prepared,
    prepare_batch,
)

PARITY = "parity.json"


def export(
    experiment_path: str | os.PathLike,
    factory: str,
    checkpoint_prefix: str | os.PathLike,
    label_map_path: str | os.PathLike,
    records: Sequence[str | os.PathLike],
    export_dir: str | os.PathLike,
    *,
    tolerances: Tolerances = Tolerances(),  # noqa: B008 - frozen
    images: int = 16,
) -> dict:
    """Write a checkpoint as SavedModel and frozen graph, prove that both find what it finds, and return the proof.

    experiment_path, factory: the experiment's configuration and the name official.vision knows its kind by.
    records: TFRecord files; their first `images` images are what the exports are tried on, each loaded from disk.
    export_dir: written whole or not at all: saved_model/, frozen_inference_graph.pb, label_map.pbtxt, metadata.json
                and parity.json, which is also what is returned.
    Raises ParityError where an export differs by more than the tolerances, InputError where the inputs do not fit
    together.
    """
    model, config = checkpoints.load_model(experiment_path, factory, checkpoint_prefix)
    classes = read_label_map(label_map_path)
    check_class_count(config, classes, label_map_path)
    with atomic_folder(export_dir) as folder:
        _write_models(model, preprocessing_of(config), folder)
        for place in (folder, folder / SAVED_MODEL / "assets.extra"):
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(label_map_path, place / LABEL_MAP)
        metadata = _metadata(config, factory, classes, checkpoint_digest(checkpoint_prefix), folder)
        write_json(folder / METADATA, metadata)
        parity = prove_parity(model, config, records, images, folder, tolerances)
        write_json(folder / PARITY, {"checkpoint_sha256": metadata["checkpoint_sha256"], **parity})
    return parity


def _write_models(model, preprocessing, folder: Path) -> None:
    import tensorflow as tf

    class Serving(tf.Module):
        """Holds the weights alone: with the Keras model in it, saving would trace each layer once more."""

        def __init__(self) -> None:
            super().__init__()
            self.weights = list(model.variables)

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name=INPUT)])
        def detect(self, image_tensor):
            outputs = detect_prepared(model, *prepare_batch(image_tensor, preprocessing))
            return {name: tf.identity(outputs[name], name=name) for name in OUTPUTS}

    serving = Serving()
    traced = serving.detect.get_concrete_function()
    tf.saved_model.save(serving, str(folder / SAVED_MODEL), signatures=traced)
    (folder / FROZEN_GRAPH).write_bytes(_freeze(traced).SerializeToString(deterministic=True))


def _freeze(traced):
    """Return the GraphDef of a traced function with its variables as constants."""
    # It has no public name; TensorFlow's own guides to frozen graphs import it from here.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(traced).graph.as_graph_def()


def prove_parity(
    model,
    config,
    records: Sequence[str | os.PathLike],
    limit: int,
    folder: str | os.PathLike,
    tolerances: Tolerances,
) -> dict:
    """Compare each export in a folder, loaded from disk, with the model it was made of; return the report.

    model, config: as `checkpoints.load_model` returns them. limit: how many images of the records are tried.
    Raises ParityError for the first export that is out of tolerance.
    """
    import tensorflow as tf

    examples = list(itertools.islice(itertools.chain.from_iterable(map(read_records, records)), limit))
    encoded = [example["image/encoded"][0] for example in examples]
    names = [_name(example, index) for index, example in enumerate(examples)]
    pixels = [tf.io.decode_image(image, channels=3, expand_animations=False).numpy() for image in encoded]
    reference = list(detect_encoded(model, config, encoded))
    formats = {}
    for path in (SAVED_MODEL, FROZEN_GRAPH):
        detector = Detector.load(Path(folder) / path)
        candidate = [detector.detect(image[None])[0] for image in pixels]
        formats[path] = check_parity(path, names, reference, candidate, tolerances)
    return {
        "tolerances": vars(tolerances),
        "images": len(examples),
        "note": _note(len(examples), sum(len(found.at_least(tolerances.score_threshold)) for found in reference)),
        "formats": formats,
    }


def _note(images: int, detections: int) -> str:
    if not images:
        return "There is no image to compare on: the exports were loaded again, but not compared with the checkpoint."
    if not detections:
        return (
            "The checkpoint finds nothing on these images: all that could be compared is that the exports do so, too."
        )
    return f"The exports were loaded from disk and compared on {images} image(s), {detections} detection(s)."


def _metadata(config, factory: str, classes: dict[str, int], digest: str, folder: Path) -> dict:
    preprocessing = preprocessing_of(config)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "classes": classes,
        "input": {
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
        },
        "outputs": [f"{name}:0" for name in OUTPUTS],
        "boxes": "ymin, xmin, ymax, xmax in [0, 1] of the image as given",
        "factory": factory,
        "checkpoint_sha256": digest,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("tensorflow", "tf-models-official")},
        },
        "files": {
            path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "bytes": path.stat().st_size}
            for path in files
        },
    }


def _name(record: Mapping, index: int) -> str:
    names = record.get("image/filename")
    return names[0].decode("utf-8") if names else f"record {index}"
