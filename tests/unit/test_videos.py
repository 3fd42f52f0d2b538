"""Videos and animated GIFs in and out: rate, size, number of frames and times stay, and damage is told."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from odtl.annotations import voc
from odtl.detecting.gifs import Gif
from odtl.detecting.run import Options, detect_inputs
from odtl.detecting.videos import Video, VideoWriter
from odtl.drawing import class_colour
from odtl.errors import InputError
from red import image_with_red, moving_red, read_film, rows_of, use_red_detector, write_film


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    return use_red_detector(monkeypatch)


def detect(tmp_path, **options):
    return detect_inputs("model", tmp_path / "in", tmp_path / "out", Options(0.5, **options))


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.MOV", "mp4v"), ("b.mp4", "vp09")]
)
def test_a_video_stays_one(tmp_path, inputs, name, codec):
    write_film(inputs / name, codec=codec)
    summary = detect(tmp_path)
    assert (summary.images, summary.videos, summary.frames, summary.detections) == (0, 1, 20, 20)
    rate, frames = read_film(tmp_path / "out/videos" / name.lower())
    assert rate == 12.5
    assert [frame.shape for frame in frames] == [(240, 320, 3)] * 20
    # The frame that is drawn moves with the box.
    for index in (0, 19):
        edge = frames[index][70, 20 + 4 * index : 22 + 4 * index].mean(axis=0)
        assert edge == pytest.approx(class_colour(1), abs=60), index
    rows = rows_of(tmp_path / "out/detections.csv")
    assert [(row["filename"], row["frame"], row["time"]) for row in rows] == [
        (name, str(index), f"{index * 0.08:.3f}") for index in range(20)
    ]
    edges = [[float(row[edge]) for edge in ("xmin", "ymin", "xmax", "ymax")] for row in rows]
    assert edges == pytest.approx(np.array([(20 + 4 * i, 60, 60 + 4 * i, 90) for i in range(20)]), abs=3)
    images = json.loads((tmp_path / "out/images_coco.json").read_text())["images"]
    assert images[3]["file_name"] == f"{name}/000003.jpg"
    assert (images[3]["video"], images[3]["frame"], images[3]["time"]) == (name, 3, 0.24)
    assert len({image["id"] for image in images}) == 20


def test_a_container_that_is_not_written_becomes_an_mp4(tmp_path, inputs):
    write_film(inputs / "a.mkv")
    detect(tmp_path)
    assert len(read_film(tmp_path / "out/videos/a.mkv.mp4")[1]) == 20


@pytest.mark.parametrize(("size", "written"), [((321, 241), (242, 322, 3)), ((1, 1), (2, 2, 3))])
def test_an_odd_size_grows_by_a_pixel(tmp_path, size, written):
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        for index in range(3):
            writer.write(np.asarray(moving_red(index, size)))
    assert [frame.shape for frame in read_film(tmp_path / "a.mp4")[1]] == [written] * 3


def test_two_pixels_are_a_video(tmp_path, inputs):
    write_film(inputs / "a.mp4", 3, (2, 2))
    detect(tmp_path)
    assert len(read_film(tmp_path / "out/videos/a.mp4")[1]) == 3


def test_a_video_in_a_folder_of_images(tmp_path, inputs):
    (inputs / "sub").mkdir()
    image_with_red((20, 10, 60, 50)).save(inputs / "z.png")
    write_film(inputs / "a.mp4", 2)
    write_film(inputs / "sub/a.mp4", 2)
    summary = detect(tmp_path)
    assert (summary.images, summary.videos, summary.frames) == (1, 2, 4)
    names = [row["filename"] for row in rows_of(tmp_path / "out/detections.csv")]
    assert names == ["z.png", "a.mp4", "a.mp4", "sub/a.mp4", "sub/a.mp4"]
    assert (tmp_path / "out/videos/sub/a.mp4").exists()


def test_frames_become_drafts(tmp_path, inputs):
    write_film(inputs / "a.mp4", 7)
    detect(tmp_path, every=3)
    drafts = tmp_path / "out/drafts/a.mp4"
    assert sorted(path.name for path in drafts.iterdir()) == [
        f"{frame:06d}.{ending}" for frame in (0, 3, 6) for ending in ("jpg", "xml")
    ]
    annotation = voc.read(drafts / "000003.xml")
    assert (annotation.filename, annotation.width, annotation.height) == ("000003.jpg", 320, 240)
    assert annotation.labels == ("red thing",)
    assert annotation.boxes[0] == pytest.approx((32, 60, 72, 90), abs=3)
    with Image.open(drafts / "000003.jpg") as image:
        # Nothing is drawn on it.
        assert image.getpixel((52, 75)) == pytest.approx((255, 0, 0), abs=30)
        assert image.getpixel((30, 75)) == pytest.approx((255, 255, 255), abs=60)


def cut(path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def test_a_video_that_ends_in_the_middle_is_detected_as_far_as_it_goes(tmp_path, inputs):
    write_film(inputs / "a.avi", 40, codec="MJPG")
    image_with_red((20, 10, 60, 50)).save(inputs / "b.png")
    cut(inputs / "a.avi", 0.6)
    summary = detect(tmp_path)
    rate, frames = read_film(tmp_path / "out/videos/a.avi")
    assert rate == 12.5
    assert 15 < len(frames) < 30
    assert summary.frames == len(frames)
    assert len(rows_of(tmp_path / "out/detections.csv")) == len(frames) + 1
    ((file, reason),) = summary.unreadable
    assert file == "a.avi"
    assert reason.startswith(f"unreadable from frame {len(frames)} (")
    assert reason.endswith("of 40: cut off or damaged")
    assert [row["filename"] for row in rows_of(tmp_path / "out/unreadable.csv")] == ["a.avi"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("cut", "index, which stands at the end, is missing"), (b"", "zero bytes"), (b"none", "index")],
)
def test_what_is_no_video_is_told_and_skipped(tmp_path, inputs, content, reason):
    write_film(inputs / "good.mp4", 2)
    write_film(inputs / "bad.mp4")
    if content == "cut":
        cut(inputs / "bad.mp4", 0.6)
    else:
        (inputs / "bad.mp4").write_bytes(content)
    summary = detect(tmp_path)
    assert [(file, reason in text) for file, text in summary.unreadable] == [("bad.mp4", True)]
    assert [path.name for path in (tmp_path / "out/videos").iterdir()] == ["good.mp4"]


def test_a_video_that_cannot_be_written_whole_is_an_error(tmp_path, inputs, monkeypatch):
    write_film(inputs / "a.mp4", 5)
    real = VideoWriter.write

    def forgetful(self, pixels):
        real(self, pixels)
        # As on a full disk: OpenCV says nothing.
        self._count += 1

    monkeypatch.setattr(VideoWriter, "write", forgetful)
    with pytest.raises(InputError, match="5 of 10 frames"):
        detect(tmp_path)
    assert not (tmp_path / "out").exists()


def test_an_error_of_the_detector_is_none_of_the_video(tmp_path, inputs, detector, monkeypatch):
    write_film(inputs / "a.mp4", 5)

    def fail(_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(type(detector), "detect", lambda self, batch: fail(batch))
    with pytest.raises(RuntimeError, match="out of memory"):
        detect(tmp_path)
    assert not (tmp_path / "out").exists()


def shown(path) -> list[tuple[int, Image.Image]]:
    """Return the pictures of a GIF as a viewer shows them, each with its milliseconds."""
    with Image.open(path) as image:
        pictures = []
        for index in range(image.n_frames):
            image.seek(index)
            pictures.append((image.info["duration"], image.convert("RGB")))
        return pictures


@pytest.mark.parametrize("loop", [None, 0, 3])
def test_a_gif_stays_one(tmp_path, inputs, loop):
    frames = [moving_red(index) for index in range(4)]
    times = [100, 250, 40, 1000]
    looping = {} if loop is None else {"loop": loop}
    frames[0].save(inputs / "a.gif", save_all=True, append_images=frames[1:], duration=times, **looping)
    summary = detect(tmp_path)
    assert (summary.images, summary.videos, summary.frames) == (0, 1, 4)
    written = shown(tmp_path / "out/videos/a.gif")
    assert [time for time, _ in written] == times
    for index, (_, picture) in enumerate(written):
        assert picture.size == (320, 240)
        # Nothing of the frame before is left, and what is drawn is on it.
        assert picture.getpixel((40 + 4 * index, 75)) == pytest.approx((255, 0, 0), abs=30)
        assert picture.getpixel((15, 75)) == pytest.approx((255, 255, 255), abs=10)
        assert picture.getpixel((20 + 4 * index, 75)) == pytest.approx(class_colour(1), abs=40)
    with Image.open(tmp_path / "out/videos/a.gif") as image:
        assert image.info.get("loop") == loop
    rows = rows_of(tmp_path / "out/detections.csv")
    assert [(row["frame"], row["time"]) for row in rows] == [
        ("0", "0.000"), ("1", "0.100"), ("2", "0.350"), ("3", "0.390"),
    ]  # fmt: skip


def test_what_a_frame_leaves_behind_is_seen(inputs, tmp_path):
    """A patch on a transparent frame: what disposal leaves of the one before it belongs to the picture."""
    ground = image_with_red((20, 10, 60, 50)).convert("RGBA")
    patch = Image.new("RGBA", ground.size, (0, 0, 0, 0))
    patch.paste((0, 0, 255, 255), (100, 10, 140, 50))
    for disposal, left in [(1, (255, 0, 0)), (2, (255, 255, 255))]:
        ground.save(inputs / "a.gif", save_all=True, append_images=[patch], duration=100, disposal=disposal)
        pictures = [frame.image for frame in Gif(inputs / "a.gif").frames()]
        assert pictures[1].getpixel((40, 30)) == pytest.approx(left, abs=10)
        assert pictures[1].getpixel((120, 30)) == pytest.approx((0, 0, 255), abs=10)
    ground.save(inputs / "a.gif", save_all=True, append_images=[patch], duration=100, disposal=1)
    detect(tmp_path)
    assert [row["frame"] for row in rows_of(tmp_path / "out/detections.csv")] == ["0", "1"]


def test_a_gif_of_one_frame_is_an_image(tmp_path, inputs):
    image_with_red((20, 10, 60, 50)).save(inputs / "a.gif")
    assert detect(tmp_path).images == 1
    assert (tmp_path / "out/images/a.gif.jpg").exists()


def test_a_gif_that_ends_in_the_middle(tmp_path, inputs):
    noise = np.random.default_rng(0)
    frames = [Image.fromarray(noise.integers(0, 255, (60, 80, 3), np.uint8)) for _ in range(4)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=100)
    (inputs / "a.gif").write_bytes(stream.getvalue()[: int(len(stream.getvalue()) * 0.6)])
    summary = detect(tmp_path)
    assert summary.frames == 2
    assert summary.unreadable == (("a.gif", "unreadable from frame 2 on: cut off or damaged"),)
    assert len(shown(tmp_path / "out/videos/a.gif")) == 2


def test_small_animations_are_enlarged_for_their_labels(tmp_path, inputs):
    write_film(inputs / "a.mp4", 2, (64, 96))
    detect(tmp_path)
    assert read_film(tmp_path / "out/videos/a.mp4")[1][0].shape == (288, 192, 3)
    (row, _) = rows_of(tmp_path / "out/detections.csv")
    assert (row["width"], row["height"]) == ("64", "96")


def test_times_are_those_of_the_file(inputs):
    write_film(inputs / "a.mp4", 3)
    with Video(inputs / "a.mp4") as video:
        assert [frame.time for frame in video.frames()] == pytest.approx([0, 0.08, 0.16])
        assert (video.stated, video.trouble) == (3, "")
