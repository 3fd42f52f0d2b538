"""What stands beside the exports."""

import csv
import json

import pytest

from odtl.export.formats import PATHS, wanted
from odtl.export.metadata import remove_others, write_labels, write_metadata
from odtl.export.model_card import model_card

MODEL = {
    "name": "demo",
    "family": "RetinaNet (SSD)",
    "licence": {"name": "Apache-2.0", "source": "this project"},
    "trained_on": "drawn images",
}
METADATA = {
    "experiment": "cups",
    "classes": {"mug": 1, "a|b": 2},
    "checkpoint": {"wanted": "last", "step": 60, "reason": "the last weights", "sha256": "ab" * 32},
    "input": {"size": [192, 256]},
    "formats": {
        "frozen_graph": {
            "path": "frozen_inference_graph.pb",
            "bytes": 2_600_000,
            "compared_on": {"split": "test", "images": 6},
            "AP": 0.4954,
            "AP50": None,
            "milliseconds": {"1": 31.848, "2": 13.159},
        },
        "tflite_int8": {
            "path": "detector_int8.tflite",
            "bytes": 78_100,
            "compared_on": {"split": "test", "images": 6},
            "AP": 0.25,
            "AP50": 0.5,
            "milliseconds": {"1": 9.5},
        },
    },
    "latency": {"processor": "some processor, 2 processors", "image_size": [640, 480]},
    "quality": {
        "note": "",
        "images": 6,
        "AP": 0.4954,
        "AP50": 0.6607,
        "per_class": [
            {"class": "mug", "AP": 0.69, "AP50": 0.904, "boxes": 5},
            {"class": "a|b", "AP": None, "AP50": None, "boxes": 0},
        ],
    },
    "data": {"fingerprint": {"test": "cd" * 32}, "images": {"test": 6}, "boxes": {"test": 7}},
    "training": {"steps": 60, "batch_size": 4, "device": {"kind": "CPU", "name": None}, "parameters": 499_135},
    "pretrained": {"model": "demo"},
    "versions": {"tensorflow": "2.20.0"},
}


def card(**changes) -> str:
    return model_card({**METADATA, **changes}, MODEL, [1, 2], ["A note."])


def test_card_says_what_how_good_and_on_which_terms():
    lines = card().splitlines()
    for line in [
        "# Object detector `cups`",
        "It finds 2 kind(s) of objects in images: `mug`, `a|b`. For each it gives a box, a class and a score between 0 "
        "and 1.",
        "- **Images:** RGB, of any size; the detector looks at 256 x 192 pixels of them.",
        f"- **Checkpoint:** step 60: the last weights. SHA-256 `{'ab' * 32}`.",
        "| frozen graph | `frozen_inference_graph.pb` | 2.6 MB | 0.495 | - | 31.8 | 13.2 |",
        "| TFLite, int8 throughout | `detector_int8.tflite` | 78.1 KB | 0.250 | 0.500 | 9.5 | - |",
        "A note.",
        "| mug | 0.690 | 0.904 | 5 |",
        "| a\\|b | - | - | 0 |",
        f"| test | 6 | 7 | `{'cd' * 8}` |",
        "Of the pretrained weights: Apache-2.0 (this project).",
        "They were trained on: drawn images.",
    ]:
        assert line in lines
    assert "60 steps of 4 images on a CPU, starting from `demo`. 499,135 parameters." in card()


def test_card_claims_nothing_that_was_not_measured():
    note = "The evaluation is of the best checkpoint, another one."
    text = card(quality={"note": note, "images": 0, "AP": None, "AP50": None, "per_class": []}, pretrained=None)
    assert note in text.splitlines()
    assert "which it was not trained on" not in text
    assert "starting from random weights" in text and "No pretrained weights were used." in text
    untimed = model_card(METADATA, MODEL, [], [])
    assert "Milliseconds" not in untimed and "| format | file | size | AP | AP50 |" in untimed


def test_files_are_written_beside_the_exports(tmp_path):
    write_metadata(METADATA, "# card", tmp_path, [1, 2], "model_card.md")
    assert json.loads((tmp_path / "metadata.json").read_text(encoding="utf-8")) == METADATA
    assert (tmp_path / "model_card.md").read_text(encoding="utf-8") == "# card"
    with open(tmp_path / "formats.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["format", "file", "bytes", "AP", "AP50", "milliseconds_1_threads", "milliseconds_2_threads"],
        ["frozen_graph", "frozen_inference_graph.pb", "2600000", "0.4954", "", "31.848", "13.159"],
        ["tflite_int8", "detector_int8.tflite", "78100", "0.25", "0.5", "9.5", ""],
    ]


def test_labels_have_a_line_for_each_id(tmp_path):
    (tmp_path / "map.pbtxt").write_text("item { id: 3 name: 'mug' }\nitem { id: 1 name: 'a cup' }\n", encoding="utf-8")
    write_labels(tmp_path / "map.pbtxt", tmp_path / "export/label_map.pbtxt", tmp_path / "export/labels.txt")
    assert (tmp_path / "export/labels.txt").read_text(encoding="utf-8") == "a cup\n???\nmug\n"
    assert (tmp_path / "export/label_map.pbtxt").read_bytes() == (tmp_path / "map.pbtxt").read_bytes()


def test_what_is_no_longer_asked_for_is_removed(tmp_path):
    (tmp_path / "saved_model/1").mkdir(parents=True)
    (tmp_path / "parity").mkdir()
    for name in ("saved_model/1/saved_model.pb", "detector_int8.tflite", "notes.txt", "parity/tflite_int8.json"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    assert remove_others(tmp_path, ["saved_model"]) == ["tflite_int8"]
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"saved_model/1/saved_model.pb", "notes.txt"}
    assert remove_others(tmp_path, ["frozen_graph"]) == ["saved_model"]
    assert not (tmp_path / "saved_model").exists()


@pytest.mark.parametrize(
    ("configured", "made"),
    [
        (["saved_model"], ["saved_model", "frozen_graph"]),
        (["tflite_int8", "frozen_graph"], ["frozen_graph", "tflite_int8"]),
        (list(PATHS)[::-1], list(PATHS)),
    ],
)
def test_formats_come_in_one_order_and_with_the_frozen_graph(configured, made):
    assert wanted(configured) == made
