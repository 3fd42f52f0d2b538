"""Figures of curves: precision and recall, training, learning rate; as SVG that is the same for the same numbers."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from odtl.files import atomic_open

# Okabe and Ito's colours, told apart by people with the common forms of colour blindness; yellow, which is lost on
# white, is left out, and black is kept for the mean.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.")
# More coloured lines than that cannot be followed by eye.
MOST_LINES = 10
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "axes.axisbelow": True,
    # Names inside an SVG are drawn at random unless salted.
    "svg.hashsalt": "odtl",
}
# What a history may hold for the validation panel, with the plain words for it.
_VALIDATION = {"AP": "AP (IoU 0.50 to 0.95)", "AP50": "AP50 (IoU 0.50)"}


# class name -> (recall (R,), precision (R,), AP50); precision is 0 beyond the highest recall reached.
Curves = Mapping[str, tuple[np.ndarray, np.ndarray, float | None]]


def read_pr_curves(pr_curve_csv: str | os.PathLike, per_class_csv: str | os.PathLike) -> Curves:
    """Return the curves that an evaluation wrote as tables (docs/results.md says what is in them)."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in _rows(pr_curve_csv):
        points.setdefault(row["class"], []).append((float(row["recall"]), float(row["precision"])))
    ap50 = {row["class"]: float(row["AP50"]) if row["AP50"] else None for row in _rows(per_class_csv)}
    return {name: (*np.array(line, np.float64).T, ap50.get(name)) for name, line in points.items()}


def write_pr_curves(curves: Curves, path: str | os.PathLike, colors: Sequence[str] = COLORS) -> None:
    """Draw precision over recall at IoU 0.5, one line per class, into an SVG (or PNG, by the suffix of `path`).

    colors: of the lines, in turn.
    With more than 10 classes all are drawn in grey, and the mean and the ones of the lowest AP50 stand out.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(8.2, 5.2)
        if curves:
            _draw_pr_curves(axes, curves, colors)
        else:
            say(axes, "No test image shows an object,\nso there is no curve to draw.")
        axes.set(xlim=(0, 1.0), ylim=(0, 1.03), xlabel="Recall: share of the labelled objects that were found")
        axes.set_ylabel("Precision: share of the detections that are right")
        axes.set_title("Precision and recall on the test images (IoU 0.5)", loc="left", fontsize=13, pad=12)
        save(figure, path)


def write_training_curves(
    history: Sequence[Mapping[str, float]], path: str | os.PathLike, colors: Sequence[str] = COLORS
) -> None:
    """Draw loss, validation AP and learning rate over the steps into an SVG (or PNG, by the suffix of `path`).

    history: mappings with `step` and any of `loss`, `validation_loss`, `AP`, `AP50`, `learning_rate`; a value may be
    missing or None. A panel is drawn for what the history holds; an empty history gives a figure that says so.
    """
    panels = [panel for panel in (_loss_lines, _validation_lines, _learning_rate_lines) if panel(history)[0]]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 1.2 + 2.4 * max(1, len(panels))), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(max(1, len(panels)), 1, sharex=True, squeeze=False)[:, 0]
        figure.suptitle("Course of the training", x=0.02, ha="left", fontsize=13)
        if not panels:
            say(grid[0], "Training has left no history to draw.")
        for axes, panel in zip(grid, panels, strict=False):
            lines, label = panel(history)
            _draw_lines(axes, lines, colors)
            axes.set_ylabel(label)
        grid[-1].set_xlabel("Training step")
        save(figure, path)


def write_learning_rate_curve(
    found: Mapping[str, Any], path: str | os.PathLike, colors: Sequence[str] = COLORS
) -> None:
    """Draw the loss over a rising learning rate into an SVG (or PNG, by the suffix of `path`).

    found: as `odtl.training.rate_finding.find_rate` gives it.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(8.2, 4.2)
        rates, losses, smoothed = found["rates"], found["losses"], found["smoothed"]
        axes.plot(rates, losses, ".", color="#999999", markersize=5, label="single steps")
        axes.plot(rates, smoothed, color=colors[0], linewidth=2, label="smoothed")
        for key, dashes, color in (("suggested", "--", colors[1 % len(colors)]), ("configured", ":", "black")):
            if found[key] is not None:
                axes.axvline(found[key], color=color, linestyle=dashes, linewidth=1.8, label=f"{key}: {found[key]:g}")
        # The last losses, of a model that is blown up, would flatten all else.
        axes.set(xscale="log", ylim=(0, 1.3 * max(smoothed[0], max(losses[: 1 + len(losses) // 2]))))
        axes.set(xlabel="Learning rate", ylabel="Loss on the training images")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, alignment="left")
        axes.set_title("Loss while the learning rate rises", loc="left", fontsize=13, pad=12)
        save(figure, path)


def _figure(width: float, height: float) -> tuple[Figure, matplotlib.axes.Axes]:
    # No pyplot: it keeps every figure alive and looks for a display.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _draw_pr_curves(axes, curves: Curves, colors: Sequence[str]) -> None:
    worst_first = sorted(curves, key=lambda name: (curves[name][2] or 0, name))
    told_apart = list(curves)
    if len(curves) > MOST_LINES:
        told_apart = worst_first[: MOST_LINES - 1]
        for recall, precision, _ in curves.values():
            axes.plot(*_reached(recall, precision), color="#BBBBBB", linewidth=0.8)
        recall = next(iter(curves.values()))[0]
        mean = np.mean([precision for _, precision, _ in curves.values()], axis=0)
        axes.plot(*_reached(recall, mean), color="black", linewidth=3, label=f"mean of {len(curves)} classes")
    for index, name in enumerate(told_apart):
        recall, precision, ap50 = curves[name]
        # Dashes let a line show that lies under another one, as the perfect ones all do.
        colour, dashes = colors[index % len(colors)], DASHES[index % len(DASHES)]
        recall, precision = _reached(recall, precision)
        label = f"{short(name)}: AP50 {ap50 or 0:.3f}"
        axes.plot(recall, precision, color=colour, linestyle=dashes, linewidth=2, label=label)
        # Where a class's line ends is the most of it that was found.
        axes.plot(recall[-1:], precision[-1:], marker="o", markersize=6, color=colour, clip_on=False, zorder=3)
    title = "Mean, and the lowest AP50" if len(curves) > MOST_LINES else None
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, title=title, alignment="left")


def _reached(recall: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of a curve up to the highest recall that was reached (a single point if nothing was found)."""
    last = np.flatnonzero(precision)
    end = last[-1] + 1 if last.size else 1
    return recall[:end], precision[:end]


def _loss_lines(history: Sequence[Mapping]) -> tuple[dict, str]:
    names = {"loss": "training", "validation_loss": "validation"}
    return {label: line for key, label in names.items() if (line := _line(history, key))}, "Loss"


def _validation_lines(history: Sequence[Mapping]) -> tuple[dict, str]:
    lines = {label: line for key, label in _VALIDATION.items() if (line := _line(history, key))}
    return lines, "Validation AP"


def _learning_rate_lines(history: Sequence[Mapping]) -> tuple[dict, str]:
    line = _line(history, "learning_rate")
    return ({"learning rate": line} if line else {}), "Learning rate"


def _line(history: Sequence[Mapping], key: str) -> tuple[list[float], list[float]] | None:
    # COCO's -1 stands for "nothing to measure".
    points = [(entry["step"], entry[key]) for entry in history if entry.get(key) is not None and entry[key] >= 0]
    return ([step for step, _ in points], [value for _, value in points]) if points else None


def _draw_lines(axes, lines: Mapping[str, tuple[list[float], list[float]]], colors: Sequence[str]) -> None:
    for index, (label, (steps, values)) in enumerate(lines.items()):
        marker = "o" if len(steps) <= 30 else None
        axes.plot(
            steps, values, color=colors[index % len(colors)], marker=marker, markersize=4, linewidth=1.8, label=label
        )
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    if len(lines) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=len(lines), frameon=False)


def _rows(path: str | os.PathLike) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def say(axes, text: str) -> None:
    """Write a text where axes have nothing to show."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#444444", fontsize=12)


def short(name: str, length: int = 24) -> str:
    """Return a name as matplotlib takes it, cut where it is long."""
    # A dollar sign would start a formula, which matplotlib refuses if it is none.
    name = name.replace("$", r"\$")
    return name if len(name) <= length else name[: length - 1] + "…"


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure in the form that the suffix of `path` names, the same bytes for the same figure."""
    kind = Path(path).suffix.lstrip(".") or "svg"
    # A date would make every run another file.
    metadata = {"Date": None} if kind == "svg" else None
    with atomic_open(path, "wb") as stream:
        figure.savefig(stream, format=kind, dpi=110, metadata=metadata)
