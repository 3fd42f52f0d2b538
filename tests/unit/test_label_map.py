import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odtl import label_map
from odtl.errors import InputError

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("item { id: 1 name: 'a' }", {"a": 1}),
        ('item {\n  name: "b"\n  id: 2\n}\n# comment\nitem { id: 1, name: "a"; }', {"a": 1, "b": 2}),
        ("item: { id: 1 name: 'a' }", {"a": 1}),
        ("item < id: 1 name: 'a' >", {"a": 1}),
        ("item { id: 1 name: '/m/01g317' display_name: 'person' }", {"/m/01g317": 1}),
        ("item { id: 1 display_name: 'person' }", {"person": 1}),
        ("item { id: 1 name: 'a' keypoints { id: 7 label: '}' } }", {"a": 1}),
        ("item { id: 1 name: 'it\\'s' }", {"it's": 1}),
        ("item { id: 1 name: 'caf\\303\\251' }", {"café": 1}),
        ("item { id: 1 name: 'two ' 'parts' }  # item { id: 2 name: 'x' }", {"two parts": 1}),
        ("item { id: 7 name: 'gap' }", {"gap": 7}),
    ],
)
def test_parse(text, expected):
    assert label_map.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("item {\n id: 1\n name: 'a'\n}\nitem { id: 1 name: 'b' }", ["m.pbtxt: line 5: found id 1 again (line 1)"]),
        ("item { id: 1 name: 'a' }\nitem { id: 2 name: 'a' }", ["m.pbtxt: line 2: found name 'a' again (line 1)"]),
        ("item { id: 0 name: 'a' }\nitem { id: -3 name: 'b' }", ["line 1: found id 0", "line 2: found id -3"]),
        ("item { name: 'a' }", ["line 1: found an item without id"]),
        ("item { id: 1 }", ["line 1: found an item without name"]),
        ("item { id: 1 name: 'a'", ["line 1"]),
        ("item { id: 1\n name: a }", ["line 2"]),
        ("\nitem { id: x name: 'a' }", ["line 2"]),
        ("item { id: 1 name: '\\377' }", ["m.pbtxt"]),
        ("hello", ["m.pbtxt"]),
    ],
)
def test_parse_tells_file_and_line(text, expected):
    with pytest.raises(InputError) as error:
        label_map.parse(text, "m.pbtxt")
    assert all(part in str(error.value) for part in expected)


@given(st.dictionaries(NAMES, st.integers(1, 10**6), max_size=8).filter(lambda m: len(set(m.values())) == len(m)))
def test_parse_undoes_format(mapping):
    assert label_map.parse(label_map.format(mapping)) == mapping


def test_format_is_the_form_of_the_object_detection_api():
    assert label_map.format({"b": 2, "it's": 1}) == (
        "item {\n  id: 1\n  name: 'it\\'s'\n}\n\nitem {\n  id: 2\n  name: 'b'\n}\n"
    )


@given(st.lists(st.sets(NAMES)))
def test_extend_never_changes_an_id(batches):
    mapping = {}
    for batch in batches:
        longer = label_map.extend(mapping, batch)
        assert mapping.items() <= longer.items()
        assert sorted(longer.values()) == list(range(1, len(longer) + 1))
        assert set(longer) == set(mapping) | batch
        mapping = longer


def test_extend_appends_in_sorted_order_after_the_highest_id():
    assert label_map.extend({"z": 4, "b": 1}, ["c", "a", "z"]) == {"z": 4, "b": 1, "a": 5, "c": 6}


def test_configured_keeps_the_order_of_the_list():
    assert label_map.configured(["z", "a"]) == {"z": 1, "a": 2}
    with pytest.raises(InputError, match=r"'a' more than once"):
        label_map.configured(["a", "b", "a"])


def test_write_label_map_extends_what_stands_there(tmp_path):
    classes, out = tmp_path / "classes.txt", tmp_path / "label_map.pbtxt"
    classes.write_text("b\nc\n")
    assert label_map.write_label_map(classes, out, None) == {"b": 1, "c": 2}
    classes.write_text("a\nb\n")
    assert label_map.write_label_map(classes, out, None) == {"b": 1, "c": 2, "a": 3}
    assert label_map.read_label_map(out) == {"b": 1, "c": 2, "a": 3}


def test_map_that_others_put_there_or_altered_is_told(tmp_path):
    classes, out, ids = tmp_path / "classes.txt", tmp_path / "label_map.pbtxt", tmp_path / "label_map.json"
    classes.write_text("b\nc\n")
    label_map.write_label_map(classes, out, None)
    assert label_map.altered(out, ids)
    label_map.write_label_map(classes, out, None, None, ids)
    assert not label_map.altered(out, ids)
    text = out.read_text()
    out.write_text(f"# mine\n{text}")
    assert not label_map.altered(out, ids)
    out.write_text("item { id: 1 name: 'b' }")
    assert label_map.altered(out, ids)
    out.unlink()
    assert label_map.altered(out, ids)
    out.write_text(text)
    ids.write_text("{")
    assert label_map.altered(out, ids)


def test_write_label_map_takes_the_configured_list_as_it_is(tmp_path):
    classes, out = tmp_path / "classes.txt", tmp_path / "label_map.pbtxt"
    classes.write_text("b\n")
    out.write_text("item { id: 1 name: 'old' }")
    assert label_map.write_label_map(classes, out, ["z", "b"]) == {"z": 1, "b": 2}


def test_no_class_at_all_is_an_error_where_something_is_to_be_learnt(tmp_path):
    classes, out = tmp_path / "classes.txt", tmp_path / "label_map.pbtxt"
    classes.write_text("\n")
    assert label_map.write_label_map(classes, out, None) == {}
    assert label_map.read_label_map(out) == {}
    with pytest.raises(InputError, match=r"found no labelled object in any image that can be used\."):
        label_map.highest_id(out)
    classes.write_text("b\na\n")
    label_map.write_label_map(classes, out, None)
    assert label_map.highest_id(out) == 2


# The inventory gives names on one line, each run of white space one blank.
@settings(deadline=None, max_examples=25)
@given(st.lists(st.sets(NAMES.map(lambda name: " ".join(name.split())).filter(bool))))
def test_predict_is_what_write_label_map_will_write(tmp_path_factory, batches):
    folder = tmp_path_factory.mktemp("label_map")
    classes, out = folder / "classes.txt", folder / "label_map.pbtxt"
    for batch in filter(None, batches):
        classes.write_text("".join(f"{name}\n" for name in sorted(batch)), encoding="utf-8", newline="")
        before = out.read_bytes() if out.exists() else None
        predicted = label_map.predict(out, label_map.read_classes(classes), None)
        assert (out.read_bytes() if out.exists() else None) == before
        assert label_map.write_label_map(classes, out, None, predicted) == predicted
        assert list(label_map.predict(out, batch, None).items()) == list(predicted.items())


def test_another_map_than_predicted_is_not_written(tmp_path):
    classes, out = tmp_path / "classes.txt", tmp_path / "label_map.pbtxt"
    classes.write_text("b\nc\n")
    with pytest.raises(InputError, match="changed while the workflow ran"):
        label_map.write_label_map(classes, out, None, {"b": 1})
    assert not out.exists()


def test_file_that_is_not_utf_8_is_refused_with_the_byte(tmp_path):
    path = tmp_path / "label_map.pbtxt"
    path.write_bytes(b"item { id: 1 name: 'caf\xe9' }")
    with pytest.raises(InputError, match=r"label_map\.pbtxt: encoding: found byte 0xe9 at 23\. Save it in"):
        label_map.read_label_map(path)


def test_byte_order_mark_and_carriage_returns_do_not_count(tmp_path):
    path = tmp_path / "label_map.pbtxt"
    path.write_bytes(b"\xef\xbb\xbfitem {\r\n  id: 1\r\n  name: 'cup'\r\n}\r\n")
    assert label_map.read_label_map(path) == {"cup": 1}
