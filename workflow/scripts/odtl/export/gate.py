"""The gate: only an export that, loaded from disk, finds what its checkpoint finds is published."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from odtl.compare import Tolerances, check_parity
from odtl.detections import Detections
from odtl.detector import Detector
from odtl.errors import InputError, Problem
from odtl.evaluation import GroundTruth, coco_results, score
from odtl.export.formats import PATHS
from odtl.export.reference import Reference, encoded_images, images_to_compare, read_reference
from odtl.export.sidecars import check
from odtl.files import CHANGED_MEANWHILE, atomic_folder, atomic_open, write_json
from odtl.label_map import read_label_map


def check_export(
    export_format: str,
    candidate: str | os.PathLike,
    sidecar: str | os.PathLike,
    reference_path: str | os.PathLike,
    label_map_path: str | os.PathLike,
    records: Mapping[str, Sequence[str | os.PathLike]],
    limit: int | None,
    tolerances: Tolerances,
    published: str | os.PathLike,
    parity_path: str | os.PathLike,
) -> dict[str, Any]:
    """Compare a candidate with its checkpoint on the same images, and publish it if it finds the same.

    export_format:  a key of `formats.PATHS`. candidate: the folder that holds it; sidecar: what was said of it.
    reference_path: what the checkpoint finds, see `reference.write_reference`; records, limit: as given to that.
    published:      where the file or folder goes, whole; it goes nowhere where an error is raised.
    parity_path:    gets the proof, which is returned: the amounts, those of each image, AP of each class on both sides.
    Raises ParityError where the tolerances are exceeded, InputError where the inputs do not belong together.
    """
    said, reference = check(candidate, sidecar), read_reference(reference_path)
    if said["checkpoint"]["sha256"] != reference.checkpoint_sha256:
        found = f"one of the checkpoint {said['checkpoint']['sha256'][:12]}, not {reference.checkpoint_sha256[:12]}"
        raise InputError(Problem(str(candidate), "candidate", found, CHANGED_MEANWHILE))
    classes = read_label_map(label_map_path)
    split, truths = images_to_compare(records, classes, limit, label_map_path)
    if [truth.filename for truth in truths] != list(reference.found):
        raise InputError(Problem(str(reference_path), "images", "others than in the records", CHANGED_MEANWHILE))
    source = Path(candidate) / PATHS[export_format]
    found = detect_all(Detector.load(source), encoded_images(records[split], len(truths)))
    report = compare(export_format, truths, reference, found, classes, tolerances)
    publish(source, published)
    write_json(
        parity_path,
        {
            "format": export_format,
            **report,
            "tolerances": vars(tolerances),
            "checkpoint": said["checkpoint"],
            "files": {
                name: facts for name, facts in said["files"].items() if name.split("/")[0] == PATHS[export_format]
            },
        },
    )
    return report


def detect_all(detector: Detector, encoded) -> list[Detections]:
    """Return what a detector finds in encoded images, decoded as in training."""
    import tensorflow as tf

    images = (tf.io.decode_image(image, channels=3, expand_animations=False).numpy() for image in encoded)
    return [detector.detect(pixels[None])[0] for pixels in images]


def compare(
    export_format: str,
    truths: Sequence[GroundTruth],
    reference: Reference,
    found: Sequence[Detections],
    classes: Mapping[str, int],
    tolerances: Tolerances,
) -> dict[str, Any]:
    """Compare what an export finds with the reference and return the report; ParityError if it is out of tolerance."""
    wanted = list(reference.found.values())
    before, after = (score(truths, coco_results(truths, detections), classes) for detections in (wanted, found))
    pairs = [
        (row["class"], row["AP"], other["AP"]) for row, other in zip(before.per_class, after.per_class, strict=True)
    ]
    report = check_parity(export_format, list(reference.found), wanted, found, tolerances, pairs)
    listed = sum(len(detections.at_least(tolerances.score_threshold)) for detections in wanted)
    return {
        "split": reference.split,
        "note": note(reference.split, len(truths), listed),
        "AP": {"checkpoint": before.figures["AP"], "export": after.figures["AP"]},
        "AP50": {"checkpoint": before.figures["AP50"], "export": after.figures["AP50"]},
        **report,
    }


def note(split: str, images: int, detections: int) -> str:
    """Say in words on how much a comparison rests."""
    if not images:
        return "There is no image to compare on: the export was loaded again, but not compared with the checkpoint."
    on = f"{images} {split} image(s)"
    if split != "test":
        on += ", since there are no test images"
    if not detections:
        return f"The checkpoint finds nothing on {on}: all that could be compared is that the export does so, too."
    return f"The export was loaded from disk and compared on {on}, with {detections} detection(s) of the checkpoint."


def publish(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Copy a file or a folder to its final place: whole or not at all."""
    source = Path(source)
    if source.is_dir():
        with atomic_folder(target) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
        return
    with open(source, "rb") as stream, atomic_open(target, "wb") as copy:
        shutil.copyfileobj(stream, copy)
