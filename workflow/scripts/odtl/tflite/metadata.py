"""What a TFLite detector says of itself: input, outputs, labels; mobile clients read it, and so does `tflite.running`.

A TFLite model with metadata is one file of two parts. The model, a flatbuffer, has a buffer named TFLITE_METADATA with
another flatbuffer (`metadata_schema.fbs` of MediaPipe, formerly of TFLite Support, Apache-2.0). Files that it names,
such as the labels, stand in a zip archive at the end: `unzip -p model.tflite labels.txt` shows them.
https://ai.google.dev/edge/litert/conversion/tensorflow/metadata

The schema has no word for how an image is brought to the input's shape. That is in a file of ours, detector.json.
"""

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import flatbuffers

from odtl.errors import InputError, Problem
from odtl.tflite import tables

LABELS = "labels.txt"
SETTINGS = "detector.json"
# The line of an id that no class has, as in the label files of the TF Object Detection API's TFLite models.
NO_CLASS = "???"
# Of the four outputs, as MediaPipe's own writer names them.
OUTPUT_NAMES = ("location", "category", "score", "number of detections")

_LAST_OPERATION = "TFLite_Detection_PostProcess"
_BUFFER, _IDENTIFIER = "TFLITE_METADATA", b"M001"
# TENSOR_VALUE_LABELS: a line is what a value stands for. DESCRIPTIONS; ColorSpaceType.RGB; BoundingBoxType.BOUNDARIES.
_VALUE_LABELS, _DESCRIPTIONS, _RGB, _BOUNDARIES = 3, 1, 1, 1
# Version 1.2.0 brought the groups of tensors, the youngest thing that is used.
_PARSER_VERSION = "1.2.0"
# What is not used here is left out where it stands last.
_SCHEMA: dict[str, tuple] = {
    "ModelMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("version", "string"),
        ("subgraph_metadata", ["SubGraphMetadata"]),
        ("author", "string"),
        ("license", "string"),
        ("associated_files", ["AssociatedFile"]),
        ("min_parser_version", "string"),
    ),
    "SubGraphMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("input_tensor_metadata", ["TensorMetadata"]),
        ("output_tensor_metadata", ["TensorMetadata"]),
        ("associated_files", ["AssociatedFile"]),
        ("input_process_units", ["ProcessUnit"]),
        ("output_process_units", ["ProcessUnit"]),
        ("input_tensor_groups", ["TensorGroup"]),
        ("output_tensor_groups", ["TensorGroup"]),
    ),
    "TensorMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("dimension_names", ["string"]),
        ("content", "Content"),
        ("process_units", ["ProcessUnit"]),
        ("stats", "Stats"),
        ("associated_files", ["AssociatedFile"]),
    ),
    "AssociatedFile": (("name", "string"), ("description", "string"), ("type", "byte")),
    "Content": (
        ("content_properties", ("FeatureProperties", "ImageProperties", "BoundingBoxProperties")),
        ("range", "ValueRange"),
    ),
    "FeatureProperties": (),
    "ImageProperties": (("color_space", "byte"), ("default_size", "ImageSize")),
    "ImageSize": (("width", "uint"), ("height", "uint")),
    "BoundingBoxProperties": (("index", ["uint"]), ("type", "byte"), ("coordinate_type", "byte")),
    "ValueRange": (("min", "int"), ("max", "int")),
    "ProcessUnit": (("options", ("NormalizationOptions",)),),
    "NormalizationOptions": (("mean", ["float"]), ("std", ["float"])),
    "Stats": (("max", ["float"]), ("min", ["float"])),
    "TensorGroup": (("name", "string"), ("tensor_names", ["string"])),
}


@dataclass(frozen=True)
class Settings:
    """How an image becomes the input of a TFLite detector: what the schema has no words for.

    input_size, padded_size, keep_aspect_ratio: as in `odtl.preprocessing.Preprocessing`; padded_size is the input's.
    padding: red, green and blue of what is added at the bottom and on the right, in the unit of the image's pixels.
    """

    input_size: tuple[int, int]
    padded_size: tuple[int, int]
    keep_aspect_ratio: bool
    padding: tuple[float, float, float]


@dataclass(frozen=True)
class Metadata:
    """What a TFLite file says of itself.

    labels:     name of each class, in order of the values of the output `category`, which start at 0; () for none.
    mean, std:  the input is (pixel - mean) / std, pixels in [0, 255]; per channel or one for all; None where not said.
    outputs:    names of the outputs, in the file's order; () where not said.
    settings:   None in a file of others.
    """

    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    outputs: tuple[str, ...] = ()
    settings: Settings | None = None


def labels_of(classes: Mapping[str, int]) -> list[str]:
    """Return the lines of labels.txt: the class with id 1 comes first. classes: name -> id, from 1."""
    names = {number: name for name, number in classes.items()}
    return [names.get(number, NO_CLASS) for number in range(1, max(names, default=0) + 1)]


def split_labels(text: str) -> tuple[str, ...]:
    """Return the lines of a label file; what other programs take for an end of line may stand in a name."""
    return tuple(line.removesuffix("\r") for line in text.removesuffix("\n").split("\n"))


def with_metadata(model: bytes, labels: Sequence[str], settings: Settings, description: str) -> bytes:
    """Return a TFLite detector with its metadata, and the files that this names, in it.

    model: a TFLite flatbuffer without metadata; one input, pixels in [0, 255], and the four outputs of
           TFLite_Detection_PostProcess, which get its order: boxes as ymin, xmin, ymax, xmax in [0, 1], classes from 0,
           scores, their number. description: a sentence for a person.
    """
    files = {
        LABELS: "".join(f"{label}\n" for label in labels),
        SETTINGS: json.dumps(asdict(settings), indent=1) + "\n",
    }
    stream = io.BytesIO()
    stream.write(_insert(model, tables.pack(_SCHEMA, "ModelMetadata", _content(settings, description), _IDENTIFIER)))
    # Clients map the file into memory: what is in the archive must not be compressed.
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            # The oldest date there is: the same model gives the same file.
            archive.writestr(zipfile.ZipInfo(name), text)
    return stream.getvalue()


def _content(settings: Settings, description: str) -> dict:
    height, width = settings.padded_size
    labels = {"name": LABELS, "description": "The class of each value.", "type": _VALUE_LABELS}
    pair = {"min": 2, "max": 2}
    location, category, score, number = OUTPUT_NAMES
    features = {"FeatureProperties": {}}
    # Where left, top, right and bottom stand.
    boxes = {"BoundingBoxProperties": {"index": [1, 0, 3, 2], "type": _BOUNDARIES}}
    image = {"ImageProperties": {"color_space": _RGB, "default_size": {"width": width, "height": height}}}
    return {
        "name": "ObjectDetector",
        "description": description,
        "subgraph_metadata": [
            {
                "input_tensor_metadata": [
                    {
                        "name": "image",
                        "description": f"Pixels in [0, 255], RGB; {SETTINGS} says how an image is scaled and padded.",
                        "content": {"content_properties": image},
                        "process_units": [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}],
                        "stats": {"max": [255.0], "min": [0.0]},
                    }
                ],
                "output_tensor_metadata": [
                    {
                        "name": location,
                        "description": "Boxes: ymin, xmin, ymax, xmax in [0, 1] of the input.",
                        "content": {"content_properties": boxes, "range": pair},
                    },
                    {
                        "name": category,
                        "description": f"Classes: lines of {LABELS}, from 0.",
                        "content": {"content_properties": features, "range": pair},
                        "associated_files": [labels],
                    },
                    {
                        "name": score,
                        "description": "Scores in [0, 1], best first.",
                        "content": {"content_properties": features, "range": pair},
                    },
                    {
                        "name": number,
                        "description": "How many of the rows are detections.",
                        "content": {"content_properties": features},
                    },
                ],
                "output_tensor_groups": [{"name": "detection_result", "tensor_names": [location, category, score]}],
            }
        ],
        "associated_files": [
            {"name": SETTINGS, "description": "How an image becomes the input.", "type": _DESCRIPTIONS}
        ],
        "min_parser_version": _PARSER_VERSION,
    }


class _Builder(flatbuffers.Builder):
    """Puts weights at multiples of 16 bytes, as TFLite's schema demands and the generated code does not."""

    def CreateNumpyVector(self, x):  # noqa: N802 - the name is flatbuffers'
        self.Prep(16, x.nbytes)
        return super().CreateNumpyVector(x)


def _insert(model: bytes, metadata: bytes) -> bytes:
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(model)
    graph = content.subgraphs[0]
    # The converter gives the outputs an order of its own; clients, and metadata, go by that of the operation.
    graph.outputs = next(
        operator.outputs
        for operator in graph.operators
        if content.operatorCodes[operator.opcodeIndex].customCode == _LAST_OPERATION.encode()
    )
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(metadata, np.uint8)
    entry.name, entry.buffer = _BUFFER, len(content.buffers)
    content.buffers.append(buffer)
    content.metadata = [*(content.metadata or ()), entry]
    builder = _Builder(len(model) + len(metadata))
    builder.Finish(content.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def read_metadata(path: str | os.PathLike) -> Metadata:
    """Return what a TFLite file says of itself; InputError where the file or its metadata is damaged."""
    data = Path(path).read_bytes()
    try:
        packed = _packed_metadata(data)
        if packed is None:
            return Metadata()
        content = tables.unpack(_SCHEMA, "ModelMetadata", packed, _IDENTIFIER)
        return _metadata(content, data)
    # Of a file that was cut or overwritten nearly anything can be wrong.
    except Exception as error:
        found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        cure = "The file is damaged or no TFLite detector: export it again."
        raise InputError(Problem(str(path), "TFLite metadata", found, cure)) from error


def _packed_metadata(data: bytes) -> bytes | None:
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != b"TFL3":
        raise ValueError(f"identifier {data[4:8]!r}, not b'TFL3'")
    model = schema.Model.GetRootAs(data)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == _BUFFER.encode():
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None


def _metadata(content: Mapping, data: bytes) -> Metadata:
    (subgraph,) = content["subgraph_metadata"]
    outputs = subgraph.get("output_tensor_metadata", [])
    (image,) = subgraph["input_tensor_metadata"]
    normalisation = next(
        (unit["options"]["NormalizationOptions"] for unit in image.get("process_units", []) if unit.get("options")), {}
    )
    files = [file for output in outputs for file in output.get("associated_files", [])]
    labels = next((file["name"] for file in files if file.get("type") == _VALUE_LABELS), None)
    named = {file["name"] for file in content.get("associated_files", [])}
    archive = _archive(data) if labels or SETTINGS in named else {}
    return Metadata(
        labels=split_labels(archive[labels]) if labels else (),
        mean=_floats(normalisation.get("mean")),
        std=_floats(normalisation.get("std")),
        outputs=tuple(output.get("name", "") for output in outputs),
        settings=_settings(json.loads(archive[SETTINGS])) if SETTINGS in named else None,
    )


def _archive(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name).decode("utf-8") for name in archive.namelist()}


def _floats(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(map(float, values))


def _settings(content: Mapping) -> Settings:
    return Settings(
        input_size=_pair(content["input_size"]),
        padded_size=_pair(content["padded_size"]),
        keep_aspect_ratio=bool(content["keep_aspect_ratio"]),
        padding=tuple(map(float, content["padding"])),
    )


def _pair(values: Sequence[int]) -> tuple[int, int]:
    height, width = map(int, values)
    return height, width
