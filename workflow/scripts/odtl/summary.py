"""What a run made, in a few lines for a person."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odtl.comparison.gathering import gather
from odtl.comparison.tables import text_table
from odtl.files import atomic_open


def write_summary(
    results: str | os.PathLike, trainings: Mapping[str, Mapping[str, int]], path: str | os.PathLike
) -> str:
    """Write a text on the data set and on each training under the folder `results` to `path`; return it.

    trainings: experiment -> the folder of each of its trainings -> its seed.
    """
    results = Path(results)
    names = [name for seeds in trainings.values() for name in seeds]
    lines = [_data_line(_read(results / "dataset/card.json"), results), ""]
    for name in names:
        folder = results / name
        training, metrics = _read(folder / "checkpoint/training.json"), _read(folder / "evaluation/metrics.json")
        lines += describe_training(name, training, metrics)
        lines += describe_exports(_read(folder / "export/metadata.json"))
    if len(names) > 1:
        marks = "* the best; ± the standard deviation over the seeds; the best on the test images first"
        page = f"{results.as_posix()}/comparison/comparison.html"
        lines += ["", *text_table(gather(results, trainings)), f"{marks}: see {page}", ""]
    lines += _made(results / (names[0] if len(names) == 1 else "{experiment}"))
    text = "\n".join(lines) + "\n"
    with atomic_open(path) as stream:
        stream.write(text)
    return text


def describe_training(name: str, training: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Return the lines on one training, from what training.json and metrics.json hold."""
    steps, images = training["steps"], metrics["images"]
    lines = [
        f"{name}: {_ap(metrics, 'AP50')}, {_ap(metrics, 'AP')} on {images} test {_plural('image', images)}, "
        f"after {steps} {_plural('step', steps)}{_start(training)}"
    ]
    return lines + [
        f"  why there is no {figure}: {metrics['notes'][figure]}" for figure in ("AP50",) if metrics["AP50"] is None
    ]


def describe_exports(metadata: Mapping[str, Any]) -> list[str]:
    """Return the lines on the formats of an export, from what metadata.json holds."""
    lines = []
    for name, entry in metadata["formats"].items():
        times = ", ".join(f"{ms:.0f} ms with {n}" for n, ms in entry["milliseconds"].items())
        ap = "no AP" if entry["AP"] is None else f"AP {entry['AP']:.3f}"
        lines.append(f"  {name:<14}  {entry['bytes'] / 1e6:6.1f} MB  {ap}" + (f"  {times} thread(s)" if times else ""))
    return lines


def _made(folder: Path) -> list[str]:
    made = {
        "frozen graph": "export/frozen_inference_graph.pb",
        "other formats": "export/, export/formats.csv",
        "model card": "export/model_card.md",
        "classes": "export/label_map.pbtxt, export/labels.txt",
        "detections": "detections/detections.csv, detections/images/",
        "metrics": "evaluation/metrics.json, evaluation/pr_curve.svg",
        "TensorBoard": "training",
    }
    width = max(map(len, made))
    return [
        f"  {what:<{width}}  {', '.join(f'{folder.as_posix()}/{part}' for part in where.split(', '))}"
        for what, where in made.items()
    ]


def _data_line(card: Mapping[str, Any], results: Path) -> str:
    images = card["images"]
    splits = ", ".join(f"{split['images']} {name}" for name, split in card["splits"].items())
    return (
        f"data: {images['in']} images = {images['kept']} kept + {images['repaired']} repaired + "
        f"{images['rejected']} rejected ({splits}): see {results.as_posix()}/dataset/repairs.csv"
    )


def _ap(metrics: Mapping[str, Any], figure: str) -> str:
    return f"{figure} unknown" if metrics[figure] is None else f"{figure} {metrics[figure]:.3f}"


def _start(training: Mapping[str, Any]) -> str:
    return " from the last model" if training.get("started_from") == "last model" else ""


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
