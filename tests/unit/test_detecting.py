"""Detecting in images: every input is accounted for, in its own place. The detector here is a rule, not a model."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from odtl.annotations import voc
from odtl.detecting.names import output_names, video_names
from odtl.detecting.pictures import read_upright
from odtl.detecting.run import Options, detect_inputs
from odtl.drawing import class_colour
from odtl.errors import InputError
from odtl.records import source_id
from red import image_with_red, rows_of, use_red_detector


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    return use_red_detector(monkeypatch)


HEADER = "filename,width,height,class,score,xmin,ymin,xmax,ymax,frame,time\n"


def detect_folder(model, inputs, output, score_threshold, max_images=None, **options):
    return detect_inputs(model, inputs, output, Options(score_threshold, **options), max_images)


def test_folder(tmp_path, capsys):
    inputs, output = tmp_path / "in", tmp_path / "out"
    for sub in ("", "one", "two"):
        (inputs / sub).mkdir(exist_ok=True)
        image_with_red((20, 10, 60, 50)).save(inputs / sub / "same name.jpg", quality=95)
    image_with_red((20, 10, 60, 50)).save(inputs / "one" / "same name.webp", lossless=True)
    (inputs / "one" / "same name.xml").write_text("<annotation/>")
    (inputs / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (inputs / ".hidden.jpg").write_bytes(b"")
    summary = detect_folder("model", inputs, output, score_threshold=0.5)
    names = ["one/same name.jpg", "one/same name.webp", "same name.jpg", "two/same name.jpg"]
    rows = rows_of(output / "detections.csv")
    assert [row["filename"] for row in rows] == names
    assert rows[1] == {
        "filename": "one/same name.webp", "width": "200", "height": "100", "class": "red thing", "score": "0.7500",
        "xmin": "20.00", "ymin": "10.00", "xmax": "60.00", "ymax": "50.00", "frame": "", "time": "",
    }  # fmt: skip
    written = sorted(path.relative_to(output / "images").as_posix() for path in (output / "images").rglob("*.*"))
    assert written == ["one/same name.jpg", "one/same name.webp.jpg", "same name.jpg", "two/same name.jpg"]
    assert (summary.images, summary.detections) == (4, 4)
    assert [file for file, _ in summary.unreadable] == ["damaged.png"]
    (skipped,) = rows_of(output / "unreadable.csv")
    assert (skipped["filename"], skipped["reason"]) == (
        "damaged.png",
        "ImageError: image_damaged: a header that cannot be read (UnidentifiedImageError: cannot identify image file)",
    )
    assert "Skipped, cannot be read: damaged.png" in capsys.readouterr().err


def test_images_are_drawn_on(tmp_path):
    (tmp_path / "in").mkdir()
    image_with_red((100, 100, 300, 250), (600, 400)).save(tmp_path / "in/a.png")
    detect_folder("model", tmp_path / "in", tmp_path / "out", 0.5)
    with Image.open(tmp_path / "out/images/a.png.jpg") as drawn:
        assert drawn.getpixel((101, 200)) == pytest.approx(class_colour(1), abs=40)
        assert drawn.getpixel((200, 180)) == pytest.approx((255, 0, 0), abs=10)


def test_exif_orientation_is_applied_to_image_and_boxes(tmp_path):
    (tmp_path / "in").mkdir()
    # Stored lying, red at the left of its top; turned to the right by 90 degrees, red is at the top of its right.
    exif = Image.Exif()
    exif[0x0112] = 6
    image_with_red((0, 0, 40, 20), (200, 100)).save(tmp_path / "in/a.jpg", quality=100, subsampling=0, exif=exif)
    detect_folder("model", tmp_path / "in", tmp_path / "out", 0.5)
    (row,) = rows_of(tmp_path / "out/detections.csv")
    assert (row["width"], row["height"]) == ("100", "200")
    assert [float(row[edge]) for edge in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx([80, 0, 100, 40], abs=1)
    with Image.open(tmp_path / "out/images/a.jpg") as drawn:
        assert drawn.height == 2 * drawn.width
        assert drawn.getexif().get(0x0112, 1) == 1


def test_nothing_found_leaves_a_header(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (50, 50)).save(tmp_path / "in/a.png")
    detect_folder("model", tmp_path / "in", tmp_path / "out", 0.5)
    assert (tmp_path / "out/detections.csv").read_text() == HEADER
    assert (tmp_path / "out/unreadable.csv").read_text() == "filename,reason\n"
    assert (tmp_path / "out/images/a.png.jpg").exists()
    assert json.loads((tmp_path / "out/detections_coco.json").read_text()) == []
    (image,) = json.loads((tmp_path / "out/images_coco.json").read_text())["images"]
    assert image == {"id": source_id("a.png"), "file_name": "a.png", "width": 50, "height": 50}
    assert [path.name for path in (tmp_path / "out/drafts").iterdir()] == ["a.png"]


def test_folder_without_images_gives_valid_empty_results(tmp_path):
    (tmp_path / "in").mkdir()
    summary = detect_folder("model", tmp_path / "in", tmp_path / "out", 0.5)
    assert (summary.images, summary.detections, summary.unreadable) == (0, 0, ())
    assert (tmp_path / "out/images").is_dir()
    assert len((tmp_path / "out/detections.csv").read_text().splitlines()) == 1


def test_max_images_are_spread(tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(10):
        image_with_red((0, 0, 50, 50)).save(tmp_path / f"in/{index}.png")
    detect_folder("model", tmp_path / "in", tmp_path / "out", 0.5, max_images=3)
    assert [row["filename"] for row in rows_of(tmp_path / "out/detections.csv")] == ["0.png", "3.png", "6.png"]


def test_results_inside_the_folder_are_not_inputs(tmp_path):
    image_with_red((0, 0, 50, 50)).save(tmp_path / "a.png")
    for _ in range(2):
        assert detect_folder("model", tmp_path, tmp_path / "out", 0.5).images == 1


@pytest.mark.parametrize("output", [".", ".."])
def test_the_folder_of_images_is_never_replaced(tmp_path, output):
    (tmp_path / "in").mkdir()
    image_with_red((0, 0, 50, 50)).save(tmp_path / "in/a.png")
    with pytest.raises(InputError, match="holds the images"):
        detect_folder("model", tmp_path / "in", tmp_path / "in" / output, 0.5)
    assert (tmp_path / "in/a.png").exists()


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        detect_folder("model", tmp_path / "nowhere", tmp_path / "out", 0.5)
    assert not (tmp_path / "out").exists()


def test_formats_and_modes_are_read_as_upright_rgb(tmp_path):
    kinds = [("L", "a.png"), ("P", "a.gif"), ("CMYK", "a.jpg"), ("1", "a.tif"), ("RGBA", "a.webp"), ("RGB", "a.tga")]
    for mode, name in [*kinds, ("I;16", "b.png"), ("RGB", "a.jp2")]:
        Image.new(mode, (30, 20)).save(tmp_path / name)
        image = read_upright(tmp_path / name)
        assert (image.mode, image.size) == ("RGB", (30, 20)), name


def test_a_wrong_extension_or_none_does_not_matter(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("png.jpg", "bare", "photo.dat"):
        image_with_red((20, 10, 60, 50)).save(tmp_path / "in" / name, format="PNG")
    (tmp_path / "in/notes.txt").write_text("no image")
    summary = detect_folder("model", tmp_path / "in", tmp_path / "out", 0.5)
    assert (summary.images, summary.unreadable) == (3, ())


def test_batches_of_wrong_shape_are_refused(detector):
    for wrong in (np.zeros((2, 2, 3), np.uint8), np.zeros((1, 2, 2, 3), np.float32), np.zeros((1, 2, 2, 4), np.uint8)):
        with pytest.raises(ValueError, match="uint8 of shape"):
            detector.detect(wrong)


relative = st.lists(
    st.sampled_from(["a", "A", "b.png", "b.jpg", "b.JPG", "b.jpeg", "b-2.jpg", "b.png.jpg"]), min_size=1, max_size=3
).map("/".join)


@given(st.sets(relative))
def test_output_names_are_all_different(files):
    names = output_names(sorted(files))
    assert sorted(names) == sorted(files)
    assert len({name.casefold() for name in names.values()}) == len(files)
    assert all(name.endswith(".jpg") for name in names.values())
    assert {name.count("/") - file.count("/") for file, name in names.items()} <= {0}


def test_output_names():
    assert output_names(["x/a.png", "x/a.jpg", "x/a.JPG", "b.jpeg", "c"]) == {
        "x/a.png": "x/a.png.jpg",
        "x/a.jpg": "x/a.jpg",
        "x/a.JPG": "x/a-2.jpg",
        "b.jpeg": "b.jpg",
        "c": "c.jpg",
    }
    assert set(output_names(["e\u0301.jpg", "\u00e9.jpg"]).values()) == {"e\u0301.jpg", "\u00e9-2.jpg"}


def test_output_names_fit_into_a_folder(tmp_path):
    long = [
        "n" * 251 + ".jpg",
        "N" * 251 + ".JPG",
        "x/" + "n" * 251 + ".png",
        "x/" + "\u65e5" * 83 + ".png",
        "n" * 240 + ".gif",
    ]
    names = output_names(long)
    assert names[long[0]] == long[0]
    assert len({name.casefold() for name in names.values()}) == len(long)
    for name in names.values():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")


def test_video_names():
    assert video_names(["a.mp4", "a.MP4", "b.MOV", "c.mkv", "c.mkv.mp4", "d.gif"]) == {
        "a.mp4": "a.mp4",
        "a.MP4": "a-2.mp4",
        "b.MOV": "b.mov",
        "c.mkv": "c.mkv-2.mp4",
        "c.mkv.mp4": "c.mkv.mp4",
        "d.gif": "d.gif",
    }


def test_coco_results_are_read_by_pycocotools(tmp_path):
    for name in ("b.png", "a.png"):
        image_with_red((20, 10, 60, 50)).save(tmp_path / name)
    detect_folder("model", tmp_path, tmp_path / "out", 0.2)
    truth = COCO(str(tmp_path / "out/images_coco.json"))
    found = truth.loadRes(str(tmp_path / "out/detections_coco.json"))
    assert [image["file_name"] for image in truth.dataset["images"]] == ["a.png", "b.png"]
    assert {entry["id"]: entry["name"] for entry in truth.dataset["categories"]} == {1: "red thing", 2: "all"}
    boxes = found.loadAnns(found.getAnnIds(imgIds=[source_id("b.png")]))
    assert [(box["category_id"], box["bbox"], box["score"]) for box in boxes] == [
        (1, [20, 10, 40, 40], 0.75),
        (2, [0, 0, 200, 100], 0.25),
    ]


def test_drafts_are_annotations_of_the_images_beside_them(tmp_path):
    (tmp_path / "in/sub").mkdir(parents=True)
    image_with_red((20, 10, 60, 50)).save(tmp_path / "in/sub/a.jpg", quality=95)
    image_with_red((30, 10, 60, 50)).save(tmp_path / "in/sub/a.png")
    image_with_red((20, 10, 60, 50)).save(tmp_path / "in/b.webp", lossless=True)
    Image.new("RGB", (50, 50)).save(tmp_path / "in/nothing.png")
    detect_folder("model", tmp_path / "in", tmp_path / "out", 0.5)
    drafts = tmp_path / "out/drafts"
    written = sorted(path.relative_to(drafts).as_posix() for path in drafts.rglob("*.*"))
    (other,) = [name for name in written if name.startswith("sub/a-") and name.endswith(".png")]
    assert written == sorted(
        ["b.png", "b.xml", "nothing.png", "sub/a.jpg", "sub/a.xml", other, other.replace(".png", ".xml")]
    )
    assert (drafts / "sub/a.jpg").read_bytes() == (tmp_path / "in/sub/a.jpg").read_bytes()
    assert (drafts / other).read_bytes() == (tmp_path / "in/sub/a.png").read_bytes()
    annotation = voc.read(drafts / "b.xml")
    assert (annotation.filename, annotation.width, annotation.height) == ("b.png", 200, 100)
    assert (annotation.labels, annotation.boxes) == (("red thing",), ((20, 10, 60, 50),))


def test_drafts_can_be_left_out(tmp_path):
    image_with_red((20, 10, 60, 50)).save(tmp_path / "a.png")
    detect_folder("model", tmp_path, tmp_path / "out", 0.5, drafts=False)
    assert list((tmp_path / "out/drafts").iterdir()) == []


def test_a_class_can_have_its_own_threshold(tmp_path):
    image_with_red((20, 10, 60, 50)).save(tmp_path / "a.png")

    def classes(**thresholds):
        detect_folder("model", tmp_path, tmp_path / "out", 0.5, class_thresholds=thresholds)
        return [row["class"] for row in rows_of(tmp_path / "out/detections.csv")]

    assert classes() == ["red thing"]
    assert classes(all=0.2) == ["red thing", "all"]
    assert classes(**{"all": 0.25, "red thing": 0.76}) == ["all"]


def test_thresholds_of_unknown_classes_are_all_told(tmp_path):
    image_with_red((20, 10, 60, 50)).save(tmp_path / "a.png")
    with pytest.raises(InputError) as error:
        detect_folder("model", tmp_path, tmp_path / "out", 0.5, class_thresholds={"red thin": 0.5, "all": 1.5})
    assert "'red thin'. The model has no such class. Did you mean `red thing`?" in str(error.value)
    assert "all: found 1.5. A score is from 0 to 1." in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batches_of_images_of_many_sizes_change_nothing(tmp_path, detector, batch_size, monkeypatch):
    (tmp_path / "in").mkdir()
    sizes = [(200, 100), (100, 200), (200, 100), (50, 50), (100, 200), (200, 100), (200, 100)]
    for index, size in enumerate(sizes):
        image_with_red((index, 5, index + 20, 40), size).save(tmp_path / f"in/{index}.png")
    (tmp_path / "in/2b.png").write_bytes(b"no image")
    detect_folder("model", tmp_path / "in", tmp_path / "out", 0.5, batch_size=batch_size)
    rows = rows_of(tmp_path / "out/detections.csv")
    assert [row["filename"] for row in rows] == [f"{index}.png" for index in range(7)]
    assert [float(row["xmin"]) for row in rows] == [0, 1, 2, 3, 4, 5, 6]
    assert [(int(row["width"]), int(row["height"])) for row in rows] == sizes


def test_unreadable_can_be_an_error(tmp_path):
    (tmp_path / "in").mkdir()
    image_with_red((20, 10, 60, 50)).save(tmp_path / "in/a.png")
    for name in ("b.png", "c.jpg"):
        (tmp_path / "in" / name).write_bytes(b"no image")
    with pytest.raises(InputError, match=r"(?s)b\.png.*c\.jpg"):
        detect_folder("model", tmp_path / "in", tmp_path / "out", 0.5, allow_unreadable=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_one_pixel_is_an_image(tmp_path):
    Image.new("RGB", (1, 1), (255, 0, 0)).save(tmp_path / "a.png")
    detect_folder("model", tmp_path, tmp_path / "out", 0.5)
    (row,) = rows_of(tmp_path / "out/detections.csv")
    assert (row["width"], row["height"]) == ("1", "1")
    assert [float(row[edge]) for edge in ("xmin", "ymin", "xmax", "ymax")] == [0, 0, 1, 1]
    assert voc.read(tmp_path / "out/drafts/a.xml").boxes == ((0, 0, 1, 1),)


@pytest.mark.parametrize("ending", ["png", "tga"])
def test_an_image_that_is_too_large_is_told_and_skipped(tmp_path, ending):
    # Their headers say so, and nothing behind these may be looked at.
    if ending == "png":
        Image.new("1", (8, 8)).save(tmp_path / "large.png")
        content = bytearray((tmp_path / "large.png").read_bytes())
        content[16:24] = (30_000).to_bytes(4, "big") * 2
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
        (tmp_path / "large.png").write_bytes(content)
    else:
        (tmp_path / "large.tga").write_bytes(bytes([0, 0, 2, *[0] * 9, 0x30, 0x75, 0x30, 0x75, 24, 0]))
    image_with_red((20, 10, 60, 50)).save(tmp_path / "a.png")
    summary = detect_folder("model", tmp_path, tmp_path / "out", 0.5)
    assert summary.images == 1
    ((file, reason),) = summary.unreadable
    assert file == f"large.{ending}"
    assert "image_too_large" in reason
    assert "900000000" in reason or "30000 x 30000 pixels, over the limit of 134,217,728" in reason
