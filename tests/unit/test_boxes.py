"""Boxes end inside the upright image or are left out with a reason; every image is accounted for."""

import csv
import hashlib
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from odtl import boxes, repairs
from odtl.boxes import BoxRow, read_boxes
from odtl.cleaning import MIN_SIDE, clean
from odtl.errors import InputError
from odtl.files import sha256_of
from odtl.framing import turn_upright
from odtl.images import ImageInfo
from odtl.making_boxes import Counts, make_boxes
from odtl.manifest import Line, LineAnnotation, LineProblem
from odtl.sidecars import read_sidecar

NAN = math.nan
SHARD = "train-00000-of-00001"


def line(*entries, size=(100, 80), labels=None, classes=None, image="d/a.jpg", problems=()) -> Line:
    labels = labels or ("cup",) * len(entries)
    flags = (False,) * len(entries)
    annotation = LineAnnotation("d/a.xml", *size, tuple(entries), tuple(labels), tuple(classes or labels), flags, flags)
    return Line("a.jpg", image, "0" * 64, "a.jpg", annotation, tuple(problems))


def cleaned(the_line: Line, info: ImageInfo | None = None) -> tuple[list[tuple], list[tuple]]:
    """Return boxes, and (reason, field, before, after) of the ledger."""
    rows, ledger = clean(the_line, info or ImageInfo("JPEG", 100, 80))
    assert all(row.image == "a.jpg" and row.file and row.found and row.done for row in ledger)
    return (
        [(row.xmin, row.ymin, row.xmax, row.ymax) for row in rows],
        [(row.reason, row.field, row.before, row.after) for row in ledger],
    )


def test_good_box_is_left_as_it_is():
    assert clean(line((0, 0, 100, 80), (10.5, 20, 30, 40.25)), ImageInfo("JPEG", 100, 80), "val") == (
        [
            BoxRow("a.jpg", 100, 80, "cup", 0, 0, 100, 80, False, False, False, "val", "a.jpg", "d/a.jpg", "0" * 64),
            BoxRow(
                "a.jpg", 100, 80, "cup", 10.5, 20, 30, 40.25, False, False, False, "val", "a.jpg", "d/a.jpg", "0" * 64
            ),
        ],
        [],
    )


def test_negative_is_kept():
    (row,), ledger = clean(line(), ImageInfo("JPEG", 100, 80))
    assert row.is_negative and (row.label, row.width, row.height) == ("", 100, 80)
    assert ledger == []


GOOD = (1, 2, 30, 40)


@pytest.mark.parametrize(
    ("box", "expected", "reason", "after"),
    [
        ((30, 40, 1, 2), (1, 2, 30, 40), "box_inverted", "1,2,30,40"),
        ((30, 2, 1, 40), (1, 2, 30, 40), "box_inverted", "1,2,30,40"),
        ((-1, 0, 50, 81), (0, 0, 50, 80), "box_clipped", "0,0,50,80"),
        ((50, 50, 900.5, 60), (50, 50, 100, 60), "box_clipped", "50,50,100,60"),
        ((100, 0, 130, 80), None, "box_outside", ""),
        ((-30, 10, 0, 20), None, "box_outside", ""),
        ((0, -30, 10, -20), None, "box_outside", ""),
        ((5, 5, 5, 40), None, "box_empty", ""),
        ((5, 5, 40, 5.01), None, "box_empty", ""),
        ((NAN, 5, 40, 50), None, "box_not_a_number", ""),
        ((5, 5, 40, math.inf), None, "box_not_a_number", ""),
        ((1e300, 5, -1e300, 50), (0, 5, 100, 50), "box_clipped", "0,5,100,50"),
    ],
)
def test_bad_box(box, expected, reason, after):
    found, ledger = cleaned(line(GOOD, box))
    assert found == ([GOOD] if expected is None else [GOOD, expected])
    assert ledger[-1][:2] == (reason, "box 2")
    assert ledger[-1][3] == after
    assert len(ledger) == (2 if reason == "box_clipped" and box[0] > box[2] else 1)


def test_before_is_as_written():
    assert cleaned(line(GOOD, (-0.5, 0, 50.25, 80)))[1] == [("box_clipped", "box 2", "-0.5,0,50.25,80", "0,0,50.25,80")]


def test_rounding_is_told_from_a_box_that_really_leaves_the_image():
    assert "rounding" in clean(line((0, 0, 101, 80)), ImageInfo("JPEG", 100, 80))[1][0].done
    assert "rounding" not in clean(line((0, 0, 101.5, 80)), ImageInfo("JPEG", 100, 80))[1][0].done


def test_labels_that_are_empty_or_unknown():
    found, ledger = cleaned(line(GOOD, GOOD, GOOD, labels=("cup", "", "pcu"), classes=("cup", None, None)))
    assert found == [GOOD]
    assert ledger == [("label_empty", "box 2", "", ""), ("label_unknown", "box 3", "pcu", "")]


def test_unknown_label_that_the_inventory_told_is_not_told_twice():
    told = LineProblem("label_unknown", "d/a.xml", "box 2", "class 'pcu'", "box left out; the nearest class is 'cup'")
    rows, ledger = clean(
        line(GOOD, GOOD, labels=("cup", "pcu"), classes=("cup", None), problems=[told]), ImageInfo("JPEG", 100, 80)
    )
    assert len(rows) == 1
    assert [(row.reason, row.status, row.done) for row in ledger] == [("label_unknown", "repaired", told.done)]


def test_image_whose_every_box_is_unusable_does_not_become_a_negative():
    rows, ledger = clean(line((5, 5, 5, 5), (NAN, NAN, NAN, NAN)), ImageInfo("JPEG", 100, 80))
    assert rows == []
    assert [(row.reason, row.status) for row in ledger] == [
        ("box_empty", "repaired"),
        ("box_not_a_number", "repaired"),
        ("all_boxes_unusable", "rejected"),
    ]


@pytest.mark.parametrize(
    ("size", "box", "expected", "reasons"),
    [
        ((None, None), (10, 20, 30, 40), (10, 20, 30, 40), ["size_missing"]),
        ((100, None), (10, 20, 30, 40), (10, 20, 30, 40), ["size_missing"]),
        ((200, 160), (10, 20, 30, 40), (5, 10, 15, 20), ["size_scaled"]),
        ((50, 40), (10, 20, 50, 40), (20, 40, 100, 80), ["size_scaled"]),
        ((1000, 805), (100, 0, 200, 805), (10, 0, 20, 80), ["size_scaled"]),
        ((50, 40), (10, 20, 90, 70), (10, 20, 90, 70), ["size_wrong"]),  # no box on a 50 x 40 image reaches 90
        ((80, 100), (10, 20, 30, 40), (10, 20, 30, 40), ["size_wrong"]),
        ((640, 480), (10, 20, 30, 40), (10, 20, 30, 40), ["size_wrong"]),
        ((640, 480), (10, 20, 300, 40), (10, 20, 100, 40), ["size_wrong", "box_clipped"]),
    ],
)
def test_stated_size(size, box, expected, reasons):
    found, ledger = cleaned(line(box, size=size))
    assert found == [expected]
    assert [row[0] for row in ledger] == reasons
    assert ledger[0][3] == "100 x 80"


# A box at the stored picture's left edge, by orientation, in the upright picture.
TURNED = {
    1: (0, 10, 20, 40),
    2: (80, 10, 100, 40),
    3: (80, 40, 100, 70),
    4: (0, 40, 20, 70),
    5: (10, 0, 40, 20),
    6: (40, 0, 70, 20),
    7: (40, 80, 70, 100),
    8: (10, 80, 40, 100),
}


@pytest.mark.parametrize("orientation", TURNED)
def test_box_is_turned_as_the_pixels_are(orientation):
    assert turn_upright((0, 10, 20, 40), orientation, 100, 80) == TURNED[orientation]
    from odtl import images

    pixels = Image.new("RGB", (100, 80))
    pixels.paste((255, 255, 255), (0, 10, 20, 40))
    data, tags = io.BytesIO(), Image.Exif()
    tags[0x0112] = orientation
    pixels.save(data, "PNG", exif=tags.tobytes())
    upright = np.asarray(images.upright_rgb(data.getvalue()))[:, :, 0]
    rows, columns = np.nonzero(upright)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == TURNED[orientation]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize(
    ("size", "box", "turned", "reasons"),
    [
        ((100, 80), (0, 10, 20, 40), True, ["exif_turned"]),
        ((80, 100), (0, 10, 20, 40), False, ["exif_turned"]),
        ((None, None), (0, 10, 20, 40), False, ["exif_ambiguous", "size_missing"]),
        ((200, 160), (0, 20, 40, 80), True, ["exif_turned", "size_scaled"]),
        ((640, 640), (0, 10, 20, 40), False, ["exif_ambiguous", "size_wrong"]),
        ((100, 80), (0, 10, 20, 95), False, ["exif_turned", "size_wrong"]),  # the header's size, but drawn upright
    ],
)
def test_boxes_on_a_turned_image(orientation, size, box, turned, reasons):
    found, ledger = cleaned(line(box, size=size), ImageInfo("JPEG", 100, 80, orientation))
    assert found == [TURNED[orientation] if turned else box]
    assert [row[0] for row in ledger] == reasons


def test_scaled_and_upright_on_a_turned_image():
    found, ledger = cleaned(line((0, 20, 40, 80), size=(160, 200)), ImageInfo("JPEG", 100, 80, 6))
    assert found == [(0, 10, 20, 40)]
    assert [row[0] for row in ledger] == ["exif_turned", "size_scaled"]


@pytest.mark.parametrize(("orientation", "stored"), [(2, (100, 80)), (3, (100, 80)), (4, (100, 80)), (6, (80, 80))])
def test_size_that_does_not_tell_is_taken_as_upright(orientation, stored):
    found, ledger = cleaned(line((0, 10, 20, 40), size=stored), ImageInfo("JPEG", *stored, orientation))
    assert found == [(0, 10, 20, 40)]
    assert [row[0] for row in ledger] == ["exif_ambiguous"]


@pytest.mark.parametrize(
    ("info", "image", "reasons"),
    [
        (ImageInfo("PNG", 100, 80, lossless=True), "a.JPG", ["image_wrong_extension"]),
        (ImageInfo("JPEG", 100, 80), "a.jpeg", []),
        (ImageInfo("JPEG", 100, 80, mode="L"), "a.jpg", ["image_converted"]),
        (ImageInfo("WEBP", 100, 80), "a.jpg", ["image_wrong_extension", "image_converted"]),
        (ImageInfo("JPEG", 100, 80, invalid_orientation="EXIF orientation 9"), "a.jpg", ["exif_invalid"]),
    ],
)
def test_what_is_done_to_the_pixels_is_told(info, image, reasons):
    found, ledger = cleaned(line(GOOD, image=image), info)
    assert found == [GOOD]
    assert [row[0] for row in ledger] == reasons


def test_rejecting_problems_of_the_inventory_reject():
    problem = LineProblem("annotation_unsafe", "d/a.xml", "DOCTYPE", "entities", "left out")
    rows, ledger = clean(line(GOOD, problems=[problem]), ImageInfo("JPEG", 100, 80))
    assert rows == []
    assert [(row.status, row.reason, row.file, row.field) for row in ledger] == [
        ("rejected", "annotation_unsafe", "d/a.xml", "DOCTYPE")
    ]


EDGES = st.one_of(st.integers(-300, 300).map(float), st.floats(allow_nan=True, allow_infinity=True), st.floats(-9, 120))
SIZES = st.one_of(st.none(), st.integers(1, 300))


@given(
    st.lists(st.tuples(EDGES, EDGES, EDGES, EDGES), max_size=4),
    st.tuples(SIZES, SIZES),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.integers(1, 8),
    st.data(),
)
def test_no_box_leaves_the_image_or_lacks_area(entries, stated, stored, orientation, data):
    classes = data.draw(st.lists(st.sampled_from(["cup", None]), min_size=len(entries), max_size=len(entries)))
    the_line = line(*entries, size=stated, labels=["x"] * len(entries), classes=classes)
    info = ImageInfo("JPEG", *stored, orientation)
    rows, ledger = clean(the_line, info)
    width, height = info.upright_size
    for row in rows:
        assert (row.width, row.height) == (width, height)
        if not row.is_negative:
            assert row.xmin >= 0 and row.xmax <= width and row.xmax - row.xmin >= MIN_SIDE
            assert row.ymin >= 0 and row.ymax <= height and row.ymax - row.ymin >= MIN_SIDE
    rejected = any(row.status == "rejected" for row in ledger)
    assert rejected == (not rows)
    assert rejected == (bool(entries) and not any(not row.is_negative for row in rows))
    dropped = sum(row.reason in DROPS for row in ledger)
    assert len([row for row in rows if not row.is_negative]) + dropped >= len(entries)


DROPS = {"box_not_a_number", "box_empty", "box_outside", "label_unknown", "label_empty"}


# --- Whole shards ------------------------------------------------------------------------------------------------


def jpeg(size=(100, 80), mode="RGB", **options) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.fixture
def shard(tmp_path, monkeypatch):
    """Write images and a manifest of one shard; return the paths of manifest, boxes and ledger."""
    monkeypatch.chdir(tmp_path)

    def _shard(contents: dict[str, bytes], lines: dict[str, dict]):
        (tmp_path / "d").mkdir(exist_ok=True)
        texts = []
        for name, change in sorted(lines.items()):
            image = f"d/{name}"
            sha256 = None
            if name in contents:
                (tmp_path / image).write_bytes(contents[name])
                sha256 = hashlib.sha256(contents[name]).hexdigest()
            annotation = {"file": f"d/{name}.xml", "width": 100, "height": 80, "boxes": [[1, 2, 30, 40]]}
            annotation |= {"labels": ["cup"], "classes": ["cup"], "difficult": [True], "truncated": [False]}
            entry = {"id": name, "image": image, "sha256": sha256, "group": name, "annotation": annotation}
            texts.append(json.dumps({**entry, "problems": [], **change}) + "\n")
        manifest = tmp_path / f"{SHARD}.jsonl"
        manifest.write_text("".join(texts), encoding="utf-8")
        return manifest, tmp_path / "boxes.csv", tmp_path / "repairs.csv"

    return _shard


EMPTY = {"boxes": [], "labels": [], "classes": [], "difficult": [], "truncated": [], "file": "e.xml"}
EMPTY |= {"width": None, "height": None}


def test_shard_on_absolute_values(shard):
    contents = {"b,1.jpg": jpeg(), "é.jpg": jpeg(mode="L"), "no.jpg": b"<html>", "free.jpg": jpeg(), "neg.jpg": jpeg()}
    paths = shard(
        contents,
        {
            **{name: {} for name in ("b,1.jpg", "é.jpg", "no.jpg")},
            "free.jpg": {"annotation": None},
            "neg.jpg": {"annotation": {**EMPTY, "width": 100, "height": 80}},
        },
    )
    assert make_boxes(*paths) == Counts(images=5, kept=2, repaired=1, rejected=2)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    assert paths[1].read_text(encoding="utf-8").splitlines() == [
        "filename,width,height,class,xmin,ymin,xmax,ymax,difficult,truncated,crowd,split,group,image,sha256",
        f'"b,1.jpg",100,80,cup,1,2,30,40,1,0,0,train,"b,1.jpg","d/b,1.jpg",{digests["b,1.jpg"]}',
        f"neg.jpg,100,80,,,,,,,,,train,neg.jpg,d/neg.jpg,{digests['neg.jpg']}",
        f"é.jpg,100,80,cup,1,2,30,40,1,0,0,train,é.jpg,d/é.jpg,{digests['é.jpg']}",
    ]
    ledger = repairs.read_ledger(paths[2])
    assert [(row.image, row.status, row.reason) for row in ledger] == [
        ("free.jpg", "rejected", "unlabelled"),
        ("no.jpg", "rejected", "image_not_an_image"),
        ("é.jpg", "repaired", "image_converted"),
    ]


def test_empty_shard_has_headers(shard):
    paths = shard({}, {})
    assert make_boxes(*paths) == Counts(0, 0, 0, 0)
    assert [len(list(csv.reader(path.open(encoding="utf-8")))) for path in paths[1:]] == [1, 1]
    assert read_boxes(paths[1]) == [] and repairs.read_ledger(paths[2]) == []


def test_table_reads_back_as_it_was(shard):
    paths = shard({"a.jpg": jpeg(), "b.jpg": jpeg()}, {"a.jpg": {}, "b.jpg": {"annotation": EMPTY}})
    make_boxes(*paths)
    rows = read_boxes(paths[1])
    digest = hashlib.sha256(jpeg()).hexdigest()
    assert rows == [
        BoxRow("a.jpg", 100, 80, "cup", 1.0, 2.0, 30.0, 40.0, True, False, False, "train", "a.jpg", "d/a.jpg", digest),
        BoxRow("b.jpg", 100, 80, "", None, None, None, None, False, False, False, "train", "b.jpg", "d/b.jpg", digest),
    ]
    assert boxes.to_array(rows).tolist() == [[1, 2, 30, 40]]
    assert boxes.to_array([]).shape == (0, 4)


def test_image_that_changed_since_it_was_listed_stops_the_shard(shard):
    paths = shard({"a.jpg": jpeg(), "b.jpg": jpeg(), "c.jpg": jpeg()}, {"a.jpg": {}, "b.jpg": {}, "c.jpg": {}})
    (paths[0].parent / "d/a.jpg").write_bytes(jpeg((50, 40)))
    (paths[0].parent / "d/c.jpg").unlink()
    with pytest.raises(InputError, match="changed since it was listed; run again") as caught:
        make_boxes(*paths)
    assert [problem.file for problem in caught.value.problems] == ["d/a.jpg", "d/c.jpg"]
    assert not paths[1].exists() and not paths[2].exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "image_empty"), (jpeg()[:-300], "image_damaged"), (b"\0" * 99, "image_not_an_image")],
)
def test_unusable_image_is_rejected(shard, data, reason):
    paths = shard({"a.jpg": data}, {"a.jpg": {}})
    assert make_boxes(*paths) == Counts(1, 0, 0, 1)
    assert [row.reason for row in repairs.read_ledger(paths[2])] == [reason]


def test_annotation_without_image_is_a_rejected_row(shard):
    problem = {"reason": "image_missing", "file": "a.xml", "field": "file", "found": "no image", "done": "left out"}
    paths = shard({}, {"a.jpg": {"image": None, "problems": [problem]}})
    assert make_boxes(*paths) == Counts(1, 0, 0, 1)


def test_same_manifest_gives_the_same_bytes(shard):
    paths = shard({"a.jpg": jpeg(mode="L"), "b.jpg": jpeg()}, {"a.jpg": {}, "b.jpg": {}})
    make_boxes(*paths)
    first = [path.read_bytes() for path in paths[1:]]
    make_boxes(*paths)
    assert [path.read_bytes() for path in paths[1:]] == first


def test_numbers_are_written_short_and_whole():
    assert [boxes.number_text(value) for value in (1.0, 0.1, 1 / 3, -0.0, 1e300)] == [
        *("1", "0.1", "0.3333333333333333", "0", "1e+300"),
    ]
    assert all(float(boxes.number_text(value)) == value for value in (1e15, 123456789.125, 5e-324))


def test_sidecar_counts_and_tells_another_table(shard, tmp_path):
    paths = shard({"a.jpg": jpeg()}, {"a.jpg": {}})
    counts = make_boxes(*paths, tmp_path / "boxes.json", sha256_of(paths[0]))
    sidecar = read_sidecar(tmp_path / "boxes.json")
    assert {name: sidecar[name] for name in ("images", "kept", "repaired", "rejected")} == vars(counts)
    assert len(read_boxes(paths[1], sidecar["files"]["boxes"]["sha256"])) == 1
    paths[1].write_text(paths[1].read_text(encoding="utf-8").replace("cup", "cap"), encoding="utf-8")
    with pytest.raises(InputError, match="run again to make it anew"):
        read_boxes(paths[1], sidecar["files"]["boxes"]["sha256"])


def test_manifest_that_is_not_the_planned_one_gives_nothing(shard, tmp_path):
    paths = shard({"a.jpg": jpeg()}, {"a.jpg": {}})
    with pytest.raises(InputError, match="when the run was planned"):
        make_boxes(*paths, tmp_path / "boxes.json", "0" * 64)
    assert not any(path.exists() for path in [*paths[1:], tmp_path / "boxes.json"])


# --- Shares of the image's sides, and crowds ----------------------------------------------------------------------


def shares(*entries, size=(None, None)) -> Line:
    whole = line(*entries, size=size)
    return whole._replace(annotation=whole.annotation._replace(normalised=True))


def test_shares_become_pixels_of_the_upright_image():
    info = ImageInfo("JPEG", 640, 480)
    assert cleaned(shares((0.25, 0.5, 0.5, 1), (0.1, 1 / 3, 0.7, 0.9999995)), info) == (
        [(160, 240, 320, 480), (64, 160, 448, 480)],
        [],
    )


def test_what_rounding_does_to_shares_is_no_repair_and_more_is():
    info = ImageInfo("JPEG", 1000, 1000)
    assert cleaned(shares((-1e-6, 0, 1.0000012, 1)), info) == ([(0, 0, 1000, 1000)], [])
    boxes, rows = cleaned(shares((-0.01, 0, 0.5, 1)), info)
    assert boxes == [(0, 0, 500, 1000)]
    assert rows == [("box_clipped", "box 1", "-0.01,0,0.5,1", "0,0,500,1000")]


def test_shares_of_a_turned_image_are_of_what_viewers_show_unless_the_size_tells_otherwise():
    info = ImageInfo("JPEG", 640, 480, orientation=6)
    assert cleaned(shares((0, 0, 0.5, 0.25)), info)[0] == [(0, 0, 240, 160)]
    assert cleaned(shares((0, 0, 0.5, 0.25), size=(480, 640)), info)[0] == [(0, 0, 240, 160)]
    boxes, rows = cleaned(shares((0, 0, 0.5, 0.25), size=(640, 480)), info)
    assert boxes == [(360, 0, 480, 320)] and [row[0] for row in rows] == ["exif_turned"]


def test_a_stated_size_of_another_shape_is_told_with_shares_too():
    info = ImageInfo("JPEG", 640, 480)
    assert cleaned(shares((0, 0, 0.5, 0.5), size=(320, 240)), info) == ([(0, 0, 320, 240)], [])
    assert cleaned(shares((0, 0, 0.5, 0.5), size=(480, 640)), info) == (
        [(0, 0, 320, 240)],
        [("size_wrong", "size", "480 x 640", "640 x 480")],
    )


def test_shares_that_are_no_numbers_are_left_out():
    boxes, rows = cleaned(shares((NAN, 0, 1, 1), (0.5, 0.5, math.inf, 1), (0.9, 0.1, 0.2, 0.3)))
    assert boxes == [(20, 8, 90, 24)]
    assert [row[0] for row in rows] == ["box_not_a_number", "box_not_a_number", "box_inverted"]


def test_crowds_are_told():
    whole = line((0, 0, 10, 10), (0, 0, 20, 20))
    crowded = whole._replace(annotation=whole.annotation._replace(crowd=(False, True)))
    rows, _ = clean(crowded, ImageInfo("JPEG", 100, 80))
    assert [row.crowd for row in rows] == [False, True]
