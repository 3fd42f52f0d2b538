"""Cloud Annotations' file is read as written: boxes are shares of an image whose size nobody states."""

import json
import math

import pytest

from odtl.annotations import cloud_annotations
from odtl.annotations.model import Annotation
from odtl.errors import InputError


@pytest.fixture
def save(tmp_path):
    def _save(document: object) -> str:
        path = tmp_path / "_annotations.json"
        path.write_text(json.dumps(document))
        return str(path)

    return _save


def document(annotations: object, kind: str = "localization") -> dict:
    return {"version": "1.0", "type": kind, "labels": ["Snake"], "annotations": annotations}


def test_boxes_are_shares(save):
    path = save(
        document(
            {
                "a b.jpg": [
                    {"x": 0.25, "y": 0.5, "x2": 0.75, "y2": 1, "id": "1", "label": "Snake"},
                    {"x": "0.1", "y": None, "x2": 2, "label": 7},
                ],
                "empty.jpg": [],
            }
        )
    )
    table = cloud_annotations.read(path)
    assert table.problems == ()
    first = table.annotations["a b.jpg"]
    assert first.boxes[0] == (0.25, 0.5, 0.75, 1)
    assert [math.isnan(edge) for edge in first.boxes[1]] == [False, True, False, True]
    assert (first.labels, first.normalised, first.width, first.height) == (("Snake", "7"), True, None, None)
    assert table.annotations["empty.jpg"] == Annotation(path, "empty.jpg", normalised=True)


def test_entries_that_are_none_lose_nothing_else(save):
    path = save(document({"a.jpg": {"x": 1}, "b.jpg": [5], " ": [], "c.jpg": []}))
    table = cloud_annotations.read(path)
    assert list(table.annotations) == ["c.jpg"]
    assert [(entry.filename, entry.reason, entry.problem.field, entry.problem.found) for entry in table.problems] == [
        ("a.jpg", "annotation_unreadable", "annotations['a.jpg']", "an object of 1 key(s)"),
        ("b.jpg", "annotation_unreadable", "annotations['b.jpg']", "5"),
        ("", "row_unreadable", "annotations, entry 2", "no file name"),
    ]


@pytest.mark.parametrize(
    ("content", "field", "found"),
    [
        (document({"a.jpg": [{"label": "Snake"}]}, "classification"), "type", "'classification'"),
        (document({}, "other"), "type", "'other'"),
        (document([]), "annotations", "a list of 0"),
        ({}, "annotations", "nothing"),
        ([], "file", "a list of 0"),
    ],
)
def test_file_of_another_kind_is_refused_with_the_reason(save, content, field, found):
    with pytest.raises(InputError) as caught:
        cloud_annotations.read(save(content))
    (problem,) = caught.value.problems
    assert (problem.field, problem.found) == (field, found)
    assert "boxes" in problem.cure or "expected" in problem.cure
