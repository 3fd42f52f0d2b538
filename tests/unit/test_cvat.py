"""CVAT's XML is read as written, shape by shape, and nothing that is given for one can do harm."""

import math
import tracemalloc

import pytest

from odtl.annotations import cvat
from odtl.annotations.model import Annotation
from odtl.annotations.safe_xml import UnsafeAnnotationError
from odtl.errors import InputError

EXPORT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>cup</name></label></labels></task></meta>
  <image id="0" name="cup 1.jpg" width="640" height="480">
    <box label=" cup " source="manual" occluded="1" xtl="10.5" ytl="20" xbr="30" ybr="40.25" z_order="0">
      <attribute name="colour">1</attribute><attribute name="Truncated">true</attribute>
    </box>
    <tag label="indoors" source="manual"><attribute name="difficult">true</attribute></tag>
    <polygon label="leaf" points="5,6;15.5,2;9,30">
      <attribute name="difficult">1</attribute>
    </polygon>
  </image>
  <image id="1" name="b/empty.png" width="10" height="20" subset="Validation"></image>
</annotations>
"""


@pytest.fixture
def save(tmp_path):
    def _save(content: str | bytes) -> str:
        path = tmp_path / "annotations.xml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return _save


def images(*elements: str) -> str:
    return "<annotations>" + "".join(elements) + "</annotations>"


def image(*shapes: str, name: str = "a.jpg", more: str = "") -> str:
    return f'<image name="{name}" width="100" height="50" {more}>{"".join(shapes)}</image>'


def test_export_is_read_as_written(save):
    path = save(EXPORT)
    table = cvat.read(path)
    assert table.problems == ()
    assert dict(table.annotations) == {
        "cup 1.jpg": Annotation(
            file=path,
            filename="cup 1.jpg",
            width=640,
            height=480,
            boxes=((10.5, 20.0, 30.0, 40.25), (5.0, 2.0, 15.5, 30.0)),
            labels=("cup", "leaf"),
            difficult=(False, True),
            truncated=(True, False),
        ),
        "b/empty.png": Annotation(file=path, filename="b/empty.png", width=10, height=20, split="val"),
    }


ROOT = math.sqrt(2)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ('box label="a" xtl="10" ytl="20" xbr="30" ybr="30" rotation="90"', (15, 15, 25, 35)),
        ('box label="a" xtl="10" ytl="20" xbr="30" ybr="30" rotation="180.00"', (10, 20, 30, 30)),
        ('box label="a" xtl="0" ytl="0" xbr="2" ybr="2" rotation="45"', (1 - ROOT, 1 - ROOT, 1 + ROOT, 1 + ROOT)),
        ('box label="a" xtl="0" ytl="0" xbr="2" ybr="2" rotation="-315"', (1 - ROOT, 1 - ROOT, 1 + ROOT, 1 + ROOT)),
        ('ellipse label="a" cx="50" cy="20" rx="10" ry="5"', (40, 15, 60, 25)),
        ('ellipse label="a" cx="50" cy="20" rx="10" ry="5" rotation="90"', (45, 10, 55, 30)),
        ('ellipse label="a" cx="5" cy="5" rx="3" ry="3" rotation="33"', (2, 2, 8, 8)),
        ('mask label="a" rle="1, 2" left="7" top="8" width="20" height="10"', (7, 8, 27, 18)),
        (
            'cuboid label="a" xtl1="3" ytl1="4" xbl1="3" ybl1="40" xtr1="20" ytr1="2" xbr1="20" ybr1="44" '
            'xtl2="30" ytl2="4" xbl2="30" ybl2="40" xtr2="10" ytr2="4" xbr2="10" ybr2="40"',
            (3, 2, 30, 44),
        ),
        ('polygon label="a" points="1,2;3,4;"', (1, 2, 3, 4)),
    ],
)
def test_upright_box_around_each_shape(save, shape, box):
    (annotation,) = cvat.read(save(images(image(f"<{shape}/>")))).annotations.values()
    assert annotation.boxes[0] == pytest.approx(box, abs=1e-9)


@pytest.mark.parametrize(
    "shape",
    [
        'box xtl="left" ytl="1" xbr="2" ybr="3"',
        'box ytl="1" xbr="2" ybr="3"',
        'box xtl="0" ytl="1" xbr="2" ybr="3" rotation="some"',
        'box xtl="0" ytl="1" xbr="2" ybr="3" rotation="1e999"',
        'polygon points=""',
        'polygon points="1,2;3"',
        'polygon points="1,2;3,x"',
        'ellipse cx="1" cy="2" rx="3" ry=""',
        'mask left="1" top="2" width="3"',
        'cuboid xtl1="3"',
    ],
)
def test_coordinate_that_is_no_number_is_nan(save, shape):
    table = cvat.read(save(images(image(f"<{shape}/>"))))
    assert any(math.isnan(edge) for edge in table.annotations["a.jpg"].boxes[0])


def test_shapes_without_extent_are_reported(save):
    skeleton = '<skeleton label="a"><points label="b" points="1,2"/></skeleton>'
    whole = '<box label="cup" xtl="1" ytl="2" xbr="3" ybr="4"/>'
    table = cvat.read(
        save(
            images(
                image(whole, '<polyline points="1,2;3,4"/>', skeleton, whole),
                image('<points points="1,2"/>', name="b.jpg"),
            )
        )
    )
    assert [(each.filename, each.reason, each.problem.field, each.problem.found) for each in table.problems] == [
        ("a.jpg", "shape_without_box", "image 1, shape 2", "<polyline>"),
        ("a.jpg", "shape_without_box", "image 1, shape 3", "<skeleton>"),
        ("b.jpg", "shape_without_box", "image 2, shape 1", "<points>"),
        ("b.jpg", "all_boxes_unusable", "image 2", "1 shape(s), none with a box"),
    ]
    assert table.annotations["a.jpg"].labels == ("cup", "cup")
    assert table.annotations["b.jpg"].boxes == ()


def test_images_that_cannot_be_told_apart_are_reported(save):
    box = '<box label="cup" xtl="1" ytl="2" xbr="3" ybr="4"/>'
    table = cvat.read(
        save(
            images(
                image(box),
                image(name=""),
                image(box),
                image(),
                image(name="b.jpg", more='subset="train"'),
                image(box, name="b.jpg", more='subset="Test"'),
            )
        )
    )
    assert [(each.filename, each.reason, each.problem.field) for each in table.problems] == [
        ("", "row_unreadable", "image 2"),
        ("a.jpg", "annotation_ambiguous", "image 4 ('a.jpg')"),
    ]
    assert {name: (entry.split, len(entry.boxes)) for name, entry in table.annotations.items()} == {
        "a.jpg": (None, 1),
        "b.jpg": ("train", 0),
        "Test/b.jpg": ("test", 1),
    }


@pytest.mark.parametrize(
    ("content", "field", "found"),
    [
        ("", "file", "empty"),
        ("  ", "line 1", "Start tag expected"),
        (EXPORT[: len(EXPORT) // 2], "line 7", "malformed"),
        ("<annotation><object/></annotation>", "root element", "<annotation>"),
        (images(image(), '<track id="0" label="cup"/>'), "track", "video"),
        (EXPORT.replace("cup", "größe").encode("latin-1"), "line 4", "encoding"),
        ("<annotations>&unknown;</annotations>", "line 1", "unknown"),
        ("<annotations>" + "<a>" * 5000, "line 1", "malformed"),
        ("<annotations/><annotations/>", "line 1", "Extra content"),
        (b"\xff\xd8\xff\xe0JFIF", "line 1", ""),
        ('<?xml version="1.0" encoding="klingon"?><annotations/>', "line 1", "encoding"),
    ],
)
def test_file_that_is_no_export_is_refused(save, content, field, found):
    with pytest.raises(InputError) as caught:
        cvat.read(save(content))
    (problem,) = caught.value.problems
    assert field in problem.field
    assert found in problem.found


@pytest.mark.parametrize(
    "content",
    [
        "<!DOCTYPE annotations><annotations/>",
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><annotations/>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations><image name="&x;"/></annotations>',
        "<!DOCTYPE a [<!ENTITY a '"
        + "x" * 100_000
        + "'>]><annotations><image name='"
        + "&a;" * 20_000
        + "'/></annotations>",
    ],
)
def test_entities_and_external_references_are_refused(save, content):
    path = save(content)
    tracemalloc.start()
    with pytest.raises(UnsafeAnnotationError):
        cvat.read(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_file_that_cannot_be_read_is_refused(save, tmp_path, monkeypatch):
    for path in (tmp_path / "none.xml", tmp_path, tmp_path / "nul\0.xml"):
        with pytest.raises(InputError):
            cvat.read(path)
    monkeypatch.setattr(cvat, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="in several parts"):
        cvat.read(save(EXPORT))


def test_other_elements_take_no_memory(save):
    path = save(images("<meta>" + "<label><name>cup</name></label>" * 200_000 + "</meta>", image()))
    tracemalloc.start()
    assert list(cvat.read(path).annotations) == ["a.jpg"]
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()
