"""COCO's JSON is read as written; what belongs together in more than one way is reported, and loses nothing else."""

import json
import math

import pytest

from odtl.annotations import coco
from odtl.annotations.model import Annotation, Origin
from odtl.errors import InputError
from odtl.inventory import reading

CATEGORIES = [{"id": 0, "name": "cup"}, {"id": 7, "name": " leaf "}, {"id": 90, "name": "unused"}]


@pytest.fixture
def save(tmp_path):
    def _save(document: object) -> str:
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(document))
        return str(path)

    return _save


def image(number: object, name: object, **rest: object) -> dict:
    return {"id": number, "file_name": name, "width": 640, "height": 480, **rest}


def box(image_id: object, category_id: object, *bbox: object, **rest: object) -> dict:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), **rest}


def document(images: list, annotations: list, categories: list = CATEGORIES, **rest: object) -> dict:
    return {"images": images, "annotations": annotations, "categories": categories, **rest}


def problems(path: str) -> list[tuple[str, str, str]]:
    table = coco.read(path)
    assert all(entry.problem.file == path and entry.problem.found and entry.problem.cure for entry in table.problems)
    return [(entry.filename, entry.reason, entry.problem.field) for entry in table.problems]


def test_boxes_are_gathered_by_image_in_order(save):
    path = save(
        document(
            [image(5, "train/a b.jpg"), image(0, "b.jpg", width="641", height=0), image(9, "empty.jpg")],
            [box(0, 7, 1, 2, 3, 4), box(5, 0, 10.5, 20, 30, 40.25, iscrowd=1), box(0, 0, 0, 0, 5, 6, iscrowd=0)],
        )
    )
    table = coco.read(path)
    assert table.problems == ()
    assert table.annotations == {
        "train/a b.jpg": Annotation(
            path, "train/a b.jpg", 640, 480, ((10.5, 20, 40.5, 60.25),), ("cup",), (False,), (False,), (True,)
        ),
        "b.jpg": Annotation(
            path, "b.jpg", 641, None, ((1, 2, 4, 6), (0, 0, 5, 6)), ("leaf", "cup"), (False,) * 2, (False,) * 2
        ),
        "empty.jpg": Annotation(path, "empty.jpg", 640, 480),
    }
    assert list(table.annotations) == ["train/a b.jpg", "b.jpg", "empty.jpg"]


def test_addresses_and_licences(save):
    path = save(
        document(
            [
                image(1, "a.jpg", coco_url="http://x.org/a.jpg", flickr_url="http://f.org/a.jpg", license=3),
                image(2, "https://x.org/b.jpg?alt=media&token=1", license=4, coco_url="https://x.org/b.jpg"),
                image(3, None, coco_url="", flickr_url="HTTP://f.org/c.jpg", license=None),
                image(4, "d.jpg", coco_url="s3://bucket/d.jpg", license=3),
            ],
            [],
            licenses=[{"id": 3, "name": "CC BY", "url": "http://cc.org/by"}, {"id": 4, "url": "http://cc.org/0"}],
            info={"description": "Cups", "url": "http://cups.org"},
        )
    )
    found = {name: entry.origin for name, entry in coco.read(path).annotations.items()}
    assert found == {
        "a.jpg": Origin("http://x.org/a.jpg", "CC BY (http://cc.org/by)", "Cups"),
        "https://x.org/b.jpg?alt=media&token=1": Origin(
            "https://x.org/b.jpg?alt=media&token=1", "http://cc.org/0", "Cups"
        ),
        "HTTP://f.org/c.jpg": Origin("HTTP://f.org/c.jpg", "", "Cups"),
        "d.jpg": None,
    }


def test_segmentation_alone_gives_the_box_around_it(save):
    path = save(
        document(
            [image(1, "a.jpg", width=5, height=4)],
            [
                {"image_id": 1, "category_id": 0, "segmentation": [[1, 2, 3.5, 2, 3, 4], [2, 1, 2, 1.5, 3, 3]]},
                {"image_id": 1, "category_id": 0, "bbox": None, "segmentation": {"size": [4, 5], "counts": [9, 2, 9]}},
                # pycocotools.mask.encode of the same.
                {"image_id": 1, "category_id": 0, "bbox": [], "segmentation": {"size": [4, 5], "counts": "929"}},
                {"image_id": 1, "category_id": 7, "segmentation": {"size": [4, 5], "counts": "nonsense"}},
                {"image_id": 1, "category_id": 7},
            ],
        )
    )
    boxes = coco.read(path).annotations["a.jpg"].boxes
    assert boxes[:3] == ((1, 1, 3.5, 4), (2, 1, 3, 3), (2, 1, 3, 3))
    assert [[math.isnan(edge) for edge in entry] for entry in boxes[3:]] == [[True] * 4] * 2


def test_box_that_is_its_outline_upside_down_is_reported_and_kept(save):
    outline = [[46.0, 117.0, 164.0, 191.0, 92.0, 231.0]]
    wrong = box("x", 0, 46.0, 43.0, 118.0, 114.0, segmentation=outline)
    right = box("x", 0, 46.0, 117.5, 118.0, 114.0, segmentation=outline)
    elsewhere = box("x", 0, 46.0, 20.0, 118.0, 114.0, segmentation=outline)
    path = save(document([image("x", "a.jpg", width=184, height=274)], [right, wrong, elsewhere, wrong]))
    assert problems(path) == [("a.jpg", "box_upside_down", "annotations[1].bbox")]
    assert coco.read(path).annotations["a.jpg"].boxes[1] == (46, 43, 164, 157)


def test_boxes_of_any_type_are_left_to_be_judged(save):
    path = save(
        document(
            [image(1, "a.jpg")],
            [
                box(1, 0, "10", "20", " 30.5", 40),
                box(1, 0, None, 2, 3, 4),
                box(1, 0, 1, 2, 3),
                {"image_id": 1, "category_id": 0, "bbox": {"x": 1, "y": 2, "w": 3, "h": 4}},
                {"image_id": 1, "category_id": 0, "bbox": "1234"},
                box(1, 0, float("nan"), 2, 3, 4),
                box(1, 0, 10, 20, -5, 0),
                box("1", "0", 1, 2, 3, 4),
                box(1, 0, [1], [2], [3], [4]),
            ],
        )
    )
    table = coco.read(path)
    assert table.problems == ()
    boxes = table.annotations["a.jpg"].boxes
    assert [boxes[0], boxes[6], boxes[7]] == [(10, 20, 40.5, 60), (10, 20, 5, 20), (1, 2, 4, 6)]
    assert [sum(map(math.isnan, entry)) for entry in boxes] == [0, 2, 4, 4, 4, 2, 0, 0, 4]


def test_ids_that_name_nothing(save):
    path = save(
        document(
            [image(1, "a.jpg"), image(2, "b.jpg"), image(None, "c.jpg"), image(3, " "), 5],
            [
                box(1, 0, 1, 2, 3, 4),
                box(8, 0, 1, 2, 3, 4),
                box(2, 55, 1, 2, 3, 4, id=31),
                box(8, 0, 1, 2, 3, 4),
                {"category_id": 0, "bbox": [1, 2, 3, 4]},
                "text",
                box([1], {}, 1, 2, 3, 4),
            ],
        )
    )
    assert problems(path) == [
        ("b.jpg", "annotation_unreadable", "annotations[id 31].category_id"),
        ("c.jpg", "annotation_ambiguous", "images['c.jpg'].id"),
        ("", "row_unreadable", "images[3].file_name"),
        ("", "row_unreadable", "images[4].file_name"),
        ("", "row_unreadable", "annotations[5]"),
        ("", "row_unreadable", "annotations[1].image_id"),
        ("", "row_unreadable", "annotations[4].image_id"),
        ("", "row_unreadable", "annotations[6].image_id"),
    ]
    table = coco.read(path)
    assert [len(entry.boxes) for entry in table.annotations.values()] == [1, 0, 0]
    assert "8, which is no image's id, in 2 annotation(s)" in [entry.problem.found for entry in table.problems]


def test_one_id_for_several(save):
    categories = [*CATEGORIES, {"id": 7, "name": "other"}, {"id": 0, "name": "cup"}, {"name": "no id"}, None]
    path = save(
        document(
            [image(1, "a.jpg"), image(1, "b.jpg"), image(2, "c.jpg"), image(2, "c.jpg"), image(4, "d.jpg")],
            [box(1, 0, 1, 2, 3, 4), box(2, 0, 1, 2, 3, 4), box(4, 0, 1, 2, 3, 4), box(4, 7, 1, 2, 3, 4)],
            categories,
        )
    )
    assert problems(path) == [
        ("a.jpg", "annotation_ambiguous", "images['b.jpg'].id"),
        ("b.jpg", "annotation_ambiguous", "images['b.jpg'].id"),
        ("d.jpg", "annotation_unreadable", "annotations[3].category_id"),
    ]
    assert len(coco.read(path).annotations["c.jpg"].boxes) == 1
    assert coco.read(path).problems[2].problem.found == "7, the id of 'leaf' and 'other' (categories[3])"


def test_one_name_for_several_images(save):
    same = [image(1, "a.jpg"), image(2, "a.jpg")]
    assert problems(save(document(same, [box(1, 0, 1, 2, 3, 4), box(2, 0, 1, 2, 3, 4)]))) == []
    assert problems(save(document(same, [box(1, 0, 1, 2, 3, 4), box(2, 0, 1, 2, 3, 5)]))) == [
        ("a.jpg", "annotation_ambiguous", "images['a.jpg'].file_name")
    ]


@pytest.mark.parametrize(
    ("content", "field", "found"),
    [
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}], "file", "a list of 1"),
        (5, "file", "5"),
        ({"images": {}, "annotations": []}, "images", "an object of 0 key(s)"),
        ({"images": []}, "annotations", "nothing"),
    ],
)
def test_file_of_another_kind_is_refused(save, content, field, found):
    with pytest.raises(InputError) as caught:
        coco.read(save(content))
    (problem,) = caught.value.problems
    assert (problem.field, problem.found) == (field, found)


def test_short_way_to_the_inventory_packs_what_the_long_one_does(save):
    images = [image(1, "a.jpg"), image(2, "b.jpg", coco_url="https://x/b.jpg"), image(3, "c.jpg"), image(4, "d.jpg")]
    many = [box(4, 0, index, 2, 3, 4.5) for index in range(30)]
    boxes = [
        box(1, 0, 1, 2, 3, 4),
        box(1, 7, 1.5, 2.0, 3.25, 4),
        box(2, 0, 1, 2, 3, 4),
        box(3, 0, 5, 6, 7, 8, iscrowd=1),
    ]
    path = save(
        document([*images, image(5, "none.jpg"), image(1, "twice.jpg")], [*boxes, *many, box(3, 0, "x", 2, 3, 4)])
    )
    short, long = reading.read_table("coco", path), reading.tabled(coco.read(path))
    # As text: NaN equals NaN there.
    assert repr(short) == repr(long)
    assert short["annotations"]["a.jpg"] == [
        *("a.jpg", 640, 480, ((1, 2, 4, 6), (1.5, 2, 4.75, 6)), ("cup", "leaf"), (False,) * 2, (False,) * 2, {})
    ]
    assert [type(edge) for edge in short["annotations"]["a.jpg"][3][1]] == [float, int, float, int]
    assert short["annotations"]["c.jpg"][7] == {"crowd": [True, False]}
    assert len(short["annotations"]["d.jpg"][5]) == 30
