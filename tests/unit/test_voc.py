"""VOC XML is read as written, and nothing that is given for one can do harm."""

import math
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odtl.annotations import voc
from odtl.annotations.model import Annotation
from odtl.errors import InputError

LABELIMG = """<annotation verified="yes">
	<folder>images</folder>
	<filename>cup 1.jpg</filename>
	<path>C:\\Users\\me\\images\\cup 1.jpg</path>
	<source><database>Unknown</database></source>
	<size><width>640</width><height>480</height><depth>3</depth></size>
	<segmented>0</segmented>
	<object>
		<name> cup </name><pose>Unspecified</pose><truncated>1</truncated><difficult>0</difficult>
		<bndbox><xmin>81</xmin><ymin>88</ymin><xmax>522</xmax><ymax>408</ymax></bndbox>
	</object>
	<object>
		<name>Blatt-größe</name><truncated>0</truncated><difficult>1</difficult>
		<bndbox><ymax>30.25</ymax><xmax>20</xmax><ymin>-4</ymin><xmin>1e1</xmin></bndbox>
		<part><name>stem</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
	</object>
</annotation>
"""


@pytest.fixture
def save(tmp_path):
    def _save(content: str | bytes, name: str = "a.xml") -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return _save


def refusal(path: str) -> InputError:
    with pytest.raises(InputError) as caught:
        voc.read(path)
    assert all(
        problem.file == path and problem.field and problem.found and problem.cure for problem in caught.value.problems
    )
    return caught.value


def test_labelimg_file(save):
    path = save(LABELIMG)
    assert voc.read(path) == Annotation(
        file=path,
        filename="cup 1.jpg",
        width=640,
        height=480,
        boxes=((81.0, 88.0, 522.0, 408.0), (10.0, -4.0, 20.0, 30.25)),
        labels=("cup", "Blatt-größe"),
        difficult=(False, True),
        truncated=(True, False),
    )


def test_meaning_survives_another_layout_and_encoding(save):
    spread = save(LABELIMG.replace("><", ">\n\n<").replace("\t", "  "), "a.xml")
    bare = save(LABELIMG.replace(' verified="yes"', "").replace("\t", "").replace("\n", ""), "b.xml")
    utf16 = save(('<?xml version="1.0" encoding="UTF-16"?>' + LABELIMG).encode("utf-16"), "c.xml")
    latin = save(('<?xml version="1.0" encoding="ISO-8859-1"?>' + LABELIMG).encode("latin-1"), "d.xml")
    commented = save(LABELIMG.replace("<xmin>81", "<!-- left --><?edited?><xmin>81"), "e.xml")
    one, *others = [voc.read(path) for path in (spread, bare, utf16, latin, commented)]
    for other in others:
        assert (one.boxes, one.labels, one.width, one.height) == (other.boxes, other.labels, other.width, other.height)


def test_no_object_is_an_annotation(save):
    path = save("<annotation><filename>a.jpg</filename></annotation>")
    assert voc.read(path) == Annotation(file=path, filename="a.jpg")


@pytest.mark.parametrize("value", ["", "left", "nan", "inf", "1_000", "12,5", "0x10", "1" * 500, "٣"])
def test_coordinate_that_is_no_number_is_nan(save, value):
    content = LABELIMG.replace("<xmin>81</xmin>", f"<xmin>{value}</xmin>")
    first, second = voc.read(save(content)).boxes
    assert math.isnan(first[0]) and first[1:] == (88.0, 522.0, 408.0)
    assert second == (10.0, -4.0, 20.0, 30.25)


def test_first_of_two_counts(save):
    doubled = LABELIMG.replace("<xmin>81</xmin>", "<xmin>81</xmin><xmin>7</xmin>")
    path = save(doubled.replace("<path>", "<filename>b.jpg</filename><path>"))
    assert (voc.read(path).boxes[0][0], voc.read(path).filename) == (81, "cup 1.jpg")


def test_missing_pieces(save):
    path = save("<annotation><object/><object><bndbox><xmin>1</xmin></bndbox></object></annotation>")
    annotation = voc.read(path)
    assert annotation.labels == ("", "") and annotation.difficult == (False, False)
    assert [[math.isnan(edge) for edge in box] for box in annotation.boxes] == [[True] * 4, [False, True, True, True]]
    assert (annotation.filename, annotation.width, annotation.height) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("640", 640),
        (" 640.0 ", 640),
        ("0", None),
        ("-3", None),
        ("1.5", None),
        ("", None),
        ("9" * 5000, None),
        ("1e999", None),
    ],
)
def test_size_is_a_positive_whole_number_or_none(save, text, value):
    assert voc.read(save(LABELIMG.replace("<width>640", f"<width>{text}"))).width == value


@pytest.mark.parametrize(
    ("content", "field", "found"),
    [
        ("", "file", "empty"),
        (" \n ", "file", "empty"),
        ("<annotation><object></annotation>", "line 1", "mismatch"),
        ("not xml at all", "line 1", "Start tag expected"),
        ("<html><body/></html>", "root element", "<html>"),
        (LABELIMG.encode("latin-1"), "line 13", "invalid bytes"),
        (
            '<?xml version="1.0" encoding="klingon"?><annotation/>',
            "line 1",
            "an encoding whose name is unknown: klingon",
        ),
        ("<annotation>&unknown;</annotation>", "line 1", "unknown"),
        (b"\xff\xd8\xff\xe0JFIF", "line 1", ""),
        ("<a>" * 5000, "line 1", "depth"),
        ("<annotation/><annotation/>", "line 1", "Extra content"),
    ],
)
def test_file_that_is_no_annotation_is_refused(save, content, field, found):
    error = refusal(save(content))
    assert not isinstance(error, voc.UnsafeAnnotationError)
    assert field in error.problems[0].field
    assert found.lower() in error.problems[0].found.lower()


def test_unknown_name_of_an_encoding_has_a_cure_of_its_own(save):
    (problem,) = refusal(save('<?xml version="1.0" encoding="latin-1"?><annotation/>')).problems
    assert problem.found == "an encoding whose name is unknown: latin-1"
    assert "ISO-8859-1" in problem.cure and "Well-formed" not in problem.cure


def test_file_that_cannot_be_opened_is_refused(tmp_path):
    refusal(str(tmp_path / "none.xml"))
    refusal(str(tmp_path))
    refusal(str(tmp_path / "nul\0.xml"))


def test_oversized_file_is_refused(save, monkeypatch):
    monkeypatch.setattr(voc, "MAX_BYTES", 500)
    assert "MB" in refusal(save(LABELIMG)).problems[0].found


LAUGHS = (
    "<!DOCTYPE l [<!ENTITY a '"
    + "ha" * 500
    + "'>"
    + "".join(
        f"<!ENTITY {chr(98 + i)} '{'&' + chr(97 + i) + ';' * 1}{('&' + chr(97 + i) + ';') * 9}'>" for i in range(12)
    )
)


@pytest.mark.parametrize(
    "content",
    [
        "<!DOCTYPE annotation><annotation/>",
        '<!DOCTYPE annotation SYSTEM "http://127.0.0.1:9/x.dtd"><annotation/>',
        '<!DOCTYPE a [<!ENTITY x "y">]><annotation><filename>&x;</filename></annotation>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]><annotation/>',
        LAUGHS + "]><annotation><filename>&m;</filename></annotation>",
        LAUGHS + "]><annotation verified='&m;'/>",
        "<!DOCTYPE a [<!ENTITY a '&b;'><!ENTITY b '&a;'>]><annotation><filename>&a;</filename></annotation>",
        "<!DOCTYPE a [<!ENTITY a '"
        + "x" * 100_000
        + "'>]><annotation><filename>"
        + "&a;" * 20_000
        + "</filename></annotation>",
    ],
)
def test_entities_and_external_references_are_refused(save, content):
    path = save(content)
    tracemalloc.start()
    started = time.monotonic()
    error = refusal(path)
    assert isinstance(error, voc.UnsafeAnnotationError)
    assert error.problems[0].field == "DOCTYPE"
    assert time.monotonic() - started < 5
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_nothing_of_another_file_is_read(save, tmp_path):
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    namespace = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
    content = f'<annotation {namespace}><filename><xi:include href="secret.txt" parse="text"/></filename></annotation>'
    assert voc.read(save(content)).filename is None


@settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(save, content):
    read_or_refused(save(content))


PIECES = [
    *("<annotation>", "</annotation>", "<object>", "</object>", "<bndbox>", "</bndbox>", "<xmin>", "</xmin>", "<name>"),
    *("</name>", "<size>", "<width>", "9e99", "-1", "&lt;", "&#0;", "&#x110000;", "<![CDATA[", "]]>", "<!--", "<a:b/>"),
    *('<?xml version="1.1" encoding="utf-7"?>', "<!DOCTYPE a [", "<!ENTITY a 'b'>", "]>", "&a;", "\0", "é", "\ufffe"),
]


@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_any_markup_is_read_or_refused(save, pieces):
    read_or_refused(save("".join(pieces)))


@settings(max_examples=100, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(LABELIMG.encode())), st.binary(max_size=6), st.integers(0, 40))
def test_damaged_annotation_is_read_or_refused(save, place, patch, gone):
    whole = LABELIMG.encode()
    read_or_refused(save(whole[:place] + patch + whole[place + gone :]))


def read_or_refused(path: str) -> None:
    try:
        annotation = voc.read(path)
    except InputError:
        return
    lengths = {len(part) for part in (annotation.boxes, annotation.labels, annotation.difficult, annotation.truncated)}
    assert len(lengths) == 1
    assert all(len(box) == 4 for box in annotation.boxes)
