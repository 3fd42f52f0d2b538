"""The last words of a run."""

import json

import pytest

from odtl.summary import write_summary

CARD = {
    "images": {"in": 10, "kept": 7, "repaired": 2, "rejected": 1},
    "splits": {"train": {"images": 6}, "val": {"images": 1}, "test": {"images": 2}},
}


@pytest.fixture
def results(tmp_path):
    files = {
        "dataset/card.json": CARD,
        "one/checkpoint/training.json": {"steps": 300},
        "one/evaluation/metrics.json": {"AP": 0.5, "AP50": 0.91234, "images": 2, "notes": {}},
        "two/checkpoint/training.json": {"steps": 1, "started_from": "last model"},
        "two/evaluation/metrics.json": {
            "AP": None,
            "AP50": None,
            "images": 1,
            "notes": {"AP": "No object.", "AP50": "No object."},
        },
    }
    formats = {
        "saved_model": {"bytes": 12_340_000, "AP": 0.5, "milliseconds": {"1": 20.4, "2": 11.6}},
        "tflite_int8": {"bytes": 900_000, "AP": None, "milliseconds": {}},
    }
    files |= {f"{name}/export/metadata.json": {"formats": formats} for name in ("one", "two")}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_says_what_was_made_where_and_how_good_it_is(results):
    text = write_summary(results, {"one": {"one": 1}}, results / "summary.txt")
    assert (results / "summary.txt").read_text(encoding="utf-8") == text
    assert "10 images = 7 kept + 2 repaired + 1 rejected (6 train, 1 val, 2 test)" in text
    assert "one: AP50 0.912, AP 0.500 on 2 test images, after 300 steps\n" in text
    assert f"{results}/one/export/frozen_inference_graph.pb" in text
    assert "  saved_model       12.3 MB  AP 0.500  20 ms with 1, 12 ms with 2 thread(s)\n" in text
    assert "  tflite_int8        0.9 MB  no AP\n" in text
    assert "comparison" not in text


def test_compares_where_there_are_several(results):
    text = write_summary(results, {"one": {"one": 1}, "two": {"two": 1}}, results / "summary.txt")
    assert "one: AP50 0.912, AP 0.500 on 2 test images, after 300 steps\n" in text
    assert "two: AP50 unknown, AP unknown on 1 test image, after 1 step from the last model\n" in text
    assert "why there is no AP50: No object." in text
    (head,) = [number for number, line in enumerate(text.splitlines()) if line.endswith("test AP50")]
    one, two = (line.split() for line in text.splitlines()[head + 1 : head + 3])
    assert one == ["one", "300", "unknown", "0.500", "*", "0.912", "*"]
    assert two == ["two", "1", "unknown", "unknown", "unknown"]
    assert f"see {results}/comparison/comparison.html" in text
    assert f"{results}/{{experiment}}/export/frozen_inference_graph.pb" in text


def test_seeds_of_one_experiment_are_compared_by_their_mean(results):
    text = write_summary(results, {"one": {"one": 1, "two": 2}}, results / "summary.txt")
    # One of the two could not be measured, so there is no mean.
    assert "one (2 seeds)" in text
