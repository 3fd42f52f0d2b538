"""Detecting in a folder: every input is accounted for, in its own place. The detector here is a rule, not a model."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from odtl import inference
from odtl.detector import Detector
from odtl.drawing import class_colour
from odtl.errors import InputError
from odtl.inference import detect_folder, output_names, read_upright


def find_red(batch: np.ndarray) -> dict[str, np.ndarray]:
    """Detect the extent of what is red, as class 1 with score 0.75, and the whole image as class 2 with score 0.25."""
    boxes, scores = [], []
    for image in batch.astype(int):
        height, width = image.shape[:2]
        ys, xs = np.nonzero((image[..., 0] > 150) & (image[..., 1] < 100))
        red = (
            [ys.min() / height, xs.min() / width, (ys.max() + 1) / height, (xs.max() + 1) / width]
            if ys.size
            else [0] * 4
        )
        boxes.append([red, [0, 0, 1, 1]])
        scores.append([0.75 if ys.size else 0, 0.25])
    count = len(batch)
    return {
        "detection_boxes": np.array(boxes, np.float32),
        "detection_scores": np.array(scores, np.float32),
        "detection_classes": np.array([[1, 2]] * count, np.float32),
        "num_detections": np.array([2] * count, np.float32),
    }


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    detector = Detector({1: "red thing", 2: "all"}, "test", find_red)
    monkeypatch.setattr(inference.Detector, "load", classmethod(lambda *_: detector))
    return detector


def image_with_red(box, size=(200, 100)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    image.paste((255, 0, 0), box)
    return image


def rows_of(path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


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
        "xmin": "20.00", "ymin": "10.00", "xmax": "60.00", "ymax": "50.00",
    }  # fmt: skip
    written = sorted(path.relative_to(output / "images").as_posix() for path in (output / "images").rglob("*.*"))
    assert written == ["one/same name.jpg", "one/same name.webp.jpg", "same name.jpg", "two/same name.jpg"]
    assert (summary.images, summary.detections) == (4, 4)
    assert [file for file, _ in summary.unreadable] == ["damaged.png"]
    (skipped,) = rows_of(output / "unreadable.csv")
    assert (skipped["filename"], skipped["reason"]) == (
        "damaged.png",
        "UnidentifiedImageError: cannot identify image file",
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
    assert (tmp_path / "out/detections.csv").read_text() == "filename,width,height,class,score,xmin,ymin,xmax,ymax\n"
    assert (tmp_path / "out/unreadable.csv").read_text() == "filename,reason\n"
    assert (tmp_path / "out/images/a.png.jpg").exists()


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
