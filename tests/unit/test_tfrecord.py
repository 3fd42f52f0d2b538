"""Existing records are read as written; what is damaged is told, and loses nothing that stands before it."""

import hashlib
import math
import struct
from pathlib import Path

import pytest

from odtl.annotations import tfrecord
from odtl.annotations.model import Annotation, Origin
from odtl.bundle import masked_crc
from odtl.errors import InputError
from odtl.tf_example import frame, serialize

BOXES = {
    "image/object/bbox/xmin": [0.25, 0.0],
    "image/object/bbox/ymin": [0.125, 0.5],
    "image/object/bbox/xmax": [0.5, 1.0],
    "image/object/bbox/ymax": [0.75, 1.0],
}


def example(name: str = "a.jpg", **features) -> dict:
    return {
        "image/filename": [name.encode()],
        "image/encoded": [f"picture {name}".encode()],
        "image/width": [640],
        "image/height": [480],
        **BOXES,
        "image/object/class/text": [b"cup", b"leaf"],
        **{f"image/{key.replace('__', '/')}": value for key, value in features.items()},
    }


@pytest.fixture
def save(tmp_path):
    def _save(*examples: dict | bytes) -> str:
        path = tmp_path / "train.record"
        path.write_bytes(b"".join(each if isinstance(each, bytes) else frame(serialize(each)) for each in examples))
        return str(path)

    return _save


def test_fields_of_the_api(save):
    one = example(
        object__class__label=[1, 2], object__difficult=[0, 1], object__truncated=[1, 0], object__is_crowd=[0, 1]
    )
    empty = {"image/filename": [b"b.jpg"], "image/encoded": [b"B"], "image/object/bbox/xmin": []}
    path = save(one, empty)
    table = tfrecord.read(path)
    assert table.problems == ()
    assert list(table.annotations.items()) == [
        (
            "a.jpg",
            Annotation(
                file=path,
                filename="a.jpg",
                width=640,
                height=480,
                boxes=((0.25, 0.125, 0.5, 0.75), (0.0, 0.5, 1.0, 1.0)),
                labels=("cup", "leaf"),
                difficult=(False, True),
                truncated=(True, False),
                crowd=(False, True),
                normalised=True,
                origin=Origin(f"tfrecord:{path}#1", "", path, hashlib.sha256(b"picture a.jpg").hexdigest()),
            ),
        ),
        (
            "b.jpg",
            Annotation(
                file=path,
                filename="b.jpg",
                normalised=True,
                origin=Origin(f"tfrecord:{path}#2", "", path, hashlib.sha256(b"B").hexdigest()),
            ),
        ),
    ]
    assert tfrecord.read_image(table.annotations["a.jpg"].origin.url) == b"picture a.jpg"
    assert tfrecord.read_image(table.annotations["b.jpg"].origin.url) == b"B"


def test_open_images_group_counts_as_crowd(save):
    table = tfrecord.read(save(example(object__group_of=[1, 0])))
    assert table.annotations["a.jpg"].crowd == (True, False)


def test_labels_without_text(save, tmp_path):
    numbered = example(object__class__text=[], object__class__label=[2, 9])
    mixed = example("b.jpg", object__class__text=[b"cup", b""], object__class__label=[7, 2])
    bare = example("c.jpg", object__class__text=[])
    path = save(numbered, mixed, bare)
    labels = [entry.labels for entry in tfrecord.read(path).annotations.values()]
    assert labels == [("2", "9"), ("cup", "2"), ("", "")]
    (tmp_path / "label_map.pbtxt").write_text("item { id: 2 name: 'plate' }", encoding="utf-8")
    labels = [entry.labels for entry in tfrecord.read(path).annotations.values()]
    assert labels == [("plate", "9"), ("cup", "plate"), ("", "")]
    assert tfrecord.label_map_of(path) == tmp_path / "label_map.pbtxt"
    (tmp_path / "label_map.pbtxt").write_text("item {", encoding="utf-8")
    with pytest.raises(InputError, match="The label map cannot be read"):
        tfrecord.read(path)


def test_names_that_are_missing_or_taken(save):
    nameless = example(filename=[], source_id=[b"7"])
    bare = example(filename=[])
    path = save(example(), example(encoded=[b"another"]), nameless, bare)
    names = list(tfrecord.read(path).annotations)
    assert names[0] == "a.jpg" and names[2] == "7"
    assert names[1].startswith(f"tfrecord:{path}#") and names[3].startswith(f"tfrecord:{path}#")
    assert tfrecord.read_image(names[1]) == b"another"


def test_record_without_an_image_belongs_to_a_file(save):
    table = tfrecord.read(save(example(encoded=[])))
    assert table.annotations["a.jpg"].origin is None


def test_fields_of_other_types_and_lengths(save):
    table = tfrecord.read(
        save(
            example("a.jpg", object__bbox__xmin=[0.5]),
            example("b.jpg", object__class__text=[b"cup"], object__difficult=[1, 0, 1]),
            example("c.jpg", object__bbox__ymax=[b"x", b"y"], width=[-1], height=[0.5], object__difficult=[b"", b""]),
            example("d.jpg", object__bbox__ymax=[1, 0]),
        )
    )
    assert [(each.filename, each.reason, each.problem.field, each.problem.found) for each in table.problems] == [
        ("a.jpg", "annotation_unreadable", "record 1, image/object/bbox/ymin", "2 values for 1 boxes"),
        ("a.jpg", "annotation_unreadable", "record 1, image/object/bbox/xmax", "2 values for 1 boxes"),
        ("a.jpg", "annotation_unreadable", "record 1, image/object/bbox/ymax", "2 values for 1 boxes"),
        ("a.jpg", "annotation_unreadable", "record 1, image/object/class/text", "2 values for 1 boxes"),
        ("b.jpg", "annotation_unreadable", "record 2, image/object/class/text", "1 values for 2 boxes"),
        ("b.jpg", "annotation_unreadable", "record 2, image/object/difficult", "3 values for 2 boxes"),
    ]
    entry = table.annotations["c.jpg"]
    assert (entry.width, entry.height, entry.difficult) == (None, None, (False, False))
    assert [math.isnan(edge) for edge in entry.boxes[0]] == [False, False, False, True]
    assert table.annotations["d.jpg"].boxes[0] == (0.25, 0.125, 0.5, 1.0)


def test_wrong_checksum_loses_its_own_record_only(save):
    whole = frame(serialize(example("b.jpg")))
    damaged = whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]
    message = b"\xff" * 9
    table = tfrecord.read(save(example("a.jpg"), damaged, frame(message), frame(b""), example("d.jpg")))
    assert [(each.filename, each.reason, each.problem.field) for each in table.problems] == [
        ("", "row_unreadable", "record 2"),
        ("", "row_unreadable", "record 3"),
    ]
    assert table.problems[0].problem.found == "a wrong checksum"
    assert "no tf.train.Example" in table.problems[1].problem.found
    # Nothing at all is a message, too: an image that nothing is known of.
    assert [name[:9] for name in table.annotations] == ["a.jpg", "tfrecord:", "d.jpg"]


@pytest.mark.parametrize("kept", [1, 11, 12, 40])
def test_end_within_a_record_keeps_what_is_before_it(save, kept):
    rest = frame(serialize(example("b.jpg")))
    table = tfrecord.read(save(example("a.jpg"), rest[:kept]))
    (problem,) = table.problems
    assert (problem.filename, problem.reason, problem.problem.field) == ("", "row_unreadable", "record 2")
    assert problem.problem.found == f"a file that ends within it; {kept} bytes from there on cannot be read"
    assert list(table.annotations) == ["a.jpg"]


def test_damaged_length_ends_the_reading(save):
    rest = frame(serialize(example("b.jpg")))
    table = tfrecord.read(save(example("a.jpg"), b"\x01" + rest[1:], example("c.jpg")))
    assert "a damaged length" in table.problems[0].problem.found
    assert list(table.annotations) == ["a.jpg"]


def test_length_that_is_not_there_takes_no_memory(save):
    length = struct.pack("<Q", 2**62)
    table = tfrecord.read(save(example("a.jpg"), length + struct.pack("<I", masked_crc(length))))
    assert "ends within it" in table.problems[0].problem.found


def test_record_that_is_too_large_is_passed_over(save, monkeypatch):
    small = {"image/filename": [b"c.jpg"]}
    monkeypatch.setattr(tfrecord, "MAX_RECORD_BYTES", len(serialize(small)))
    table = tfrecord.read(save(small, example("b.jpg"), {"image/filename": [b"d.jpg"]}))
    assert list(table.annotations) == ["c.jpg", "d.jpg"]
    assert "bytes" in table.problems[0].problem.found


@pytest.mark.parametrize(
    ("content", "found"), [(b"no record at all", "no record"), (b"\x1f\x8b\x08" + b"0" * 20, "gzip")]
)
def test_file_that_is_none_is_refused(save, content, found):
    with pytest.raises(InputError) as caught:
        tfrecord.read(save(content))
    assert found in caught.value.problems[0].found


def test_empty_file_holds_nothing_and_a_missing_one_is_refused(save, tmp_path):
    assert len(tfrecord.read(save()).annotations) == 0
    for path in (tmp_path / "none.record", tmp_path):
        with pytest.raises(InputError):
            tfrecord.read(path)


def test_image_is_read_from_its_very_record_only(save):
    path = save(example("a.jpg"), example("b.jpg", encoded=[]))
    whole = Path(path).read_bytes()
    assert tfrecord.read_image(f"tfrecord:{path}#1") == b"picture a.jpg"
    for url in (
        f"tfrecord:{path}#0",
        # The second record has no image, and there is no third.
        f"tfrecord:{path}#2",
        f"tfrecord:{path}#3",
        f"tfrecord:{path}#-1",
        f"tfrecord:{path}#1+2",
        f"tfrecord:{path}.none#1",
        f"tfrecord:{path}",
        f"http://example.org/{path}#1",
        f"tfrecord:{path}#{'9' * 18}",
        f"tfrecord:{path}#{'9' * 30}",
    ):
        with pytest.raises(InputError):
            tfrecord.read_image(url)
    Path(path).write_bytes(whole[:50] + bytes([whole[50] ^ 4]) + whole[51:])
    with pytest.raises(InputError, match="checksum"):
        tfrecord.read_image(f"tfrecord:{path}#1")
    # Written anew, with longer records before it.
    Path(path).write_bytes(frame(serialize(example("long" * 100))) + whole)
    assert tfrecord.read_image(f"tfrecord:{path}#2") == b"picture a.jpg"
    # Cut off within the second one, or with a damaged length there: the first one is as it was.
    first = len(frame(serialize(example("a.jpg"))))
    for rest in (whole[first:-5], b"\xff" * 40):
        Path(path).write_bytes(whole[:first] + rest)
        assert tfrecord.read_image(f"tfrecord:{path}#1") == b"picture a.jpg"
        with pytest.raises(InputError, match=r"record 2: found 1 record\(s\)"):
            tfrecord.read_image(f"tfrecord:{path}#2")
