"""JSON is read from whatever is given for it, or refused with the place; its values may be of any type."""

import math
import os

import pytest

from odtl.annotations import json_file
from odtl.errors import InputError


def refusal(data: bytes) -> tuple[str, str]:
    with pytest.raises(InputError) as caught:
        json_file.parse("a.json", data)
    (problem,) = caught.value.problems
    assert problem.file == "a.json"
    return problem.field, problem.found


def test_document_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, "\xc3\xbc", null, true]}')
    assert json_file.read_json(path) == {"a": [1, 2.5, "ü", None, True]}


def test_numbers_that_json_has_not():
    values = json_file.parse("a.json", b'[NaN, Infinity, -Infinity, "NaN", 1e400]')
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, "NaN", math.inf]


@pytest.mark.parametrize(
    ("data", "field", "found"),
    [
        (b'{"a": 1,\n "b": oops}', "line 2, column 7", "unexpected character"),
        (b'[NaN,\n\n nope]', "line 3, column 2", "Expecting value"),
        (b'["\xff"]', "line 1, column 1", "not valid UTF-8"),
        (b"[" * 100_000, "line 1, column 1026", "depth limit exceeded"),
        (b"[NaN," + b"[" * 100_000, "line 1", "recursion"),
        (b'[NaN, "\\ud800"]', "line 1", "surrogate"),
        (b'["\\ud800"]', "line 1, column 3", "surrogate"),
        (b"[NaN, " + b"9" * 5000 + b"]", "line 1", "integer string conversion"),
        (b"[NaN, -" + b"9" * 400 + b"]", "line 1", "too large for a float"),
        (b"\xff\xfe[\x00]\x00", "line 1, column 1", "UTF-8"),
    ],
)  # fmt: skip
def test_malformed_document_is_refused_with_its_place(data, field, found):
    at, what = refusal(data)
    assert at == field
    assert "malformed JSON" in what
    assert found in what


def test_slow_way_is_not_taken_for_much(monkeypatch):
    monkeypatch.setattr(json_file, "MAX_SLOW_BYTES", 8)
    assert math.isnan(json_file.parse("a.json", b"[1, NaN]")[1])
    assert refusal(b"[12, NaN]")[0] == "line 1, column 6"


def test_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "empty.json").write_bytes(b" \n")
    (tmp_path / "large.json").write_bytes(b"[" + b" " * 2**20 + b"]")
    os.mkfifo(tmp_path / "pipe.json")
    for name, limit, found in (
        ("empty.json", 100, "an empty file"),
        ("large.json", 2**20, "1,048,578 bytes, over the limit of 1 MB"),
        ("pipe.json", 100, "no such file, or not a regular file"),
        ("missing.json", 100, "no such file, or not a regular file"),
        ("a\0.json", 100, "no such file, or not a regular file"),
    ):
        with pytest.raises(InputError, match=found):
            json_file.read_json(tmp_path / name, limit)


def test_lines_of_their_own():
    lines = list(json_file.parse_lines("a.json", b'{"a": 1}\r\n\n[NaN]\n{"b"\n"last"'))
    assert [line for line, _ in lines] == [1, 3, 4, 5]
    assert lines[0][1] == {"a": 1}
    assert math.isnan(lines[1][1][0])
    assert lines[2][1].problems[0].field == "line 4, column 5"
    assert lines[3][1] == "last"


def test_values_of_any_type():
    assert [json_file.number(value) for value in (1, 2.5, "3e1", " 4 ")] == [1, 2.5, 30, 4]
    for value in (None, True, [], {}, "x", "", "nan", 10**400):
        assert math.isnan(json_file.number(value))
    assert [json_file.whole_number(value) for value in (640, 640.0, "640", "640.0")] == [640] * 4
    for value in (0, -1, 1.5, 2**31, 10**400, True, None, "x", math.nan, math.inf):
        assert json_file.whole_number(value) is None
    assert [json_file.text(value) for value in (" a ", 7, 1.5, None, True, [], {})] == ["a", "7", "1.5", "", "", "", ""]
    assert [json_file.flag(value) for value in (1, True, "1", "true", 2.0)] == [True] * 5
    assert [json_file.flag(value) for value in (0, False, None, "0", "no", [], {"a": 1}, math.nan)] == [False] * 8
    assert json_file.mapping([1]) == {}
    assert json_file.sequence({"a": 1}) == []
    assert json_file.in_brief([1, 2]) == "a list of 2"
    assert json_file.in_brief("x" * 100) == repr("x" * 60 + "...")
