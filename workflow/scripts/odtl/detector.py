"""An exported detector, loaded again: arrays of pixels in, detections out, whatever it was exported as."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from odtl.detections import Detections, from_outputs
from odtl.errors import InputError, Problem, said_by
from odtl.label_map import read_label_map
from odtl.serving import INPUT, OUTPUTS

LABEL_MAP = "label_map.pbtxt"
METADATA = "metadata.json"
SAVED_MODEL = "saved_model"
FROZEN_GRAPH = "frozen_inference_graph.pb"


@dataclass(frozen=True, eq=False)
class Detector:
    """A detector that was exported, loaded again.

    names:  id -> name of its label map.
    source: the file or folder it was loaded from.
    run:    uint8 (N, H, W, 3) -> outputs as `detections.from_outputs` takes them.
    """

    names: Mapping[int, str]
    source: str
    run: Callable[[np.ndarray], Mapping[str, np.ndarray]]

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Detector":
        """Load a SavedModel or a frozen graph with its label map.

        path: an export folder (its SavedModel is taken), a SavedModel's folder, or a frozen graph's .pb file. The
        label map is looked for beside it, or in the SavedModel's own `assets.extra`; where there is a metadata file,
        both must name the same classes.
        Raises InputError where something is missing, damaged, or does not fit together.
        """
        path = Path(path)
        if (path / SAVED_MODEL).is_dir():
            path = path / SAVED_MODEL
        if not path.exists():
            cure = f"Name a folder with a SavedModel, or a frozen graph such as {FROZEN_GRAPH}."
            raise InputError(Problem(str(path), "detector", "nothing there", cure))
        names = _class_names(path)
        return cls(names, str(path), _run_saved_model(path) if path.is_dir() else _run_frozen_graph(path))

    def detect(self, batch: np.ndarray) -> list[Detections]:
        """Return the detections of each image of a batch.

        batch: uint8, (N, H, W, 3), RGB, upright, any H and W from 1. Another size costs no further tracing.
        """
        batch = np.asarray(batch)
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3:
            raise ValueError(f"images must be uint8 of shape (N, H, W, 3), not {batch.dtype} {batch.shape}")
        outputs = self.run(batch)
        height, width = batch.shape[1:3]
        return [from_outputs(outputs, index, width, height) for index in range(len(batch))]


def _class_names(path: Path) -> dict[int, str]:
    """Return id -> name of the label map that belongs to a model; InputError if none does."""
    places = [path / "assets.extra", path, path.parent] if path.is_dir() else [path.parent]
    label_map = _first([place / LABEL_MAP for place in places])
    if label_map is None:
        cure = f"Put the {LABEL_MAP} that the model was trained with there: without it, classes have no names."
        raise InputError(Problem(str(places[-1] / LABEL_MAP), "label map", "no such file", cure))
    classes = read_label_map(label_map)
    metadata = _first([path.parent / METADATA])
    if metadata is not None:
        _check_classes(classes, label_map, metadata)
    return {number: name for name, number in classes.items()}


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _check_classes(classes: Mapping[str, int], label_map: Path, metadata: Path) -> None:
    try:
        wanted = json.loads(metadata.read_text(encoding="utf-8"))["classes"]
    except (ValueError, KeyError, TypeError) as error:
        problem = Problem(str(metadata), "classes", said_by(error), "Export the model again.")
        raise InputError(problem) from error
    if dict(classes) != wanted:
        found = f"{len(classes)} class(es) {dict(classes)}"
        cure = f"The model was exported with {len(wanted)} class(es) {wanted}: use its own label map."
        raise InputError(Problem(str(label_map), "item", found, cure), "The label map is not this model's")


def _run_saved_model(folder: Path) -> Callable[[np.ndarray], Mapping[str, np.ndarray]]:
    import tensorflow as tf

    try:
        model = tf.saved_model.load(str(folder))
        signature = model.signatures["serving_default"]
    # What TensorFlow raises depends on which of its files is missing or damaged.
    except Exception as error:
        raise _damaged(folder, "SavedModel", error) from error
    _check_names(folder, {INPUT: INPUT in signature.structured_input_signature[1]})
    _check_names(folder, {name: name in signature.structured_outputs for name in OUTPUTS})

    def run(batch: np.ndarray, model=model) -> dict[str, np.ndarray]:
        # `model` is bound because a signature does not keep its model's variables alive.
        return {name: tensor.numpy() for name, tensor in signature(**{INPUT: tf.constant(batch)}).items()}

    return run


def _run_frozen_graph(file: Path) -> Callable[[np.ndarray], Mapping[str, np.ndarray]]:
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(file.read_bytes())
        wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
    # Protobuf and TensorFlow raise different errors for different damage.
    except Exception as error:
        raise _damaged(file, "frozen graph", error) from error
    present = {node.name for node in graph_def.node}
    _check_names(file, {name: name in present for name in (INPUT, *OUTPUTS)})
    detect = wrapped.prune(f"{INPUT}:0", {name: f"{name}:0" for name in OUTPUTS})

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in detect(tf.constant(batch)).items()}

    return run


def _damaged(path: Path, kind: str, error: Exception) -> InputError:
    found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return InputError(Problem(str(path), kind, found, "The file is damaged or no such model: export it again."))


def _check_names(path: Path, present: Mapping[str, bool]) -> None:
    missing = [name for name, there in present.items() if not there]
    if missing:
        cure = "Its inputs and outputs must be named as in the TF Object Detection API."
        raise InputError(Problem(str(path), "tensors", f"no {', '.join(missing)}", cure))
