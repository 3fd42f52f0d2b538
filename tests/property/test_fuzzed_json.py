"""Whatever is given for a JSON annotation file ends in what it says, or in an InputError: never in another exception.

Arbitrary JSON, files of the right form with arbitrary parts, valid ones with parts replaced, and bytes cut or changed.
"""

import copy
import json
import math
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odtl.annotations import cloud_annotations, coco, label_studio, labelbox
from odtl.annotations.model import Annotation, Table
from odtl.errors import InputError
from odtl.inventory.reading import tabled
from odtl.repairs import STATUS_OF

EXAMPLES = int(os.environ.get("ODTL_PROPERTY_EXAMPLES", "60"))

FORMATS = {module.__name__.rpartition(".")[2]: module for module in (coco, labelbox, cloud_annotations, label_studio)}
VALID = {
    "coco": {
        "info": {"description": "Cups"},
        "licenses": [{"id": 3, "name": "CC BY", "url": "http://cc.org"}],
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48, "license": 3, "coco_url": "http://x.org/a.jpg"},
            {"id": 2, "file_name": "b.jpg", "width": 5, "height": 4},
        ],
        "annotations": [
            {
                "image_id": 1,
                "category_id": 0,
                "bbox": [1, 2.5, 3, 4],
                "segmentation": [[1, 2, 4, 2, 4, 6]],
                "iscrowd": 0,
            },
            {"image_id": 2, "category_id": 0, "segmentation": {"size": [4, 5], "counts": [9, 2, 9]}, "iscrowd": 1},
            {"image_id": 2, "category_id": 7, "segmentation": {"size": [4, 5], "counts": "929"}},
        ],
        "categories": [{"id": 0, "name": "cup"}, {"id": 7, "name": "leaf"}],
    },
    "labelbox": [
        {"Labeled Data": "http://x.org/a.jpg", "Label": {"Car": [{"geometry": "POLYGON ((1 2, 3 4, 5 6))"}], "m": "x"}},
        {"Labeled Data": "http://x.org/b.jpg", "External ID": "b.jpg", "Label": {"Car": [[{"x": 1, "y": 2}]]}},
        {"Labeled Data": "http://x.org/c.jpg", "Label": "Skip"},
        {"Labeled Data": "u", "Label": {"objects": [{"title": "a", "bbox": {"top": 1, "left": 2, "height": 3}}]}},
        {
            "data_row": {"external_id": "d.jpg", "row_data": "http://x.org/d.jpg", "details": {"dataset_name": "D"}},
            "media_attributes": {"width": 64, "height": 48},
            "metadata_fields": [{"schema_name": "license", "value": "CC0"}],
            "projects": {
                "p": {
                    "labels": [
                        {
                            "label_details": {"updated_at": "2024"},
                            "performance_details": {"skipped": False},
                            "annotations": {"objects": [{"name": "dog", "polygon": [{"x": 5, "y": 6}]}, {"mask": {}}]},
                        }
                    ]
                }
            },
        },
    ],
    "cloud_annotations": {
        "version": "1.0",
        "type": "localization",
        "labels": ["Snake"],
        "annotations": {"a.jpg": [{"x": 0.1, "y": 0.2, "x2": 0.3, "y2": 0.4, "label": "Snake"}], "b.jpg": []},
    },
    "label_studio": [
        {
            "data": {"image": "/data/upload/1/a.jpg"},
            "annotations": [
                {
                    "was_cancelled": False,
                    "ground_truth": False,
                    "updated_at": "2024",
                    "result": [
                        {
                            "id": "r",
                            "type": "rectanglelabels",
                            "original_width": 64,
                            "original_height": 48,
                            "image_rotation": 0,
                            "value": {
                                "x": 1,
                                "y": 2,
                                "width": 3,
                                "height": 4,
                                "rotation": 30,
                                "rectanglelabels": ["a"],
                            },
                        },
                        {"type": "polygonlabels", "value": {"points": [[1, 2], [3, 4]], "polygonlabels": ["b"]}},
                        {"type": "ellipselabels", "value": {"x": 1, "y": 2, "radiusX": 3, "radiusY": 4}},
                        {"type": "brushlabels", "value": {"rle": [1], "brushlabels": ["b"]}},
                    ],
                }
            ],
        },
        {"image": "b.jpg", "annotation_id": 1, "label": [{"x": 1, "y": 2, "width": 3, "rectanglelabels": ["a"]}]},
    ],
}

# What Python's json module writes: any number, and texts with a half of a surrogate pair.
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, 10**400, -(10**400), 0, 1, 2**31, 2**53]),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["\ud800", "http://[x", "POLYGON ((", "((1 2))", "Skip", "1", "nan", "\0", "../../a.jpg"]),
)
KEYS = sorted(
    {key for valid in VALID.values() for key in json.dumps(valid).split('"')[1::2]}
    | {"predictions", "completions", "Skipped", "rotation", "counts", "global_key", "point", "line"}
)
values = st.recursive(
    scalars,
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), children, max_size=4)
    ),
    max_leaves=12,
)


def places_in(value: object, place: tuple = ()) -> list[tuple]:
    """Return the place of each part of a document."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place, *(found for key in keys for found in places_in(value[key], (*place, key)))]


@st.composite
def mutated(draw: st.DrawFn, name: str) -> object:
    """Draw a valid document in which up to three parts are replaced by anything, taken out, or doubled."""
    document = copy.deepcopy(VALID[name])
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places_in(document)))
        if not place:
            return draw(values)
        parent = document
        for key in place[:-1]:
            parent = parent[key]
        match draw(st.sampled_from(["replace", "remove", "double"])):
            case "replace":
                parent[place[-1]] = draw(values)
            case "remove":
                del parent[place[-1]]
            case "double" if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[place[-1]]))
    return document


@pytest.fixture(params=sorted(FORMATS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def check(table: Table, path: str) -> None:
    """Check that what was read keeps its contract, and that the inventory can keep it as text."""
    for key, annotation in table.annotations.items():
        assert isinstance(annotation, Annotation)
        assert annotation.file == path
        assert key
        assert annotation.filename == key
        size = len(annotation.boxes)
        assert len(annotation.labels) == len(annotation.difficult) == len(annotation.truncated) == size
        assert len(annotation.crowd) in (0, size)
        assert all(len(box) == 4 and not any(isinstance(edge, str) for edge in box) for box in annotation.boxes)
        assert all(isinstance(label, str) for label in annotation.labels)
        assert all(side is None or 0 < side < 2**31 for side in (annotation.width, annotation.height))
    for entry in table.problems:
        assert entry.reason in STATUS_OF
        assert entry.problem.file == path
        assert all(isinstance(text, str) for text in (entry.filename, entry.problem.field, entry.problem.found))
    json.dumps(tabled(table), ensure_ascii=False).encode()


def attempt(name: str, path: str, data: bytes) -> Table | None:
    with open(path, "wb") as stream:
        stream.write(data)
    try:
        table = FORMATS[name].read(path)
    except InputError as error:
        assert all(problem.file == path and problem.field and problem.found for problem in error.problems)
        str(error).encode()
        return None
    check(table, path)
    return table


fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_valid_files_are_read(name, tmp_path):
    table = attempt(name, str(tmp_path / "a.json"), json.dumps(VALID[name]).encode())
    assert table is not None
    assert any(math.isfinite(box[0]) for entry in table.annotations.values() for box in entry.boxes)


@fuzzed
@given(data=st.data())
def test_any_json(name, tmp_path, data):
    attempt(name, str(tmp_path / "a.json"), json.dumps(data.draw(values)).encode())


@fuzzed
@given(data=st.data())
def test_parts_replaced(name, tmp_path, data):
    attempt(name, str(tmp_path / "a.json"), json.dumps(data.draw(mutated(name))).encode())


@fuzzed
@given(data=st.data())
def test_lines_of_any_kind(tmp_path, data):
    lines = data.draw(st.lists(values | st.sampled_from(VALID["labelbox"]), max_size=4))
    attempt("labelbox", str(tmp_path / "a.ndjson"), "\n".join(map(json.dumps, lines)).encode())


@fuzzed
@given(data=st.data())
def test_bytes_cut_and_changed(name, tmp_path, data):
    whole = json.dumps(VALID[name]).encode()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 8)))
    attempt(name, str(tmp_path / "a.json"), whole[:start] + data.draw(st.binary(max_size=4)) + whole[end:])
