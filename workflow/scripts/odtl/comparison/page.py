"""The comparison as one page that needs nothing beside it: no script, no network, no other file."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from odtl.changes.settings import value_text
from odtl.check.template import STYLE
from odtl.comparison.gathering import COSTS, FIGURES, Experiment, best_of, ranked
from odtl.comparison.tables import figure_text, number_text
from odtl.files import atomic_open

# Code and not a file beside it, so that a change of it makes the page again.
_PAGE = """
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Comparison</title>
<style>{{ style }}
td { vertical-align: top; }
td small { display: block; color: var(--soft); }
.best { font-weight: 700; }
.plot { background: #fff; border-radius: 8px; padding: 0.6rem; margin: 1rem 0; }
.plot svg { display: block; width: 100%; height: auto; }
</style>
</head>
<body>
<h1>Comparison of the experiments</h1>
<p class="soft">The best on the test images comes first; the best of each figure is bold and marked with a star. Where
an experiment was trained with several seeds, a figure is their mean ± the standard deviation, with each value below it.
{% if once %}Of experiments that were trained once it is not known how much chance has to do with a difference: set
<code>seeds</code>.{% endif %}</p>
<div class="plot">{{ plot }}</div>
<p class="soft">Lines: the mean over the seeds; bands: from the lowest to the highest of them, as far as all of them
went. Dots: one training each; bars: their means.</p>
<div class="wide"><table>
<tr><th>experiment</th>{% for head in heads %}<th>{{ head }}</th>{% endfor %}</tr>
{% for row in rows %}<tr><td>{{ row.name }}</td>
{% for cell in row.cells %}<td>{{ cell }}</td>{% endfor %}
{% for figure in row.figures %}<td{% if figure.best %} class="best"{% endif %}>
{{- figure.text }}{% if figure.best %} ★{% endif %}{% if figure.each %}<small>{{ figure.each }}</small>{% endif %}
</td>{% endfor %}</tr>
{% endfor %}</table></div>
<p class="soft">Settings that are the same for all are left out. Who chooses among experiments by their test AP has used
the test images to choose, and will find the detector a little worse on new ones: choose by the validation AP.</p>
</body>
</html>
"""
_COST_NAMES = {"images_per_second": "images/s"}


def write_page(experiments: Sequence[Experiment], plot: str | os.PathLike, path: str | os.PathLike) -> None:
    """Write the page; plot: the figure that `plot.write_comparison` has drawn, as SVG."""
    drawn = Path(plot).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    settings = list(experiments[0].settings) if experiments else []
    best = {figure: best_of(experiments, figure) for figure in FIGURES}
    text = environment.from_string(_PAGE).render(
        style=Markup(STYLE),
        # Without what only a file of its own has: the declaration and the type.
        plot=Markup(drawn[drawn.index("<svg") :]),
        once=any(len(each.trainings) == 1 for each in experiments),
        heads=[*settings, *(_COST_NAMES.get(cost, cost) for cost in COSTS), *FIGURES.values()],
        rows=[_row(each, settings, best) for each in ranked(experiments)],
    )
    with atomic_open(path) as stream:
        stream.write(text.lstrip())


def _row(experiment: Experiment, settings: Sequence[str], best: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    return {
        "name": experiment.name,
        "cells": [
            *(value_text(experiment.settings[key]).strip('"') for key in settings),
            *(number_text(experiment.mean(cost)) for cost in COSTS),
        ],
        "figures": [
            {
                "text": figure_text(experiment, figure),
                "best": experiment.name in best[figure],
                "each": ", ".join(f"{value:.3f}" for value in experiment.values(figure))
                if len(experiment.trainings) > 1
                else "",
            }
            for figure in FIGURES
        ],
    }
