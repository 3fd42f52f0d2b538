"""The comparison as a figure: how the experiments learnt, and how good they became."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from odtl.comparison.gathering import Experiment, ranked
from odtl.comparison.tables import name_text, shortened
from odtl.plots import COLORS, DASHES, MOST_LINES, STYLE, save, say

_LONGEST_NAME = 52
# Of more experiments than can be told apart by eye, so many are.
_STAND_OUT = 6
_GREY = "#BBBBBB"
_IOU = "IoU 0.50 to 0.95"
_TITLES = {"test_AP": f"Test AP ({_IOU})", "test_AP50": "Test AP50 (IoU 0.50)"}
# Where a row's sample of its line begins and ends, left of the axes, as shares of their width.
_SAMPLE = (-0.085, -0.015)


@dataclass(frozen=True)
class _Look:
    color: str
    dashes: str
    width: float
    order: int


def write_comparison(
    experiments: Sequence[Experiment], path: str | os.PathLike, colors: Sequence[str] = COLORS
) -> None:
    """Draw validation AP over the steps, and test AP and AP50, into an SVG (or PNG, by the suffix of `path`).

    A line is the mean over an experiment's trainings, the band around it reaches from the lowest to the highest one, as
    far as all of them went. A dot is one training, a bar their mean. The best on the test images stand on top; with
    more than 10 experiments the rest is grey.
    """
    experiments = ranked(experiments)
    looks = _looks(experiments, colors)
    rows = max(len(experiments), 2)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 5.4 + 0.3 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        # Each with a layout of its own: long names are to the left of the points only.
        above, below = figure.subfigures(2, 1, height_ratios=[4.2, 0.9 + 0.3 * rows])
        _draw_curves(above.subplots(), experiments, looks)
        left, right = below.subplots(1, 2)
        _draw_points(left, experiments, looks, "test_AP")
        _draw_points(right, experiments, looks, "test_AP50")
        _name_rows(left, experiments, looks)
        right.tick_params(labelleft=False)
        save(figure, path)


def mean_curve(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps (S,) at which all trainings were evaluated, and their APs (S, trainings)."""
    curves = [dict(training.validation) for training in experiment.trainings]
    steps = sorted(set.intersection(*map(set, curves))) if curves else []
    return np.array(steps), np.array([[curve[step] for curve in curves] for step in steps]).reshape(-1, len(curves))


def _looks(experiments: Sequence[Experiment], colors: Sequence[str]) -> Mapping[str, _Look]:
    told_apart = len(experiments) if len(experiments) <= MOST_LINES else _STAND_OUT
    return {
        each.name: _Look(colors[place % len(colors)], DASHES[place // len(colors) % len(DASHES)], 2.0, 3)
        if place < told_apart
        else _Look(_GREY, "-", 1.0, 2)
        for place, each in enumerate(experiments)
    }


def _draw_curves(axes, experiments: Sequence[Experiment], looks: Mapping[str, _Look]) -> None:
    drawn = 0
    for each in experiments:
        steps, values = mean_curve(each)
        look = looks[each.name]
        if not len(steps):
            continue
        drawn += 1
        mean = values.mean(axis=1)
        if values.shape[1] > 1 and look.color != _GREY:
            axes.fill_between(steps, values.min(axis=1), values.max(axis=1), color=look.color, alpha=0.15, linewidth=0)
        axes.plot(
            steps,
            mean,
            color=look.color,
            linestyle=look.dashes,
            linewidth=look.width,
            zorder=look.order,
            marker="o" if len(steps) <= 30 else None,
            markersize=4,
        )
    axes.set_title("Average precision on the validation images while training", loc="left", fontsize=13, pad=10)
    axes.set(xlabel="Training step", ylabel=f"AP ({_IOU})")
    if not drawn:
        say(axes, "No training has a validation AP,\nso there is no curve to draw.")
        return
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, steps=[1, 2, 2.5, 5, 10]))


def _draw_points(axes, experiments: Sequence[Experiment], looks: Mapping[str, _Look], figure: str) -> None:
    for row, each in enumerate(experiments):
        look, values, mean = looks[each.name], each.values(figure), each.mean(figure)
        axes.scatter(values, [row] * len(values), s=34, color=look.color, alpha=0.75, linewidth=0, zorder=3)
        if mean is not None and len(values) > 1:
            axes.vlines(mean, row - 0.3, row + 0.3, color=look.color, linewidth=2.4, zorder=4)
    axes.set_ylim(max(len(experiments), 2) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.set_title(_TITLES[figure], loc="left", fontsize=12)
    if not any(each.values(figure) for each in experiments):
        say(axes, "nothing to measure")
        axes.set_xticks([])


def _name_rows(axes, experiments: Sequence[Experiment], looks: Mapping[str, _Look]) -> None:
    """Write each row's name, and after it its line as it is drawn in the curves: they need no legend of their own."""
    several = len({len(each.trainings) for each in experiments}) > 1
    names = [shortened(name_text(each) if several else each.name, _LONGEST_NAME) for each in experiments]
    axes.set_yticks(range(len(names)), names, fontsize=9.5)
    axes.tick_params(axis="y", length=0, pad=40)
    for row, each in enumerate(experiments):
        axes.plot(
            *(_SAMPLE, [row, row]),
            transform=axes.get_yaxis_transform(),
            color=looks[each.name].color,
            linestyle=looks[each.name].dashes,
            linewidth=2.4,
            clip_on=False,
        )
