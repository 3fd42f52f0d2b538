"""YOLO's text files are read as written; a line that is no object refuses the file, with all such lines."""

import os

import pytest

from odtl.annotations import yolo, yolo_names
from odtl.annotations.model import Annotation
from odtl.errors import InputError


@pytest.fixture
def save(tmp_path):
    def _save(content: str | bytes, name: str = "a.txt") -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return _save


def refusal(read, path: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read(path)
    assert all(each.file == path and each.field and each.found and each.cure for each in caught.value.problems)
    return caught.value


def test_boxes_are_edges_in_shares_of_the_image(save):
    path = save("0 0.5 0.5 0.25 0.5\n\n 12\t0.125 0.25 0.25 0.5 \n")
    assert yolo.read(path) == Annotation(
        file=path,
        boxes=((0.375, 0.25, 0.625, 0.75), (0.0, 0.0, 0.25, 0.5)),
        labels=("0", "12"),
        difficult=(False, False),
        truncated=(False, False),
        normalised=True,
    )


@pytest.mark.parametrize("content", ["", "\n \r\n"])
def test_file_without_a_line_is_a_negative(save, content):
    path = save(content)
    assert yolo.read(path) == Annotation(file=path, normalised=True)


@pytest.mark.parametrize(
    ("line", "label", "box"),
    [
        ("3 0.5 0.5 0.25 0.5 0.93", "3", (0.375, 0.25, 0.625, 0.75)),
        ("1 0.1 0.5 0.3 0.25 0.2 0.75", "1", (0.1, 0.25, 0.3, 0.75)),
        ("1 0.1 0.5 0.3 0.25 0.2 0.75 0.9 0.5", "1", (0.1, 0.25, 0.9, 0.75)),
        ("2.0 5e-1 .5 +0.25 0.5", "2", (0.375, 0.25, 0.625, 0.75)),
        ("007 0.5 0.5 0.25 0.5", "7", (0.375, 0.25, 0.625, 0.75)),
        ("0 0.5 0.5 1.5 -0.5", "0", (-0.25, 0.75, 1.25, 0.25)),
    ],
)
def test_confidence_outline_and_numbers_as_tools_write_them(save, line, label, box):
    annotation = yolo.read(save(line))
    assert (annotation.labels, annotation.boxes) == ((label,), (box,))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_mark(save, end):
    path = save("\ufeff0 0.5 0.5 0.5 0.5" + end + "1 0.5 0.5 1 1" + end)
    assert yolo.read(path).boxes == ((0.25, 0.25, 0.75, 0.75), (0.0, 0.0, 1.0, 1.0))


def test_all_lines_that_are_no_objects_are_told(save):
    lines = {
        1: ("cup 0.5 0.5 0.1 0.1", "not all numbers"),
        2: ("0 0.5 0.5 0.1", "4 columns"),
        3: ("0 0.5 0.5 0.1 0.1 0.2 0.3 0.4", "8 columns"),
        4: ("-1 0.5 0.5 0.1 0.1", "no number from 0"),
        5: ("0.5 0.5 0.5 0.1 0.1", "no number from 0"),
        6: ("0 320 240 100 80", "pixels"),
        7: ("0 nan 0.5 0.1 0.1", "decimal"),
        8: ("0 1_0 0.5 0.1 0.1", "decimal"),
        9: ("0 1e999 0.5 0.1 0.1", "pixels"),
        10: ("0 0,5 0,5 0,1 0,1", "not all numbers"),
        11: ("0 0.5 0.5 0.1 0.1 0.5 300", "pixels"),
        12: ("0 ٣ 0.5 0.1 0.1", "not all numbers"),
        13: ("e 0.5 0.5 0.1 0.1", "not all numbers"),
        15: ("1e999 0.5 0.5 0.1 0.1", "no number from 0"),
    }
    content = [lines.get(number, ("0 0.5 0.5 0.1 0.1",))[0] for number in range(1, 17)]
    error = refusal(yolo.read, save("\n".join(content)))
    assert [problem.field for problem in error.problems] == [f"line {number}" for number in lines]
    for problem, (_, found) in zip(error.problems, lines.values(), strict=True):
        assert found in problem.found, problem


def test_not_more_than_twenty_lines_are_told(save):
    error = refusal(yolo.read, save("no\n" * 1000))
    assert len(error.problems) == 21
    assert error.problems[-1].found == "980 more of that kind"


def test_file_that_cannot_be_read_is_refused(save, tmp_path, monkeypatch):
    for path in (tmp_path / "none.txt", tmp_path, tmp_path / "nul\0.txt"):
        refusal(yolo.read, str(path))
    os.mkfifo(tmp_path / "pipe.txt")
    refusal(yolo.read, str(tmp_path / "pipe.txt"))
    monkeypatch.setattr(yolo, "MAX_BYTES", 10)
    assert "MB" in refusal(yolo.read, save("0 0.5 0.5 0.5 0.5")).problems[0].found


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("classes.txt", "cup\nred leaf \n\n", ["cup", "red leaf"]),
        ("obj.names", "\ufeffcup\r\n\r\nBlatt-größe", ["cup", "", "Blatt-größe"]),
        ("data.yaml", "names: ['cup', leaf]\nnc: 2\n", ["cup", "leaf"]),
        ("data.yaml", "names:\n  0: cup\n  2: leaf\n", ["cup", "", "leaf"]),
        ("data.yml", "names: [no, null, 1.0, 0x10]", ["no", "null", "1.0", "0x10"]),
    ],
)
def test_names_of_the_classes(save, name, content, names):
    assert yolo_names.read_names(save(content, name)) == names


def test_what_a_data_yaml_says_of_splits(save):
    content = "path: ../coco8\ntrain: images/train\nvalid: [a, b]\ntest: # nothing\nnames: {0: cup}\ntrain_all: x\n"
    data = yolo_names.read_data_yaml(save(content, "data.yaml"))
    assert data == yolo_names.DataYaml(
        ("cup",), {"train": ("../coco8/images/train",), "val": ("../coco8/a", "../coco8/b")}
    )
    roboflow = "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cup']\nroboflow:\n  version: 1\n"
    assert yolo_names.read_data_yaml(save(roboflow, "data.yaml")).splits == {
        "train": ("../train/images",),
        "val": ("../valid/images",),
    }


@pytest.mark.parametrize(
    ("content", "field", "found"),
    [
        ("", "file", "nothing"),
        ("- cup", "file", "a list"),
        ("nc: 2", "names", "nothing"),
        ("names: cup", "names", "text ('cup')"),
        ("names: []", "names", "no name"),
        ("names: [[cup]]", "names, 0", "a list"),
        ("names: {cup: 0}", "names", "'cup'"),
        ("names: {-1: cup}", "names", "'-1'"),
        ("names: {999999999999999: cup}", "names", "999999999999999"),
        ("names: [cup]\nnc: 2", "nc", "2, but 1 names"),
        ("names: [cup]\nkpt_shape: [17, 3]", "kpt_shape", "key points"),
        ("a: &a [x]\nb: *a\nnames: [x]", "YAML", "alias"),
        ("names: [cup", "YAML", ""),
        ("names: [cup]\n[1]: 2", "YAML", "key"),
        ("names: " + "[" * 100_000, "YAML", "levels"),
        ("{" * 100_000, "YAML", "levels"),
        ("? " * 100_000, "YAML", ""),
        (b"names: [\xff]", "file", "no UTF-8"),
        ("names: [\0]", "YAML", ""),
    ],
)
def test_data_yaml_that_cannot_be_used_is_refused(save, content, field, found):
    (problem,) = refusal(yolo_names.read_names, save(content, "data.yaml")).problems
    assert problem.field == field
    assert found in problem.found


def test_list_of_names_that_cannot_be_used_is_refused(save, monkeypatch):
    assert refusal(yolo_names.read_names, save("\n\n", "classes.txt")).problems[0].found == "no name"
    assert "no UTF-8" in refusal(yolo_names.read_names, save(b"\xff", "classes.txt")).problems[0].found
    refusal(yolo_names.read_names, save("a\n" * 100_001, "classes.txt"))
    monkeypatch.setattr(yolo_names, "MAX_BYTES", 3)
    refusal(yolo_names.read_names, save("cup\n", "classes.txt"))
