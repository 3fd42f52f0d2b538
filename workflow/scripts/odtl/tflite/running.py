"""A TFLite detector at work: LiteRT runs it, and nothing of TensorFlow is loaded."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from odtl.errors import InputError, Problem
from odtl.label_map import read_label_map
from odtl.tflite.metadata import LABELS, NO_CLASS, OUTPUT_NAMES, Metadata, Settings, read_metadata, split_labels
from odtl.tflite.preparing import prepare

SUFFIX = ".tflite"
_LABEL_MAP = "label_map.pbtxt"


def class_names(path: str | os.PathLike) -> dict[int, str]:
    """Return id -> name of a TFLite detector's classes, ids from 1.

    They stand in the file. Where they do not, label_map.pbtxt or labels.txt beside it says them: a line for each id,
    the first for 1. Raises InputError where neither is there or the file is damaged.
    """
    path = Path(path)
    labels = read_metadata(path).labels
    if not labels:
        label_map, lines = path.with_name(_LABEL_MAP), path.with_name(LABELS)
        if label_map.is_file():
            return {number: name for name, number in read_label_map(label_map).items()}
        if not lines.is_file():
            cure = f"Put the {LABELS} or {_LABEL_MAP} of the model beside it: without one, classes have no names."
            raise InputError(Problem(str(path), "labels", "none in the file, and none beside it", cure))
        labels = split_labels(lines.read_text(encoding="utf-8"))
    return {number: name for number, name in enumerate(labels, start=1) if name != NO_CLASS}


def run_tflite(path: str | os.PathLike, threads: int | None = None) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return a function that detects with a TFLite file: uint8 (N, H, W, 3), RGB -> outputs as `serving.OUTPUTS`.

    threads: how many LiteRT uses; None: as it likes. One thread at a time may call the function.
    A file of others works, too, if it has the outputs of TFLite_Detection_PostProcess: its metadata says how pixels
    are normalised, and images are stretched to the input's size, as MediaPipe does.
    Raises InputError where the file is damaged or no such detector.
    """
    metadata = read_metadata(path)
    interpreter = _interpreter(path, threads)
    given = interpreter.get_input_details()[0]
    settings = metadata.settings or _stretched(given["shape"])
    mean, std = _normalisation(path, given, metadata)
    places = _places(path, interpreter.get_output_details(), metadata.outputs)

    def detect(image: np.ndarray) -> dict[str, np.ndarray]:
        pixels, extent = prepare(image, settings)
        interpreter.set_tensor(given["index"], _typed((pixels - mean) / std, given)[None])
        interpreter.invoke()
        found = {name: interpreter.get_tensor(index)[0] for name, index in places.items()}
        return _packed(found, np.tile(np.array(settings.padded_size) / extent, 2))

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        found = [detect(image) for image in batch]
        return {name: np.stack([outputs[name] for outputs in found]) for name in found[0]}

    return run


def _interpreter(path: str | os.PathLike, threads: int | None):
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
        (given,) = interpreter.get_input_details()
        height, width = given["shape"][1:3]
        if tuple(given["shape"]) != (1, height, width, 3):
            raise ValueError(f"an input of shape {tuple(given['shape'])}, not (1, height, width, 3)")
    # What LiteRT raises depends on what is wrong.
    except (ValueError, RuntimeError, TypeError) as error:
        found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        cure = "The file is damaged or no TFLite detector: export it again."
        raise InputError(Problem(str(path), "TFLite model", found, cure)) from error
    return interpreter


def _stretched(shape: np.ndarray) -> Settings:
    size = int(shape[1]), int(shape[2])
    return Settings(size, size, keep_aspect_ratio=False, padding=(0.0, 0.0, 0.0))


def _normalisation(path, given: Mapping, metadata: Metadata) -> tuple[np.ndarray, np.ndarray]:
    """Return what is taken from pixels and what they are then divided by, before they are quantised."""
    if metadata.mean and metadata.std:
        return np.array(metadata.mean, np.float32), np.array(metadata.std, np.float32)
    if given["dtype"] == np.float32:
        cure = "Write it with MediaPipe's metadata writer; what this project exports has it."
        raise InputError(Problem(str(path), "metadata", "no NormalizationOptions for the input", cure))
    # An integer input takes the pixels themselves.
    scale, zero = given["quantization"]
    return np.float32(-zero if scale == 0 else 0), np.float32(1 / scale if scale else 1)


def _places(path, outputs: list[Mapping], names: tuple[str, ...]) -> dict[str, int]:
    """Return the index of each of the four output tensors, by the names of the metadata."""
    if len(outputs) != len(OUTPUT_NAMES):
        cure = "Only models that end in TFLite_Detection_PostProcess can be run."
        raise InputError(Problem(str(path), "outputs", f"{len(outputs)}, not {len(OUTPUT_NAMES)}", cure))
    # Without names they come in the order of the operation's ports.
    order = names if set(names) == set(OUTPUT_NAMES) else OUTPUT_NAMES
    return {name: output["index"] for name, output in zip(order, outputs, strict=True)}


def _typed(values: np.ndarray, given: Mapping) -> np.ndarray:
    if given["dtype"] == np.float32:
        return values.astype(np.float32, copy=False)
    scale, zero = given["quantization"]
    limits = np.iinfo(given["dtype"])
    return np.clip(np.rint(values / (scale or 1) + zero), limits.min, limits.max).astype(given["dtype"])


def _packed(found: Mapping[str, np.ndarray], scale: np.ndarray) -> dict[str, np.ndarray]:
    """Return the detections of one image as `serving.detect_prepared` does: clipped to it, the rest zero.

    scale: of each edge, from [0, 1] of the input to [0, 1] of the image.
    """
    location, category, score, number = (found[name] for name in OUTPUT_NAMES)
    boxes = np.clip(location * scale, 0, 1).astype(np.float32)
    listed = np.arange(len(boxes)) < int(number)
    keep = listed & np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    count = int(keep.sum())

    def packed(values: np.ndarray) -> np.ndarray:
        rows = np.zeros(values.shape, np.float32)
        rows[:count] = values[keep]
        return rows

    return {
        "detection_boxes": packed(boxes),
        "detection_scores": packed(score),
        # Values start at 0, ids at 1: 0 is the background.
        "detection_classes": packed(category + 1),
        "num_detections": np.float32(count),
    }
