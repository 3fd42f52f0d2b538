"""What stands beside the exports: metadata.json for programs, formats.csv, and what the model card is made of."""

import csv
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odtl.detector import LABEL_MAP, METADATA
from odtl.export.formats import PATHS
from odtl.files import atomic_open, sha256_of, write_csv, write_json
from odtl.label_map import read_label_map
from odtl.serving import OUTPUTS
from odtl.sidecars import recorded_sha256

LABELS = "labels.txt"
VERSIONS = ("tensorflow", "tf-models-official", "ai-edge-litert")


@dataclass(frozen=True)
class Sources:
    """The files that an export's metadata are gathered from.

    candidates, parity: format -> sidecar of its candidate, proof of the gate. latency: as `latency` writes it.
    training, metrics, per_class: of the experiment. card: of the data set. pretrained: source.json, or None.
    sidecars: of the records, split -> paths.
    """

    candidates: Mapping[str, str]
    parity: Mapping[str, str]
    latency: str
    training: str
    metrics: str
    per_class: str
    card: str
    pretrained: str | None
    sidecars: Mapping[str, Sequence[str]]


def gather(sources: Sources, experiment: str, factory: str, settings: Mapping, folder: str | os.PathLike) -> dict:
    """Return what metadata.json holds; see docs/exports.md.

    factory: official.vision's name for the kind of detector. settings: the experiment's, as configured.
    folder: the export folder; what lies in it of the formats at hand is summed.
    """
    parity = {name: _read(path) for name, path in sources.parity.items()}
    sidecars = {name: _read(path) for name, path in sources.candidates.items()}
    training, latency, any_candidate = _read(sources.training), _read(sources.latency), next(iter(sidecars.values()))
    files = _files(folder, parity)
    return {
        "experiment": experiment,
        "factory": factory,
        "classes": any_candidate["classes"],
        "checkpoint": any_candidate["checkpoint"],
        "checkpoint_sha256": any_candidate["checkpoint"]["sha256"],
        "input": any_candidate["input"],
        "outputs": [f"{name}:0" for name in OUTPUTS],
        "boxes": "ymin, xmin, ymax, xmax in [0, 1] of the image as given",
        "quality": _quality(sources, any_candidate["checkpoint"]["sha256"]),
        "data": _data(sources),
        "training": {name: training.get(name) for name in _TRAINING},
        "pretrained": _read(sources.pretrained) if sources.pretrained else None,
        "settings": settings,
        "versions": {"python": platform.python_version(), **_versions()},
        "latency": {name: value for name, value in latency.items() if name != "milliseconds"},
        "formats": {
            name: {
                "path": PATHS[name],
                "bytes": sum(facts["bytes"] for file, facts in files.items() if file.split("/")[0] == PATHS[name]),
                "compared_on": {"split": proof["split"], "images": proof["images"]},
                **{figure: proof[figure]["export"] for figure in ("AP", "AP50")},
                "milliseconds": latency["milliseconds"].get(name, {}),
            }
            for name, proof in parity.items()
        },
        "files": files,
    }


_TRAINING = ("steps", "batch_size", "seconds", "images_per_second", "device", "precision", "parameters", "versions")


def write_metadata(
    metadata: Mapping[str, Any], card: str, folder: str | os.PathLike, threads: Sequence[int], model_card: str
) -> None:
    """Write metadata.json, formats.csv and the model card into an export folder."""
    folder = Path(folder)
    columns = ("format", "file", "bytes", "AP", "AP50", *(f"milliseconds_{count}_threads" for count in threads))
    write_csv(folder / "formats.csv", columns, table(metadata, threads))
    with atomic_open(folder / model_card) as stream:
        stream.write(card)
    # Last: whoever sees it finds the rest.
    write_json(folder / METADATA, metadata)


def table(metadata: Mapping[str, Any], threads: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each format: the columns of formats.csv."""
    return [
        {
            "format": name,
            "file": entry["path"],
            "bytes": entry["bytes"],
            "AP": entry["AP"],
            "AP50": entry["AP50"],
            **{f"milliseconds_{count}_threads": entry["milliseconds"].get(str(count)) for count in threads},
        }
        for name, entry in metadata["formats"].items()
    ]


def write_labels(label_map_path: str | os.PathLike, label_map: str | os.PathLike, labels: str | os.PathLike) -> None:
    """Put the label map beside the exports, once as it is and once as a line for each id, from 1.

    A mobile client counts classes from 0, so the first line is its class 0. An id that is not used has `???`.
    """
    names = {number: name for name, number in read_label_map(label_map_path).items()}
    with open(label_map_path, "rb") as source, atomic_open(label_map, "wb") as target:
        shutil.copyfileobj(source, target)
    with atomic_open(labels) as stream:
        stream.writelines(f"{names.get(number, '???')}\n" for number in range(1, max(names) + 1))


def remove_others(folder: str | os.PathLike, formats: Sequence[str]) -> list[str]:
    """Remove what other formats have left in an export folder, as of another training it may be; return their names."""
    folder, removed = Path(folder), []
    for name, path in PATHS.items():
        if name not in formats and (folder / path).exists():
            shutil.rmtree(folder / path) if (folder / path).is_dir() else (folder / path).unlink()
            (folder / "parity" / f"{name}.json").unlink(missing_ok=True)
            removed.append(name)
    return removed


def _files(folder: str | os.PathLike, parity: Mapping[str, Mapping]) -> dict[str, dict]:
    """Return sum and size of each file of the exports, as they lie there."""
    folder = Path(folder)
    names = [*(name for proof in parity.values() for name in proof["files"]), LABEL_MAP, LABELS]
    return {
        name: {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size} for name in sorted(names)
    }


def _quality(sources: Sources, checkpoint: str) -> dict[str, Any]:
    """Return the figures on all test images, if they are those of the checkpoint that was exported."""
    metrics = _read(sources.metrics)
    if metrics["checkpoint_sha256"] != checkpoint:
        note = "The evaluation is of the best checkpoint, another one: what each format reaches stands in `formats`."
        return {"note": note, "images": 0, "AP": None, "AP50": None, "per_class": []}
    figures = {name: metrics[name] for name in ("images", "AP", "AP50")}
    return {"note": "", **figures, "per_class": _rows(sources.per_class)}


def _rows(path: str) -> list[dict[str, Any]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return [
            {
                "class": row["class"],
                **{name: float(row[name]) if row[name] else None for name in ("AP", "AP50")},
                "boxes": int(row["boxes"]),
            }
            for row in csv.DictReader(stream)
        ]


def _data(sources: Sources) -> dict[str, Any]:
    """Return how much data there is, and a fingerprint: SHA-256 over the sums of all records, of each split its own."""
    splits = _read(sources.card)["splits"]
    return {
        "fingerprint": {
            split: hashlib.sha256("".join(recorded_sha256(path, "records") for path in paths).encode()).hexdigest()
            for split, paths in sources.sidecars.items()
        },
        "images": {name: split["images"] for name, split in splits.items()},
        "boxes": {name: split["boxes"] for name, split in splits.items()},
    }


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in VERSIONS}


def _read(path: str | os.PathLike) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))
