"""The models of the zoo as a table for somebody who is choosing: fast ones first, accurate ones last."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odtl.zoo import Model

HEAD = (
    "model",
    "family",
    "input",
    "CPU time",
    "ms",
    "COCO AP",
    "parameters (M)",
    "trained on",
    "restored",
    "licence of the weights",
)


def read_times(path: str | os.PathLike) -> dict[str, Mapping[str, Any]]:
    """Return name -> what benchmarks/model_times.py measured of a model: `parameters`, `milliseconds`, `times`."""
    return json.loads(Path(path).read_text(encoding="utf-8"))["models"]


def model_table(models: Mapping[str, Model], measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the models as a Markdown table, in order of the time that they take; those never measured come last.

    measured: as `read_times` gives it. A figure that is not published and not measured is "-"; parameters that are
    counted, not published, are marked with an asterisk.
    """

    def place(model: Model) -> tuple:
        return measured.get(model.name, {}).get("times", math.inf), model.input_size, model.name

    rows = [HEAD, *(_row(model, measured.get(model.name)) for model in sorted(models.values(), key=place))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    rule = " | ".join("-" * width for width in widths)
    return "".join(f"| {line} |\n" for line in (lines[0], rule, *lines[1:]))


def _row(model: Model, measured: Mapping[str, Any] | None) -> tuple[str, ...]:
    if model.parameters is not None:
        parameters = f"{model.parameters:g}"
    else:
        parameters = f"{_three_digits(measured['parameters'] / 1e6)}*" if measured else "-"
    return (
        f"`{model.name}`",
        model.family,
        str(model.input_size),
        _three_digits(measured["times"]) if measured else "-",
        _three_digits(measured["milliseconds"]) if measured else "-",
        "-" if model.coco_ap is None else f"{model.coco_ap:g}",
        parameters,
        model.trained_on or "-",
        ", ".join(model.restore),
        model.licence["name"],
    )


def _three_digits(value: float) -> str:
    """Return a number to three digits, without an exponent."""
    return f"{float(f'{value:.3g}'):g}"
