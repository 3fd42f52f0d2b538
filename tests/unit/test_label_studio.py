"""Label Studio's exports are read as written, regions as shares; what nobody has labelled is no negative."""

import json
import math

import pytest

from odtl.annotations import label_studio
from odtl.annotations.model import Annotation, Origin
from odtl.errors import InputError


@pytest.fixture
def save(tmp_path):
    def _save(document: object) -> str:
        path = tmp_path / "export.json"
        path.write_text(json.dumps(document))
        return str(path)

    return _save


def region(kind: str, *labels: str, size: tuple = (200, 100), **value: object) -> dict:
    key = {} if not labels else {kind: list(labels)}
    return {"type": kind, "original_width": size[0], "original_height": size[1], "value": {**value, **key}}


def rectangle(*labels: str, x: object = 10, y: object = 20, width: object = 30, height: object = 40, **rest: object):
    return region("rectanglelabels", *labels, x=x, y=y, width=width, height=height, **rest)


def task(*results: dict, image: object = "a.jpg", annotations: list | None = None, **rest: object) -> dict:
    return {"data": {"image": image}, "annotations": annotations or [{"result": list(results)}], **rest}


def problems(path: str) -> list[tuple[str, str, str]]:
    table = label_studio.read(path)
    assert all(entry.problem.file == path and entry.problem.found and entry.problem.cure for entry in table.problems)
    return [(entry.filename, entry.reason, entry.problem.field) for entry in table.problems]


def boxes_of(path: str) -> list[tuple[float, ...]]:
    (annotation,) = label_studio.read(path).annotations.values()
    assert annotation.normalised
    return [tuple(round(edge, 9) for edge in box) for box in annotation.boxes]


def test_rectangles_are_percents(save):
    path = save([task(rectangle("cup"), rectangle("leaf", "green", x="5", rotation=0)), task(image="empty.jpg")])
    table = label_studio.read(path)
    assert table.problems == ()
    assert table.annotations == {
        "a.jpg": Annotation(
            path,
            "a.jpg",
            200,
            100,
            ((0.1, 0.2, 0.4, 0.6), (0.05, 0.2, 0.35, 0.6), (0.05, 0.2, 0.35, 0.6)),
            ("cup", "leaf", "green"),
            (False,) * 3,
            (False,) * 3,
            normalised=True,
        ),
        "empty.jpg": Annotation(path, "empty.jpg", normalised=True),
    }


def test_turned_rectangle_gets_the_upright_box_around_it(save):
    # On 200 x 100 pixels: from (20, 20), 60 wide and 40 high, a quarter turn clockwise around its corner.
    quarter = rectangle("cup", rotation=90)
    # The same by 30 degrees: corners (20, 20), (71.96, 50), (51.96, 84.64), (0, 54.64).
    slanted = rectangle("cup", rotation=30)
    assert boxes_of(save([task(quarter, slanted)])) == [
        (round(-20 / 200, 9), 0.2, 0.1, 0.8),
        (
            0.0,
            0.2,
            round((20 + 60 * math.cos(math.pi / 6)) / 200, 9),
            round((20 + 30 + 40 * math.cos(math.pi / 6)) / 100, 9),
        ),
    ]
    unknown = rectangle("cup", rotation=30, size=(None, None))
    assert all(map(math.isnan, boxes_of(save([task(unknown)]))[0]))


def test_polygons_and_ellipses(save):
    polygon = region("polygonlabels", "cup", points=[[10, 20], [50.5, 5], [30, 60]])
    ellipse = region("ellipselabels", "cup", x=50, y=40, radiusX=10, radiusY=20, rotation=0)
    # 20 x 20 pixels: a circle, the same whichever way it is turned.
    circle = region("ellipselabels", "cup", x=50, y=40, radiusX=10, radiusY=20, rotation=77)
    flat = region("ellipselabels", "cup", x=50, y=40, radiusX=10, radiusY=10, rotation=90)
    assert boxes_of(save([task(polygon, ellipse, circle, flat)])) == [
        (0.1, 0.05, 0.505, 0.6),
        (0.4, 0.2, 0.6, 0.6),
        (0.4, 0.2, 0.6, 0.6),
        (0.45, 0.2, 0.55, 0.6),
    ]


def test_labels_in_a_result_of_their_own(save):
    shape = {"id": "r1", **rectangle()}
    shape["type"] = "rectangle"
    named = {"id": "r1", "type": "labels", "value": {**shape["value"], "labels": ["cup"]}, "original_width": 200}
    path = save([task(shape, named)])
    assert label_studio.read(path).annotations["a.jpg"].labels == ("cup",)
    assert label_studio.read(save([task(shape)])).annotations["a.jpg"].labels == ("",)


@pytest.mark.parametrize(
    ("written", "name", "origin"),
    [
        ("/data/upload/3/1a2b3c4d-my%20cup.jpg", "1a2b3c4d-my cup.jpg", None),
        ("http://localhost:8080/data/upload/3/1a2b3c4d-cup.jpg", "1a2b3c4d-cup.jpg", None),
        ("/data/local-files/?d=cups/train/a%20b.jpg", "cups/train/a b.jpg", None),
        ("cups/download (1).jpg", "cups/download (1).jpg", None),
        ("s3://bucket/cups/a.jpg", "s3://bucket/cups/a.jpg", None),
        ("https://x.org/a.jpg?sig=1", "https://x.org/a.jpg?sig=1", Origin("https://x.org/a.jpg?sig=1")),
        ("http://[oops", "http://[oops", None),
    ],
)
def test_names_and_addresses(save, written, name, origin):
    ((found, annotation),) = label_studio.read(save([task(rectangle("cup"), image=written)])).annotations.items()
    assert (found, annotation.filename, annotation.origin) == (name, name, origin)


def test_image_under_another_key(save):
    data = {"text": "a cup", "photo": "https://x.org/a.JPG?x=1", "more": "b.jpg"}
    assert list(label_studio.read(save([{"data": data, "annotations": [{"result": []}]}])).annotations) == [
        data["photo"]
    ]


def test_what_nobody_has_labelled_is_no_negative(save):
    cancelled = {"result": [rectangle("cup")], "was_cancelled": True}
    path = save(
        [
            {"data": {"image": "a.jpg"}, "annotations": [], "predictions": [{"result": [rectangle("cup")]}]},
            task(annotations=[cancelled], image="b.jpg"),
            task(annotations=[cancelled, {"result": []}], image="c.jpg"),
            {"data": {"image": "d.jpg"}},
        ]
    )
    assert problems(path) == [
        ("a.jpg", "annotation_skipped", "tasks[0].annotations"),
        ("b.jpg", "annotation_skipped", "tasks[1].annotations"),
        ("d.jpg", "annotation_skipped", "tasks[3].annotations"),
    ]
    assert list(label_studio.read(path).annotations) == ["c.jpg"]


def test_of_several_annotations_ground_truth_goes_first_then_the_last_changed(save):
    several = [
        {"result": [rectangle("old")], "updated_at": "2024-01-01T00:00:00Z"},
        {"result": [rectangle("new")], "updated_at": "2024-02-01T00:00:00Z"},
    ]
    path = save([task(annotations=several)])
    assert problems(path) == [("a.jpg", "annotation_chosen", "tasks[0].annotations[0]")]
    assert label_studio.read(path).annotations["a.jpg"].labels == ("new",)
    path = save([task(annotations=[{**several[0], "ground_truth": True}, several[1]])])
    assert label_studio.read(path).annotations["a.jpg"].labels == ("old",)
    assert problems(save([task(annotations=[several[0], several[0]])])) == []


def test_shapes_around_which_there_is_no_box(save):
    brush = region("brushlabels", "cup", format="rle", rle=[0, 1])
    point = region("keypointlabels", "tip", x=1, y=2, width=0.2)
    assert problems(save([task(rectangle("cup"), brush)])) == [
        ("a.jpg", "shape_unsupported", "tasks[0].annotations[0]")
    ]
    assert problems(save([task(point)])) == [
        ("a.jpg", "shape_without_box", "tasks[0].annotations[0]"),
        ("a.jpg", "all_boxes_unusable", "tasks[0].annotations[0]"),
    ]
    path = save([task(rectangle("cup"), point, region("choices", choices=["yes"]))])
    assert problems(path) == [("a.jpg", "shape_without_box", "tasks[0].annotations[0]")]
    assert label_studio.read(path).annotations["a.jpg"].labels == ("cup",)


def test_image_that_was_turned_in_the_tool_is_ambiguous(save):
    turned = {**rectangle("cup"), "image_rotation": 90}
    assert problems(save([task(turned)])) == [("a.jpg", "annotation_ambiguous", "tasks[0].annotations[0]")]
    assert problems(save([task({**rectangle("cup"), "image_rotation": 0})])) == []


def test_flat_export(save):
    shape = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cup"]}
    first = {
        "image": "/data/upload/1/ab-a.jpg",
        "id": 1,
        "annotator": 1,
        "annotation_id": 1,
        "updated_at": "2024-01-01",
    }
    path = save(
        [
            {**first, "label": [{**shape, "original_width": 200, "original_height": 100}], "choice": "yes"},
            {**first, "label": [{**shape, "rectanglelabels": ["leaf"]}], "updated_at": "2024-02-01"},
            {**first, "image": "/data/upload/1/cd-b.jpg"},
            {"image": "/data/upload/1/ef-c.jpg", "id": 3},
        ]
    )
    assert problems(path) == [
        ("ab-a.jpg", "annotation_chosen", "tasks[id 1]"),
        ("ef-c.jpg", "annotation_skipped", "tasks[id 3]"),
    ]
    annotations = label_studio.read(path).annotations
    assert annotations["ab-a.jpg"].labels == ("leaf",)
    assert annotations["cd-b.jpg"].boxes == ()
    (only,) = label_studio.read(
        save([{**first, "label": [{**shape, "original_width": 200, "original_height": 100}]}])
    ).annotations.values()
    assert (only.boxes, only.labels, only.width, only.height) == (((0.1, 0.2, 0.4, 0.6),), ("cup",), 200, 100)


def test_entries_that_are_none_lose_nothing_else(save):
    path = save([5, {"data": {"text": "hello"}}, task(annotations=[{"result": 5}, 7]), task(image="b.jpg")])
    assert problems(path) == [
        ("", "row_unreadable", "tasks[0]"),
        ("", "row_unreadable", "tasks[1]"),
        ("a.jpg", "annotation_unreadable", "tasks[2].annotations[0]"),
        ("a.jpg", "annotation_unreadable", "tasks[2].annotations[1]"),
    ]
    assert list(label_studio.read(path).annotations) == ["b.jpg"]


@pytest.mark.parametrize(
    ("content", "found"),
    [({"images": []}, "an object of 1 key(s)"), ([1, 2], "a list that begins with 1"), ("x", "'x'")],
)
def test_file_of_another_kind_is_refused(save, content, found):
    with pytest.raises(InputError) as caught:
        label_studio.read(save(content))
    (problem,) = caught.value.problems
    assert (problem.field, problem.found) == ("file", found)
