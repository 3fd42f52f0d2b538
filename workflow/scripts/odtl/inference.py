"""An exported detector at work: on arrays of pixels, and on a folder of images."""

import hashlib
import io
import json
import os
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from odtl import images
from odtl.detections import Detections, from_outputs
from odtl.drawing import Mark, draw_marks
from odtl.errors import InputError, Problem, said_by
from odtl.files import atomic_folder, write_csv
from odtl.label_map import read_label_map
from odtl.listing import image_files, spread
from odtl.serving import INPUT, OUTPUTS

LABEL_MAP = "label_map.pbtxt"
METADATA = "metadata.json"
SAVED_MODEL = "saved_model"
FROZEN_GRAPH = "frozen_inference_graph.pb"

CSV_COLUMNS = ("filename", "width", "height", "class", "score", "xmin", "ymin", "xmax", "ymax")
UNREADABLE_COLUMNS = ("filename", "reason")

# In bytes, on nearly every file system.
_LONGEST_NAME = 255
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe")


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


@dataclass(frozen=True)
class FolderSummary:
    """What `detect_folder` did: images read, detections written, and (file, reason) of what could not be read."""

    images: int
    detections: int
    unreadable: tuple[tuple[str, str], ...]


def detect_folder(
    model: str | os.PathLike,
    inputs: str | os.PathLike,
    output: str | os.PathLike,
    score_threshold: float,
    max_images: int | None = None,
) -> FolderSummary:
    """Detect objects in all images of a folder, sub-folders included, and write what was found.

    model:  what `Detector.load` takes. inputs: the folder. score_threshold: detections that score less are left out.
    max_images: take no more than so many, spread evenly over the sorted names; None: all.
    output: a folder, written whole or not at all:
      images/          the images with boxes and labels, JPEG, in the same sub-folders (see `output_names`);
      detections.csv   CSV_COLUMNS, one row per detection, best first per image; pixels of the upright image;
      unreadable.csv   UNREADABLE_COLUMNS, one row per image that could not be read and was skipped.
    Raises InputError where the folder or the model is missing or damaged. A single bad image is no error.
    """
    inputs, output = Path(inputs), Path(output)
    if output.resolve() == inputs.resolve() or output.resolve() in inputs.resolve().parents:
        cure = "It is replaced as a whole, and would take the images with it: name another folder."
        raise InputError(Problem(str(output), "output folder", f"a folder that holds the images, {inputs}", cure))
    files = spread(list(image_files(inputs, output)), max_images)
    return detect_files(model, {file: inputs / file for file in files}, output, score_threshold)


def detect_files(
    model: str | os.PathLike,
    files: Mapping[str, str | os.PathLike],
    output: str | os.PathLike,
    score_threshold: float,
) -> FolderSummary:
    """Detect objects in images and write what was found, as `detect_folder` does.

    files: name in the results (with `/` for sub-folders) -> path.
    """
    detector = Detector.load(model)
    unreadable: list[tuple[str, str]] = []
    rows: list[dict] = []
    with atomic_folder(output) as folder:
        names = output_names(list(files))
        for number, (file, path) in enumerate(files.items(), start=1):
            _progress(number, len(files))
            try:
                image = read_upright(path)
            # A damaged file can make a decoder raise nearly anything, and one file must not cost all others.
            except Exception as error:
                unreadable.append((file, said_by(error)))
                continue
            (found,) = detector.detect(np.asarray(image)[None])
            found = found.at_least(score_threshold)
            rows.extend(_rows(file, image.size, found, detector.names))
            _save(draw_marks(image, marks(found, detector.names)), folder / "images" / names[file])
        (folder / "images").mkdir(exist_ok=True)
        write_csv(folder / "detections.csv", CSV_COLUMNS, rows)
        write_csv(
            folder / "unreadable.csv",
            UNREADABLE_COLUMNS,
            [dict(zip(UNREADABLE_COLUMNS, entry, strict=True)) for entry in unreadable],
        )
    summary = FolderSummary(len(files) - len(unreadable), len(rows), tuple(unreadable))
    _report(summary, score_threshold)
    return summary


def marks(found: Detections, names: Mapping[int, str]) -> list[Mark]:
    """Return what is to be drawn for detections: the class's name and its score in per cent."""
    return [
        Mark(tuple(box), f"{names.get(int(class_id), f'class {class_id}')} {score:.0%}", int(class_id))
        for box, score, class_id in zip(found.boxes.tolist(), found.scores, found.classes, strict=True)
    ]


def read_upright(path: str | os.PathLike) -> Image.Image:
    """Return an image as 8-bit RGB, upright; the first frame of several. Any format that Pillow reads.

    What training reads is treated as training treats it (`images.upright_rgb`): pixels must mean the same.
    Raises ImageError, or what Pillow raises, where the file is no image or is damaged.
    """
    data = images.read_bytes(path)
    with warnings.catch_warnings():
        # A large photograph is no attack; Pillow still refuses twice that size.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data)) as image:
            if image.format in images.FORMATS:
                return images.upright_rgb(data)
            return ImageOps.exif_transpose(image).convert("RGB")


def output_names(files: Sequence[str]) -> dict[str, str]:
    """Return input -> output name, all different, also where case and the way of writing accents do not count.

    files: relative paths with `/`, all different. A JPEG keeps its name (`.jpg` for `.JPG` and `.jpeg`); to any other
    name `.jpg` is added, so that `a.png` and `a.jpg` do not collide. One that gets too long is cut.
    """
    names, taken = {}, set()

    def folded(name: str) -> str:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())

    # Those that keep their name come first: a name must not depend on what else is in the folder.
    for file in sorted(files, key=lambda file: (not file.endswith(".jpg"), file)):
        stem, suffix = os.path.splitext(file)
        stem = _cut(stem if suffix.lower() in _JPEG_SUFFIXES else file, file)
        name, number = f"{stem}.jpg", 2
        while folded(name) in taken:
            name, number = f"{stem}-{number}.jpg", number + 1
        names[file] = name
        taken.add(folded(name))
    return names


def _cut(stem: str, file: str) -> str:
    """Return a stem to which ".jpg" can be added, and a number before it if the name was not the file's own."""
    folder, name = os.path.split(stem)
    encoded = os.fsencode(name)
    if len(encoded) + len(".jpg") <= (_LONGEST_NAME if f"{stem}.jpg" == file else _LONGEST_NAME - 12):
        return stem
    digest = hashlib.sha256(os.fsencode(file)).hexdigest()[:8]
    # A letter of several bytes may be cut in the middle.
    kept = encoded[: _LONGEST_NAME - 40].decode("utf-8", "ignore")
    return os.path.join(folder, f"{kept}-{digest}")


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


def _rows(file: str, size: tuple[int, int], found: Detections, names: Mapping[int, str]) -> Iterator[dict]:
    for box, score, class_id in zip(found.boxes, found.scores, found.classes, strict=True):
        name = names.get(int(class_id), f"class {class_id}")
        edges = (f"{edge:.2f}" for edge in box)
        yield dict(zip(CSV_COLUMNS, (file, *size, name, f"{score:.4f}", *edges), strict=True))


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without chroma subsampling, or the letters' colours run.
    image.save(path, "JPEG", quality=90, subsampling=0)


def _progress(number: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rDetecting: image {number} of {total}", end="\n" if number == total else "", file=sys.stderr)
    elif number == total or number % 100 == 0:
        print(f"Detecting: image {number} of {total}", file=sys.stderr)


def _report(summary: FolderSummary, score_threshold: float) -> None:
    print(
        f"{summary.detections} detection(s) with a score of at least {score_threshold:g} in {summary.images} image(s).",
        file=sys.stderr,
    )
    for file, reason in summary.unreadable:
        print(f"Skipped, cannot be read: {file}: {reason}", file=sys.stderr)
