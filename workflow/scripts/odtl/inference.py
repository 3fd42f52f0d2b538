"""An exported detector at work on a folder of images."""

import hashlib
import io
import os
import sys
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from odtl import images
from odtl.detections import Detections
from odtl.detector import Detector
from odtl.drawing import Mark, draw_marks
from odtl.errors import InputError, Problem, said_by
from odtl.files import atomic_folder, write_csv
from odtl.listing import image_files, spread

CSV_COLUMNS = ("filename", "width", "height", "class", "score", "xmin", "ymin", "xmax", "ymax")
UNREADABLE_COLUMNS = ("filename", "reason")

# In bytes, on nearly every file system.
_LONGEST_NAME = 255
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe")


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
