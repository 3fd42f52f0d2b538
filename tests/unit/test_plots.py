"""Figures: valid SVG, the same for the same numbers, with every class and axis named."""

import numpy as np
import pytest
from lxml import etree
from PIL import Image

from odtl import plots

RECALL = np.linspace(0, 1, 101)
CURVES = {
    "r2d2": (RECALL, np.where(RECALL <= 0.8, 1 - RECALL / 2, 0), 0.5),
    "bb8 $1": (RECALL, np.ones(101), 1.0),
    "never found": (RECALL, np.zeros(101), 0.0),
}
HISTORY = [
    {"step": step, "loss": 3 - step / 200, "learning_rate": 0.05, "AP": 0.1 if step == 200 else None}
    for step in range(10, 310, 10)
]


def words(monkeypatch, write, *arguments) -> list[str]:
    """Return the words of a figure: SVG holds shapes of letters, so they are taken on their way into it."""
    from matplotlib.text import Text

    seen = []

    def savefig(figure, *_, **__):
        seen.extend(text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text())

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)
    write(*arguments)
    return seen


@pytest.mark.parametrize(
    ("write", "content"),
    [
        pytest.param(plots.write_pr_curves, CURVES, id="curves"),
        pytest.param(plots.write_pr_curves, {}, id="no curve"),
        pytest.param(plots.write_training_curves, HISTORY, id="history"),
        pytest.param(plots.write_training_curves, [], id="no history"),
    ],
)
def test_svg_is_valid_and_the_same_again(tmp_path, write, content):
    for name in ("one.svg", "two.svg"):
        write(content, tmp_path / name)
    one = (tmp_path / "one.svg").read_bytes()
    assert etree.fromstring(one).tag == "{http://www.w3.org/2000/svg}svg"
    assert one == (tmp_path / "two.svg").read_bytes()
    assert b"<dc:date>" not in one


def test_png_is_drawn_by_suffix(tmp_path):
    plots.write_pr_curves(CURVES, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as image:
        assert image.format == "PNG" and image.width > 600


def test_pr_curves_name_classes_and_axes(monkeypatch, tmp_path):
    seen = words(monkeypatch, plots.write_pr_curves, CURVES, tmp_path / "curve.svg")
    assert {"r2d2: AP50 0.500", r"bb8 \$1: AP50 1.000", "never found: AP50 0.000"} <= set(seen)
    assert any(text.startswith("Recall") for text in seen) and any(text.startswith("Precision:") for text in seen)


def test_a_curve_ends_at_the_highest_recall():
    recall, precision = plots._reached(RECALL, CURVES["r2d2"][1])
    assert recall[-1] == pytest.approx(0.8)
    assert precision[-1] == pytest.approx(0.6)
    assert [len(part) for part in plots._reached(RECALL, np.zeros(101))] == [1, 1]


def test_of_many_classes_the_worst_stand_out(monkeypatch, tmp_path):
    curves = {f"class {index}": (RECALL, np.full(101, index / 40), index / 40) for index in range(40)}
    seen = words(monkeypatch, plots.write_pr_curves, curves, tmp_path / "curve.svg")
    named = [text for text in seen if "AP50 0" in text or "AP50 1" in text]
    assert [text.split(":")[0] for text in named] == [f"class {index}" for index in range(9)]
    assert "mean of 40 classes" in seen


def test_training_curves_have_a_panel_for_what_there_is(monkeypatch, tmp_path):
    seen = words(monkeypatch, plots.write_training_curves, HISTORY, tmp_path / "training.svg")
    assert {"Loss", "Validation AP", "Learning rate", "Training step"} <= set(seen)
    no_validation = [{"step": entry["step"], "loss": entry["loss"]} for entry in HISTORY]
    seen = words(monkeypatch, plots.write_training_curves, no_validation, tmp_path / "training.svg")
    assert "Loss" in seen and "Validation AP" not in seen and "Learning rate" not in seen


def test_entries_need_not_hold_every_value_and_minus_one_is_no_value():
    history = [{"step": 0, "restored": {}}, {"step": 1, "loss": 2.0}, {"step": 1, "AP": -1.0}, {"step": 2, "AP": 0.5}]
    assert plots._line(history, "loss") == ([1], [2.0])
    assert plots._line(history, "AP") == ([2], [0.5])
    assert plots._line(history, "AP50") is None


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    assert any("no curve" in text for text in words(monkeypatch, plots.write_pr_curves, {}, tmp_path / "a.svg"))
    seen = words(monkeypatch, plots.write_training_curves, [], tmp_path / "b.svg")
    assert any("no history" in text for text in seen)


def test_curves_are_read_as_an_evaluation_writes_them(tmp_path):
    (tmp_path / "pr.csv").write_text("class,recall,precision,score\na,0.0,1.0,0.9\na,0.5,0.25,\nb,0.0,0.5,0.1\n")
    (tmp_path / "per_class.csv").write_text("class,id,AP,AP50\nc,3,,\na,1,0.1,0.625\nb,2,0.1,0.5\n")
    curves = plots.read_pr_curves(tmp_path / "pr.csv", tmp_path / "per_class.csv")
    assert list(curves) == ["a", "b"]
    recall, precision, ap50 = curves["a"]
    assert (recall.tolist(), precision.tolist(), ap50) == ([0.0, 0.5], [1.0, 0.25], 0.625)


@pytest.mark.parametrize(
    ("write", "content"), [(plots.write_pr_curves, CURVES), (plots.write_training_curves, HISTORY)]
)
def test_lines_have_the_colors_that_are_asked_for(tmp_path, write, content):
    write(content, tmp_path / "a.svg", ["#12AB34"])
    drawn = (tmp_path / "a.svg").read_text().lower()
    assert "#12ab34" in drawn
    assert not any(color.lower() in drawn for color in plots.COLORS)
