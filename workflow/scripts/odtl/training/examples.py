"""A few validation images with what is labelled and what is found side by side, as they look at each evaluation."""

import contextlib
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from odtl.detections import Detections, from_outputs
from odtl.drawing import Mark, draw_marks
from odtl.records import read_records
from odtl.tf_example import Features

IMAGES = 4
# How many records are looked at for images with objects.
LOOKED_AT = 50
# Of each half of a picture, in pixels; with it, a picture takes some 60 KB.
LONG_SIDE = 480
QUALITY = 80
LEAST_SCORE = 0.3
MOST_MARKS = 30


@dataclass(frozen=True, eq=False)
class Example:
    """A labelled image: name, encoded bytes, boxes (N, 4) ymin, xmin, ymax, xmax in [0, 1], classes (N,)."""

    name: str
    encoded: bytes
    boxes: np.ndarray
    classes: np.ndarray


class Examples:
    """The images to show, and what the evaluation that runs has found in them.

    records: TFRecord files. classes: id -> name; where it is empty, names are taken from the records.
    """

    def __init__(self, records: Sequence[str], classes: Mapping[int, str]) -> None:
        features = {int(record["image/source_id"][0]): record for record in _choose(records)}
        self._examples = {number: _example(record) for number, record in features.items()}
        self._classes = dict(classes) or _class_names(features.values())
        self._found: dict[int, Detections] = {}

    def look(self, step_outputs: Mapping) -> None:
        """Take what was found in these images from the outputs of an evaluation step.

        step_outputs: as official.vision's trainers reduce them: what its evaluators get is a pair of ground truth and
        predictions, each name -> one tensor for each replica.
        """
        for value in step_outputs.values():
            if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping):
                predictions = value[1]
                for replica in range(len(predictions["source_id"])):
                    self._look({name: tensors[replica] for name, tensors in predictions.items()})

    def _look(self, predictions: Mapping) -> None:
        numbers = predictions["source_id"].numpy().ravel().tolist()
        for index, number in enumerate(numbers):
            if number in self._examples:
                outputs = {name: tensor[index : index + 1].numpy() for name, tensor in predictions.items()}
                self._found[number] = _detections(outputs)

    def pictures(self) -> Iterator[tuple[str, bytes, tuple[int, int]]]:
        """Yield name, JPEG and (width, height) of each image: on the left what is labelled, on the right what is found.

        What was found is forgotten: the next evaluation finds anew.
        """
        for number, example in self._examples.items():
            if number in self._found:
                yield example.name, *_encode(self._side_by_side(example, self._found[number]))
        self._found = {}

    def _side_by_side(self, example: Example, found: Detections) -> Image.Image:
        image = Image.open(io.BytesIO(example.encoded)).convert("RGB")
        scale = np.array(2 * image.size)
        labelled = example.boxes[:, [1, 0, 3, 2]] * scale
        image.thumbnail((LONG_SIDE, LONG_SIDE))
        scale = np.array(2 * image.size) / scale
        found = found.at_least(LEAST_SCORE)
        titles = [self._name(number) for number in example.classes]
        scores = [
            f"{self._name(number)} {score:.2f}" for number, score in zip(found.classes, found.scores, strict=True)
        ]
        halves = [
            draw_marks(image, _marks(labelled * scale, titles, example.classes)),
            draw_marks(image, _marks(found.boxes * scale, scores, found.classes)),
        ]
        width, height = halves[0].size
        both = Image.new("RGB", (2 * width + 8, height), "white")
        for index, half in enumerate(halves):
            both.paste(half, (index * (width + 8), 0))
        return both

    def _name(self, class_id: int) -> str:
        return self._classes.get(int(class_id), f"class {class_id}")


def _choose(records: Sequence[str]) -> list[Features]:
    """Return the first images with objects, from all files in turn; others where there are too few."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(contextlib.closing(read_records(path))) for path in records if Path(path).exists()]
        turns = itertools.chain.from_iterable(itertools.zip_longest(*files))
        seen = list(itertools.islice((record for record in turns if record), LOOKED_AT))
    return sorted(seen, key=lambda record: not record["image/object/class/label"])[:IMAGES]


def _example(record: Features) -> Example:
    edges = [record[f"image/object/bbox/{edge}"] for edge in ("ymin", "xmin", "ymax", "xmax")]
    return Example(
        record.get("image/filename", record["image/source_id"])[0].decode(errors="replace"),
        record["image/encoded"][0],
        np.array(edges, np.float64).reshape(4, -1).T,
        np.array(record["image/object/class/label"], np.int64),
    )


def _class_names(records: Iterable[Features]) -> dict[int, str]:
    pairs = [(record["image/object/class/label"], record.get("image/object/class/text", [])) for record in records]
    return {number: text.decode() for numbers, texts in pairs for number, text in zip(numbers, texts, strict=False)}


def _detections(outputs: Mapping[str, np.ndarray]) -> Detections:
    """Return what was found in the one image of a batch, in pixels of the original, clipped to it.

    outputs: `detection_boxes` in pixels of the model's input, and `image_info`, as official.vision's tasks give them.
    """
    (height, width), _, scale, _ = outputs["image_info"][0]
    relative = outputs["detection_boxes"] / np.tile(scale, 2) / [height, width, height, width]
    return from_outputs({**outputs, "detection_boxes": np.clip(relative, 0, 1)}, 0, int(width), int(height))


def _marks(boxes: np.ndarray, texts: Iterable[str], classes: Iterable[int]) -> list[Mark]:
    rows = itertools.islice(zip(boxes.tolist(), texts, classes, strict=True), MOST_MARKS)
    return [Mark(tuple(box), text, int(number)) for box, text, number in rows]


def _encode(image: Image.Image) -> tuple[bytes, tuple[int, int]]:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue(), image.size
