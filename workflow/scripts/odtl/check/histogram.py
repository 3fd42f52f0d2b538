"""A bar chart as inline SVG, in the page's own colours, narrow enough for a phone."""

from collections.abc import Sequence

from markupsafe import Markup, escape

_WIDTH, _ROW, _BAR = 400, 26, 18
# Where bars start and how long the longest is: labels stand before them, counts after.
_LEFT, _LONGEST = 84, 236


def bar_chart(labels: Sequence[str], counts: Sequence[int], title: str) -> Markup:
    """Return an SVG of one lying bar for each count, with its label and the count; it grows with the page."""
    most, rows = max([*counts, 1]), []
    for place, (label, count) in enumerate(zip(labels, counts, strict=True)):
        # What is there can be seen, be it one box in a million.
        length = max(2, _LONGEST * count / most) if count else 0
        y = place * _ROW
        rows.append(
            f'<text class="label" x="{_LEFT - 8}" y="{y + 14}">{escape(label)}</text>'
            f'<rect class="bar" x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
            f'<text x="{_LEFT + length + 6:.1f}" y="{y + 14}">{count:,}</text>'
        )
    height = _ROW * len(counts)
    start = f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{start}{''.join(rows)}</svg>")
