"""Protocol buffers in text form, read without a schema."""

import math

import pytest
from google.protobuf import struct_pb2, text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from odtl.errors import InputError
from odtl.textproto import Field, Name, parse

CURE = "Write it anew."


def read(text: str) -> list:
    """Return the fields as (name, value), messages as lists of the same."""

    def simple(fields):
        return [
            (field.name, simple(field.value) if isinstance(field.value, tuple) else field.value) for field in fields
        ]

    return simple(parse(text, "a.config", CURE))


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", []),
        ("# only a comment\n", []),
        ("a: 1 # one\nb: -2", [("a", 1), ("b", -2)]),
        ("a: 0x10 b: 010 c: 1e-8 d: .0003 e: 1.5f f: -inf",
         [("a", 16), ("b", 8), ("c", 1e-8), ("d", 3e-4), ("e", 1.5), ("f", -math.inf)]),
        ("a { b: 1 } c: { d: 2 } e < f: 3 >", [("a", [("b", 1)]), ("c", [("d", 2)]), ("e", [("f", 3)])]),
        ("a {}", [("a", [])]),
        ("a: 'x' b: \"y\" c: 'it''s'", [("a", "x"), ("b", "y"), ("c", "its")]),
        (r"a: 'tab\t quote\' \303\244'", [("a", "tab\t quote' ä")]),
        ("a: 'one '\n   'two'", [("a", "one two")]),
        ("a: [1, 2.5] b: ['x'] c: [] d: [{e: 1}, <e: 2>]",
         [("a", 1), ("a", 2.5), ("b", "x"), ("d", [("e", 1)]), ("d", [("e", 2)])]),
        ("a: 1, b: 2; c { d: 3, }", [("a", 1), ("b", 2), ("c", [("d", 3)])]),
        ("[x.y.z] { a: 1 }", [("[x.y.z]", [("a", 1)])]),
        ("a: 1 a: 2", [("a", 1), ("a", 2)]),
    ],
)  # fmt: skip
def test_forms_of_values(text, fields):
    assert read(text) == fields


def test_bare_words_are_told_from_texts():
    word, text = (field.value for field in parse("a: RELU_6 b: 'RELU_6'", "x", CURE))
    assert isinstance(word, Name)
    assert not isinstance(text, Name)
    assert word == text == "RELU_6"


def test_lines_are_those_where_a_field_begins():
    fields = parse("# comment\na {\n  b: 1\n\n  c: [2,\n  3]\n}\nd:\n  4", "x", CURE)
    assert [(field.name, field.line) for field in fields] == [("a", 2), ("d", 8)]
    assert [(field.name, field.line) for field in fields[0].value] == [("b", 3), ("c", 5), ("c", 5)]


@pytest.mark.parametrize(
    ("text", "where", "found"),
    [
        ("a: 1\nb {\n c: 2\n", "line 4", "the end"),
        ("a: 1\n}", "line 2", "}"),
        ("a: 1\nb: 'x", "line 2", "'x"),
        ("a", "line 1", "the end"),
        ("a 3", "line 1", "3"),
        ("a: [1, 2", "line 1", "the end"),
        ("\n\n[a. {}", "line 3", "{"),
        ("a: - 1", "line 1", "-"),
        ("a:" + "{a:" * 200 + "1" + "}" * 200, "line 1", "more than 100 messages"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text, where, found):
    with pytest.raises(InputError) as caught:
        parse(text, "a.config", CURE)
    (problem,) = caught.value.problems
    assert (problem.file, problem.field) == ("a.config", where)
    assert found in problem.found.replace("More", "more")
    assert problem.cure.endswith(CURE)


def test_backslashes_of_a_path_are_explained():
    with pytest.raises(InputError, match=r"write paths with / or \\\\"):
        parse(r"a: 'C:\Users\me'", "a.config", CURE)


values = st.recursive(
    st.one_of(
        st.booleans(),
        st.floats(allow_nan=False),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(content=st.dictionaries(st.text("xyz'\"\\\n", max_size=3), values, max_size=4), flat=st.booleans())
def test_what_protobuf_writes_is_read_with_the_same_values(content, flat):
    message = struct_pb2.Struct()
    message.update(content)
    text = text_format.MessageToString(message, as_one_line=flat, as_utf8=flat)
    assert rebuilt(parse(text, "x", CURE)) == message


def rebuilt(fields: tuple[Field, ...]) -> struct_pb2.Struct:
    """Return the message that fields stand for, without protobuf's own parser."""
    struct = struct_pb2.Struct()
    for field in fields:
        entry = {each.name: each.value for each in field.value}
        set_value(struct.fields[entry.get("key", "")], entry.get("value", ()))
    return struct


def set_value(value: struct_pb2.Value, fields: tuple[Field, ...]) -> None:
    for field in fields:
        if field.name == "struct_value":
            value.struct_value.CopyFrom(rebuilt(field.value))
        elif field.name == "list_value":
            value.list_value.SetInParent()
            for each in field.value:
                set_value(value.list_value.values.add(), each.value)
        elif field.name == "bool_value":
            value.bool_value = field.value == "true"
        else:
            setattr(value, field.name, field.value)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(text=st.text(st.sampled_from("ab1.-+{}<>[]:,;'\"\\#\n x/"), max_size=40) | st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    try:
        parse(text, "x", CURE)
    except InputError as error:
        assert error.problems[0].field.startswith("line ")
