"""The tutorials' CSV is read as written; a bad row is reported and loses nothing else."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odtl.annotations import csv_table
from odtl.annotations.model import Annotation, Origin
from odtl.errors import InputError

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax"


@pytest.fixture
def save(tmp_path):
    def _save(*rows: str, header: str = HEADER) -> str:
        path = tmp_path / "labels.csv"
        path.write_bytes("\n".join([header, *rows, ""]).encode())
        return str(path)

    return _save


def test_rows_are_gathered_by_image_in_order(save):
    path = save(
        "a b.jpg,640,480,cup,1,2,30,40", "ü,1.jpg".join('""') + ",5,6,x,0,0,5,6", "a b.jpg,640,480,leaf,3,4,5.5,6"
    )
    table = csv_table.read(path)
    assert table.problems == ()
    assert list(table.annotations.values()) == [
        Annotation(
            path, "a b.jpg", 640, 480, ((1, 2, 30, 40), (3, 4, 5.5, 6)), ("cup", "leaf"), (False, False), (False, False)
        ),
        Annotation(path, "ü,1.jpg", 5, 6, ((0, 0, 5, 6),), ("x",), (False,), (False,)),
    ]


def test_flags_and_further_columns_in_any_order(save):
    header = "id,ymax,xmax,ymin,xmin,class,height,width,filename,truncated,difficult"
    (annotation,) = csv_table.read(save("7,4,3,2,1,cup,9,8,a.jpg,1,0", header=header)).annotations.values()
    assert annotation.boxes == ((1, 2, 3, 4),)
    assert (annotation.width, annotation.height) == (8, 9)
    assert (annotation.truncated, annotation.difficult) == ((True,), (False,))
    assert annotation.crowd == ()


def test_crowds(save):
    rows = ["a.jpg,9,8,cup,1,2,3,4,0", "a.jpg,9,8,cup,2,3,4,5,1"]
    (annotation,) = csv_table.read(save(*rows, header=f"{HEADER},crowd")).annotations.values()
    assert annotation.crowd == (False, True)


def test_byte_order_mark_of_a_spreadsheet_program(save):
    assert list(csv_table.read(save("a.jpg,9,8,cup,1,2,3,4", header="\ufeff" + HEADER)).annotations) == ["a.jpg"]


def test_row_with_nothing_but_a_name_is_a_negative(save):
    table = csv_table.read(save("a.jpg,640,480,,,,,", "b.jpg,,,,,,,"))
    assert table.problems == ()
    assert [(entry.width, entry.boxes) for entry in table.annotations.values()] == [(640, ()), (None, ())]


def test_split_and_origin_of_an_image(save):
    table = csv_table.read(
        save(
            "a.jpg,640,480,cup,1,2,3,4,Training,https://example.org/a.jpg,CC0, the finder ",
            ",640,480,cup,5,6,7,8,,https://example.org/b.jpg?x=1,,",
            "c.jpg,640,480,,,,,, validation,,CC0,",
            header=HEADER + ",split,url,licence,source",
        )
    )
    assert table.problems == ()
    assert [(entry.filename, entry.split, entry.origin) for entry in table.annotations.values()] == [
        ("a.jpg", "train", Origin("https://example.org/a.jpg", "CC0", "the finder")),
        (None, None, Origin("https://example.org/b.jpg?x=1")),
        ("c.jpg", "val", None),
    ]
    assert list(table.annotations) == ["a.jpg", "https://example.org/b.jpg?x=1", "c.jpg"]


def test_contradictions_in_split_and_origin_are_reported_once_each(save):
    table = csv_table.read(
        save(
            "a.jpg,640,480,cup,1,2,3,4,train,http://x/a.jpg",
            "a.jpg,640,480,cup,1,2,3,4,test,http://x/b.jpg",
            "a.jpg,640,480,cup,1,2,3,4,test,http://x/a.jpg",
            "b.jpg,640,480,cup,1,2,3,4,holdout,",
            "b.jpg,640,480,cup,1,2,3,4,holdout,",
            "c.jpg,640,480,cup,1,2,3,4,val,",
            "c.jpg,640,480,cup,1,2,3,4,Validation,",
            header=HEADER + ",split,url",
        )
    )
    assert [(each.filename, each.reason, each.problem.field, each.problem.found) for each in table.problems] == [
        ("a.jpg", "annotation_ambiguous", "row 3, split", "'test', but 'train' in row 2"),
        ("a.jpg", "annotation_ambiguous", "row 3, url", "'http://x/b.jpg', but 'http://x/a.jpg' in row 2"),
        ("b.jpg", "annotation_ambiguous", "row 5, split", "'holdout'"),
    ]
    assert len(table.annotations["c.jpg"].boxes) == 2


def test_coordinates_that_are_no_numbers_are_left_to_be_judged(save):
    table = csv_table.read(save("a.jpg,640,480,cup,left,2,3,4", "b.jpg,640,480,cup,1,2", "c.jpg,1,1,,1,2,3,4"))
    boxes = [entry.boxes[0] for entry in table.annotations.values()]
    assert [[math.isnan(edge) for edge in box] for box in boxes] == [
        [True, False, False, False],
        [False, False, True, True],
        [False] * 4,
    ]
    assert table.annotations["c.jpg"].labels == ("",)


def test_all_bad_rows_are_reported_and_the_others_kept(save):
    path = save(
        "a,b.jpg,640,480,cup,1,2,3,4",
        "good.jpg,640,480,cup,1,2,3,4",
        ",640,480,cup,1,2,3,4",
        "good.jpg,64,48,cup,5,6,7,8",
    )
    table = csv_table.read(path)
    assert [(entry.filename, entry.reason, entry.problem.field) for entry in table.problems] == [
        ("", "row_unreadable", "row 2"),
        ("", "row_unreadable", "row 4"),
        ("good.jpg", "annotation_ambiguous", "row 5, width and height"),
    ]
    assert table.annotations["good.jpg"].boxes == ((1, 2, 3, 4), (5, 6, 7, 8))


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "header"),
        (b"a.jpg,640,480,cup,1,2,3,4\n", "header"),
        (b"filename;width;height;class;xmin;ymin;xmax;ymax\n", "header"),
        (HEADER.encode() + b",width\n", "header"),
        (HEADER.encode() + b"\n\xff\xfe.jpg,1,1,a,1,1,1,1\n", "row"),
        (HEADER.encode() + b'\n"a.jpg,1,1,a,1,1,1,1\n', "row"),
        (HEADER.encode() + b"\n" + b"a" * 200_000 + b",1,1,a,1,1,1,1\n", "row"),
    ],
)
def test_table_that_cannot_be_read_is_refused(tmp_path, content, field):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        csv_table.read(path)
    assert field in caught.value.problems[0].field


def test_missing_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        csv_table.read(tmp_path / "none.csv")


@settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(HEADER.encode() + b"\n" + content)
    try:
        table = csv_table.read(path)
    except InputError:
        return
    assert all(len(entry.boxes) == len(entry.labels) == len(entry.difficult) for entry in table.annotations.values())
