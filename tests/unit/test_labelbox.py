"""Labelbox's exports, old and new, are read as written; what nobody has labelled is no negative."""

import json
import math

import pytest

from odtl.annotations import labelbox
from odtl.annotations.model import Annotation, Origin
from odtl.errors import InputError

URL = "https://x.org/images/a.jpg?token=1"


@pytest.fixture
def save(tmp_path):
    def _save(content: object, name: str = "export.json") -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return _save


def record(label: object, url: object = URL, external: object = "a.jpg", **rest: object) -> dict:
    return {"Labeled Data": url, "External ID": external, "Label": label, **rest}


def row(*objects: dict, labels: list | None = None, **rest: object) -> dict:
    label = {"annotations": {"objects": list(objects), "classifications": []}}
    return {
        "data_row": {"external_id": "a.jpg", "row_data": URL, "details": {"dataset_name": "Cups"}},
        "media_attributes": {"width": 640, "height": 480},
        "projects": {"p": {"name": "P", "labels": [label] if labels is None else labels}},
        **rest,
    }


def label(updated: str, *objects: dict, **details: object) -> dict:
    return {"label_details": {"updated_at": updated}, "annotations": {"objects": list(objects)}, **details}


def rectangle(name: str, left: object, top: object, width: object, height: object) -> dict:
    return {"name": name, "bounding_box": {"top": top, "left": left, "height": height, "width": width}}


def problems(path: str) -> list[tuple[str, str, str]]:
    table = labelbox.read(path)
    assert all(entry.problem.file == path and entry.problem.found and entry.problem.cure for entry in table.problems)
    return [(entry.filename, entry.reason, entry.problem.field) for entry in table.problems]


def test_well_known_text_counts_from_the_lower_edge(save):
    path = save(
        [
            record(
                {
                    "Car": [
                        {"color": "blue", "geometry": "POLYGON ((356 420, 356 74, 1198 74, 1198 420, 356 420))"},
                    ],
                    "Tree": "MULTIPOLYGON (((1 2, 3 4.5, 0 9), (2 3, 2 4, 3 3)),((50 60,70 80,50.5 90)))",
                    "weather": "sunny",
                    "Bike": ["polygon((1e1 2,3 4,5 6))"],
                    "None": "POLYGON EMPTY",
                },
                **{"Dataset Name": "Cars"},
            )
        ]
    )
    table = labelbox.read(path)
    assert table.problems == ()
    assert table.annotations == {
        "a.jpg": Annotation(
            path,
            "a.jpg",
            boxes=((356, 74, 1198, 420), (0, 2, 3, 9), (50, 60, 70, 90), (3, 2, 10, 6)),
            labels=("Car", "Tree", "Tree", "Bike"),
            difficult=(False,) * 4,
            truncated=(False,) * 4,
            upward=True,
            origin=Origin(URL, "", "Cars"),
        )
    }


def test_lists_of_points_count_from_the_lower_edge_too(save):
    corners = [{"x": 713, "y": 336}, {"x": 713, "y": 550}, {"x": 404, "y": 550}]
    path = save(
        [record({"robot": [{"geometry": corners}], "arm": [corners, corners[:2]], "model": "person"}, external=None)]
    )
    annotation = labelbox.read(path).annotations[URL]
    assert annotation.boxes == ((404, 336, 713, 550), (404, 336, 713, 550), (713, 336, 713, 550))
    assert (annotation.labels, annotation.upward) == (("robot", "arm", "arm"), True)


def test_later_legacy_form_counts_from_the_upper_edge(save):
    objects = [
        {"title": "Blue bird", "value": "blue_bird", "bbox": {"top": 186, "left": 192, "height": 300, "width": 519}},
        {"title": "Leaf", "value": "leaf", "polygon": [{"x": 3665.5, "y": 351}, {"x": 3762, "y": 810}]},
    ]
    path = save([record({"objects": objects, "classifications": []}), record({"objects": []}, external="empty.jpg")])
    table = labelbox.read(path)
    assert table.problems == ()
    assert table.annotations["a.jpg"].boxes == ((192, 186, 711, 486), (3665.5, 351, 3762, 810))
    assert (table.annotations["a.jpg"].labels, table.annotations["a.jpg"].upward) == (("Blue bird", "Leaf"), False)
    assert table.annotations["empty.jpg"].boxes == ()


def test_what_nobody_has_labelled_is_no_negative(save):
    path = save(
        [
            record("Skip"),
            record({}, external="b.jpg"),
            record(None, external="c.jpg"),
            record({"objects": []}, external="d.jpg", Skipped=True),
            record({"Car": "POLYGON ((1 2, 3 4, 5 6))"}, external="e.jpg"),
            record("Skip", external="e.jpg"),
        ]
    )
    assert problems(path) == [
        ("a.jpg", "annotation_skipped", "record 1, Label"),
        ("b.jpg", "annotation_skipped", "record 2, Label"),
        ("c.jpg", "annotation_skipped", "record 3, Label"),
        ("d.jpg", "annotation_skipped", "record 4, Label"),
    ]
    assert list(labelbox.read(path).annotations) == ["e.jpg"]


def test_rows_of_the_newer_export(save):
    polygon = {"name": "dog", "polygon": [{"x": 5, "y": 6}, {"x": 30, "y": 4}, {"x": 20, "y": 40}]}
    other = row()
    other["data_row"] = {"global_key": "b.jpg", "row_data": "gs://bucket/b.jpg"}
    lines = [
        row(rectangle("cup", 10, 20.5, 30, 40), polygon, metadata_fields=[{"schema_name": "License", "value": "CC0"}]),
        other,
    ]
    path = save("\n".join(map(json.dumps, lines)) + "\n", "export.ndjson")
    table = labelbox.read(path)
    assert table.problems == ()
    assert table.annotations == {
        "a.jpg": Annotation(
            path,
            "a.jpg",
            640,
            480,
            ((10, 20.5, 40, 60.5), (5, 4, 30, 40)),
            ("cup", "dog"),
            (False, False),
            (False, False),
            origin=Origin(URL, "CC0", "Cups"),
        ),
        "b.jpg": Annotation(path, "b.jpg", 640, 480),
    }
    assert labelbox.read(save(lines)).annotations.keys() == {"a.jpg", "b.jpg"}
    assert labelbox.read(save(lines[0])).annotations.keys() == {"a.jpg"}


def test_rows_that_were_skipped_or_have_no_label(save):
    skipped = label("2024", performance_details={"skipped": True})
    assert problems(save([row(labels=[skipped])])) == [("a.jpg", "annotation_skipped", "record 1, label 1")]
    assert problems(save([row(labels=[])])) == [("a.jpg", "annotation_skipped", "record 1")]
    assert problems(save([row(projects={})])) == [("a.jpg", "annotation_skipped", "record 1")]
    assert problems(save([row(labels=[skipped, label("2023")])])) == []


def test_of_several_labels_the_last_changed_is_used(save):
    labels = [label("2024-02-01", rectangle("b", 1, 1, 1, 1)), label("2024-01-01", rectangle("a", 1, 1, 1, 1))]
    path = save([row(labels=labels)])
    assert problems(path) == [("a.jpg", "annotation_chosen", "record 1, label 1")]
    assert labelbox.read(path).annotations["a.jpg"].labels == ("b",)
    assert problems(save([row(labels=[labels[0], labels[0]])])) == []


def test_one_name_at_two_addresses_is_ambiguous(save):
    skip = {"Car": "POLYGON ((1 2, 3 4, 5 6))"}
    path = save([record(skip), record(skip, "https://x.org/images/a.jpg?token=2")])
    assert problems(path) == []
    path = save([record(skip), record(skip, "https://x.org/other/a.jpg")])
    assert problems(path) == [("a.jpg", "annotation_ambiguous", "record 1")]


def test_shapes_around_which_there_is_no_box(save):
    mask, line, point = {"name": "m", "mask": {"url": "u"}}, {"name": "l", "line": []}, {"name": "p", "point": {}}
    box = rectangle("cup", 10, 20, 30, 40)
    assert problems(save([row(box, mask)])) == [("a.jpg", "shape_unsupported", "record 1, label 1")]
    assert problems(save([row(line, point)])) == [
        ("a.jpg", "shape_without_box", "record 1, label 1"),
        ("a.jpg", "all_boxes_unusable", "record 1, label 1"),
    ]
    path = save([row(box, line, point)])
    assert problems(path) == [("a.jpg", "shape_without_box", "record 1, label 1")]
    assert labelbox.read(path).annotations["a.jpg"].labels == ("cup",)
    assert problems(save([record({"a": [{"geometry": {"x": 1, "y": 2}}], "b": "POINT (1 2)"})])) == [
        ("a.jpg", "shape_without_box", "record 1, Label"),
        ("a.jpg", "all_boxes_unusable", "record 1, Label"),
    ]


def test_shapes_of_any_type_are_left_to_be_judged(save):
    objects = [rectangle("a", "1", 2, None, 4), {"name": 7, "polygon": [5]}, {}, 5]
    boxes = labelbox.read(save([row(*objects)])).annotations["a.jpg"].boxes
    assert [sum(map(math.isnan, box)) for box in boxes] == [1, 4, 4, 4]
    label_ = {"a": "POLYGON ((1 2, x 4))", "b": "POLYGON (1 2)", "c": [[{"x": 1}]], "d": "POLYGON ((1, 2))", "e": 5}
    boxes = labelbox.read(save([record(label_)])).annotations["a.jpg"].boxes
    assert [sum(map(math.isnan, box)) for box in boxes] == [4, 4, 4, 4]


def test_records_are_named_by_their_ids(save):
    assert problems(save([record("Skip", ID="cj1")])) == [("a.jpg", "annotation_skipped", "record cj1, Label")]
    named = row(labels=[])
    named["data_row"]["id"] = "cj2"
    assert problems(save([named])) == [("a.jpg", "annotation_skipped", "record cj2")]


def test_entries_that_are_none_lose_nothing_else(save):
    frames = label("2024")
    frames["annotations"] = {"frames": {}}
    good = json.dumps(row(rectangle("cup", 1, 2, 3, 4)))
    nameless, video = row(), row(labels=[frames])
    nameless["data_row"] = {}
    video["data_row"]["external_id"] = "video.mp4"
    path = save("\n".join([good, "{oops", "5", json.dumps(nameless), json.dumps(video)]), "export.ndjson")
    assert problems(path) == [
        ("", "row_unreadable", "line 2, column 2"),
        ("", "row_unreadable", "line 3"),
        ("", "row_unreadable", "line 4"),
        ("video.mp4", "annotation_unreadable", "line 5, label 1"),
    ]
    assert list(labelbox.read(path).annotations) == ["a.jpg"]
    assert problems(save([record(5), record({"a": "POINT (1 2)"}, None, None), {"ID": 1}])) == [
        ("a.jpg", "annotation_unreadable", "record 1, Label"),
        ("", "row_unreadable", "record 2"),
        ("", "row_unreadable", "record 3"),
    ]


@pytest.mark.parametrize(
    ("content", "field", "found"),
    [
        ([{"image": "a.jpg"}], "file", "no record of Labelbox"),
        ({"images": [], "annotations": []}, "file", "no record of Labelbox"),
        ("5", "file", "5"),
        ("{oops\n{oops", "line 1, column 2", "malformed JSON"),
        ("[oops", "line 1, column 2", "malformed JSON"),
    ],
)
def test_file_of_another_kind_is_refused(save, content, field, found):
    with pytest.raises(InputError) as caught:
        labelbox.read(save(content))
    (problem,) = caught.value.problems
    assert problem.field == field
    assert found in problem.found
