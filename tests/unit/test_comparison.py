"""The comparison of experiments: absolute values, nothing made up where something is missing, all of it named."""

import csv
import json

import numpy as np
import pytest
from lxml import etree, html
from matplotlib.figure import Figure
from matplotlib.text import Text

from odtl.comparison import gathering, plot, tables
from odtl.comparison.gathering import Experiment, Training, best_of, differing, gather, ranked
from odtl.comparison.page import write_page
from odtl.comparison.plot import mean_curve, write_comparison


def training(name: str, seed: int, ap: float | None, curve=(), **costs) -> Training:
    figures = {"validation_AP": ap, "test_AP": ap, "test_AP50": None if ap is None else ap + 0.25}
    costs = {"steps": 600, "seconds": 90.0, "images_per_second": None, "parameters": 1_000_000, **costs}
    return Training(name, seed, figures, costs, tuple(curve))


ONE = Experiment(
    "one",
    {"learning_rate": 0.1, "augmentation.hflip": True},
    (
        training("one", 1, 0.4, [(100, 0.1), (200, 0.4)]),
        training("one-seed-2", 2, 0.5, [(100, 0.3), (200, 0.5), (300, 0.5)], seconds=150.0),
    ),
)
TWO = Experiment(
    "two", {"learning_rate": 0.2, "augmentation.hflip": None}, (training("two", 1, 0.5, [(100, 0.2), (200, 0.5)]),)
)
BLANK = Experiment(
    "blank",
    {"learning_rate": 0.3, "augmentation.hflip": False},
    (training("blank", 1, None), training("blank-seed-2", 2, 0.9)),
)


def many(count: int) -> list[Experiment]:
    return [
        Experiment(f"sweep-learning_rate-{i}", {}, (training(f"{i}", 1, 0.5 + i / 100, [(100, i / 100)]),))
        for i in range(count)
    ]


def rows(path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_settings_that_are_the_same_for_all_are_left_out():
    settings = {
        "one": {"model": "demo", "batch_size": 4, "overrides": {}, "warm_start": {"when": "never"}},
        "two": {"model": "demo", "batch_size": 8, "overrides": {"task": {"a": 1}}, "warm_start": {"when": "never"}},
    }
    assert differing(settings) == {
        "one": {"batch_size": 4, "overrides.task.a": None},
        "two": {"batch_size": 8, "overrides.task.a": 1},
    }
    assert differing({"one": settings["one"]}) == {"one": {}}


def test_results_are_read_from_their_folders(tmp_path):
    validation = [{"step": 200, "AP": 0.5}, {"step": 100, "AP": 0.25}, {"step": 300, "AP": -1.0}]
    content = {"steps": 300, "seconds": 12.5, "best": {"step": 200, "AP": 0.5, "AP50": 0.8}, "validation": validation}
    files = {
        "a/checkpoint/training.json": {**content, "images_per_second": 20.0, "parameters": 7},
        "a/evaluation/metrics.json": {"AP": 0.45, "AP50": 0.75},
        "a-seed-2/checkpoint/training.json": {"steps": 300, "seconds": 1.0, "best": None},
        "a-seed-2/evaluation/metrics.json": {"AP": None, "AP50": None},
    }
    for name, each in files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(json.dumps(each), encoding="utf-8")
    (found,) = gather(tmp_path, {"a": {"a-seed-2": 2, "a": 1}}, {"a": {"batch_size": 4}})
    assert (found.name, found.settings) == ("a", {"batch_size": 4})
    one, two = found.trainings
    assert (one.name, one.seed, two.name, two.seed) == ("a", 1, "a-seed-2", 2)
    assert one.figures == {"validation_AP": 0.5, "test_AP": 0.45, "test_AP50": 0.75}
    assert one.costs == {"steps": 300, "seconds": 12.5, "images_per_second": 20.0, "parameters": 7}
    assert one.validation == ((100, 0.25), (200, 0.5))
    assert set(two.figures.values()) == {None} and two.validation == ()


def test_mean_and_spread_are_of_all_trainings_or_of_none():
    assert ONE.mean("test_AP") == pytest.approx(0.45)
    assert ONE.spread("test_AP") == pytest.approx(np.std([0.4, 0.5], ddof=1))
    assert ONE.mean("seconds") == 120
    assert (TWO.mean("test_AP"), TWO.spread("test_AP")) == (0.5, None)
    # The mean over those that could be measured would be another thing.
    assert (BLANK.mean("test_AP"), BLANK.spread("test_AP")) == (None, None)
    assert BLANK.values("test_AP") == [0.9]


def test_best_are_those_with_the_highest_mean():
    assert best_of([ONE, TWO, BLANK], "test_AP") == {"two"}
    twin = Experiment("twin", {}, (training("twin", 1, 0.5),))
    assert best_of([ONE, TWO, twin], "test_AP") == {"two", "twin"}
    assert best_of([BLANK], "test_AP") == frozenset()
    assert [each.name for each in ranked([BLANK, ONE, TWO])] == ["two", "one", "blank"]


def test_table_of_experiments_has_settings_costs_and_figures(tmp_path):
    tables.write_experiments([ONE, TWO, BLANK], tmp_path / "comparison.csv")
    two, one, blank = rows(tmp_path / "comparison.csv")
    assert list(one) == [
        *("experiment", "learning_rate", "augmentation.hflip", "trainings"),
        *("steps", "seconds", "images_per_second", "parameters"),
        *("validation_AP", "validation_AP_sd", "test_AP", "test_AP_sd", "test_AP50", "test_AP50_sd", "best"),
    ]
    assert (one["experiment"], one["learning_rate"], one["augmentation.hflip"]) == ("one", "0.1", "true")
    assert (one["trainings"], one["test_AP"], one["test_AP_sd"]) == ("2", "0.45", "0.070711")
    assert (one["seconds"], one["images_per_second"], one["best"]) == ("120.0", "", "")
    assert (two["test_AP_sd"], two["best"]) == ("", "validation_AP test_AP test_AP50")
    assert (blank["test_AP"], blank["test_AP_sd"], blank["best"]) == ("", "", "")


def test_table_of_trainings_has_each_value(tmp_path):
    tables.write_trainings([ONE, TWO], tmp_path / "trainings.csv")
    found = [
        (row["experiment"], row["training"], row["seed"], row["test_AP"]) for row in rows(tmp_path / "trainings.csv")
    ]
    assert found == [("two", "two", "1", "0.5"), ("one", "one", "1", "0.4"), ("one", "one-seed-2", "2", "0.5")]


def test_text_has_a_line_for_each_experiment_the_best_marked():
    head, two, one, blank = tables.text_table([ONE, TWO, BLANK])
    assert head.split() == ["steps", "minutes", "validation", "AP", "test", "AP", "test", "AP50"]
    assert two.split() == ["two", "600", "1.5", "0.500", "*", "0.500", "*", "0.750", "*"]
    assert one.split() == ["one", "(2", "seeds)", "600", "2.0", *["0.450", "±", "0.071"] * 2, *["0.700", "±", "0.071"]]
    assert blank.split()[-3:] == ["unknown"] * 3
    # Marks are in columns of their own, so that figures stand below each other.
    assert two.index("0.750 *") + len("0.750") == one.index("0.700 ± 0.071") + len("0.700 ± 0.071")


def test_curves_are_means_as_far_as_all_trainings_went():
    steps, values = mean_curve(ONE)
    assert steps.tolist() == [100, 200]
    assert values.tolist() == [[0.1, 0.3], [0.4, 0.5]]
    assert mean_curve(BLANK)[1].shape == (0, 2)


@pytest.mark.parametrize(
    "experiments", [[ONE], [ONE, TWO], [BLANK], many(12)], ids=["one", "two", "nothing to draw", "twelve"]
)
def test_figure_is_valid_the_same_again_and_names_every_experiment(tmp_path, monkeypatch, experiments):
    seen, savefig = [], Figure.savefig

    def remember(figure, *arguments, **options):
        # SVG holds the shapes of letters, so the words are taken on their way into it.
        seen.extend(text.get_text() for text in figure.findobj(Text))
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", remember)
    for name in ("one.svg", "two.svg"):
        write_comparison(experiments, tmp_path / name)
    one = (tmp_path / "one.svg").read_bytes()
    assert etree.fromstring(one).tag == "{http://www.w3.org/2000/svg}svg"
    assert one == (tmp_path / "two.svg").read_bytes()
    # How many seeds there are is told where the experiments differ in it.
    assert {each.name for each in experiments} <= {text.removesuffix(" (2 seeds)") for text in seen}
    assert {"Test AP (IoU 0.50 to 0.95)", "Test AP50 (IoU 0.50)"} <= set(seen)


def test_more_than_ten_experiments_are_grey_but_for_the_best():
    looks = plot._looks(many(12), ["#123456", "#654321"])
    assert [look.color for look in looks.values()] == ["#123456", "#654321"] * 3 + ["#BBBBBB"] * 6
    # Where colours come again, dashes tell the lines apart.
    assert len({(look.color, look.dashes) for look in list(looks.values())[:6]}) == 6
    assert "#BBBBBB" not in {look.color for look in plot._looks(many(10), ["#123456"]).values()}


def test_long_names_keep_both_ends():
    assert tables.shortened("rates-learning_rate-0.02", 30) == "rates-learning_rate-0.02"
    assert tables.shortened("a" * 30 + "b" * 30, 11) == "aaaaa…bbbbb"


def test_page_shows_every_value_and_needs_nothing_beside_it(tmp_path):
    write_comparison([ONE, TWO, BLANK], tmp_path / "plot.svg")
    write_page([ONE, TWO, BLANK], tmp_path / "plot.svg", tmp_path / "page.html")
    page = html.parse(tmp_path / "page.html").getroot()
    table = [[" ".join(cell.text_content().split()) for cell in row.iter("th", "td")] for row in page.iter("tr")]
    assert table[0] == [
        *("experiment", "learning_rate", "augmentation.hflip", "steps", "seconds", "images/s", "parameters"),
        *gathering.FIGURES.values(),
    ]
    assert table[1][:3] == ["two", "0.2", "null"] and table[1][-1] == "0.750 ★"
    assert table[2][3:] == [
        "600",
        "120",
        "",
        "1,000,000",
        *["0.450 ± 0.0710.400, 0.500"] * 2,
        "0.700 ± 0.0710.650, 0.750",
    ]
    assert table[3][-1] == "unknown1.150"
    assert [cell.text_content() for cell in page.find_class("best")] == ["0.500 ★", "0.500 ★", "0.750 ★"]
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" in text and "<script" not in text and "src=" not in text and "<?xml" not in text
