"""The comparison as tables: for a spreadsheet, and for the terminal."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from odtl.changes.settings import value_text
from odtl.comparison.gathering import COSTS, FIGURES, Experiment, best_of, ranked
from odtl.files import write_csv

_LONGEST_NAME = 60


def write_experiments(experiments: Sequence[Experiment], path: str | os.PathLike) -> None:
    """Write a row for each experiment, the best on the test images first.

    `best` names the figures in which it is the best. An empty cell: it cannot be told, or there is one training only.
    """
    settings = _settings(experiments)
    figures = [f"{figure}{ending}" for figure in FIGURES for ending in ("", "_sd")]
    write_csv(path, ["experiment", *settings, "trainings", *COSTS, *figures, "best"], _rows(experiments, settings))


def write_trainings(experiments: Sequence[Experiment], path: str | os.PathLike) -> None:
    """Write a row for each training, in the order of `write_experiments`, then by seed."""
    rows = (
        {
            "experiment": experiment.name,
            "training": training.name,
            "seed": training.seed,
            **{key: _rounded(value) for key, value in {**training.costs, **training.figures}.items()},
        }
        for experiment in ranked(experiments)
        for training in experiment.trainings
    )
    write_csv(path, ["experiment", "training", "seed", *COSTS, *FIGURES], rows)


def text_table(experiments: Sequence[Experiment]) -> list[str]:
    """Return the comparison as lines of text: mean and standard deviation of each figure, the best marked by *."""
    best = {figure: best_of(experiments, figure) for figure in FIGURES}
    head = ["", "steps", "minutes", *FIGURES.values()]
    rows = []
    for each in ranked(experiments):
        figures = [f"{figure_text(each, figure)}{' *' if each.name in best[figure] else '  '}" for figure in FIGURES]
        seconds = each.mean("seconds")
        minutes = "" if seconds is None else f"{seconds / 60:.1f}"
        rows.append([shortened(name_text(each), _LONGEST_NAME), number_text(each.mean("steps")), minutes, *figures])
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    # The marks stand behind the figures, and have nothing above them.
    heads = [*head[:3], *(f"{word}  " for word in head[3:])]
    widths = [max(width, len(word)) for width, word in zip(widths, heads, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in [heads, *rows]
    ]


def name_text(experiment: Experiment) -> str:
    """Return an experiment's name, with the number of its trainings where there are more than one."""
    count = len(experiment.trainings)
    return experiment.name if count == 1 else f"{experiment.name} ({count} seeds)"


def figure_text(experiment: Experiment, figure: str) -> str:
    """Return the mean of a figure, with the standard deviation where there are several trainings."""
    mean, spread = experiment.mean(figure), experiment.spread(figure)
    if mean is None:
        return "unknown"
    return f"{mean:.3f}" if spread is None else f"{mean:.3f} ± {spread:.3f}"


def number_text(value: float | None) -> str:
    """Return a number with three significant digits or all before the point, and nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def shortened(name: str, length: int) -> str:
    """Return a name with its middle left out where it is long: names that a sweep makes differ in their ends."""
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[: length - 1 - half]}…{name[-half:]}"


def _rows(experiments: Sequence[Experiment], settings: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    best = {figure: best_of(experiments, figure) for figure in FIGURES}
    for each in ranked(experiments):
        yield {
            "experiment": each.name,
            **{key: _cell(each.settings[key]) for key in settings},
            "trainings": len(each.trainings),
            **{cost: _rounded(each.mean(cost)) for cost in COSTS},
            **{figure: _rounded(each.mean(figure)) for figure in FIGURES},
            **{f"{figure}_sd": _rounded(each.spread(figure)) for figure in FIGURES},
            "best": " ".join(figure for figure in FIGURES if each.name in best[figure]),
        }


def _settings(experiments: Sequence[Experiment]) -> list[str]:
    return list(experiments[0].settings) if experiments else []


def _cell(value: Any) -> Any:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else value_text(value)


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, 6)
