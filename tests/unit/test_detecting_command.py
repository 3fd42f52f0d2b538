"""The command: what its words mean, how it ends, and what it says on the way."""

import argparse
import io

import pytest

from odtl.detecting import command
from odtl.detecting.telling import Progress, Summary, tell
from red import image_with_red, rows_of, use_red_detector, write_film


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    return use_red_detector(monkeypatch)


@pytest.fixture
def detect(tmp_path):
    """Return the command on a folder with an image, which ends with what it returns."""
    (tmp_path / "in").mkdir()
    image_with_red((20, 10, 60, 50)).save(tmp_path / "in/a.png")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)

    def run(*words: str, inputs: str = "in") -> int:
        arguments = ["model", str(tmp_path / inputs), "--output", str(tmp_path / "out"), *words]
        return command.run(parser.parse_args(arguments))

    return run


def test_exit_codes(tmp_path, detect, capsys):
    assert detect() == 0
    (tmp_path / "in/b.jpg").write_bytes(b"<html>")
    assert detect() == command.SOME_UNREADABLE == 3
    assert "Skipped, cannot be read: b.jpg: ImageError: image_not_an_image: an HTML page" in capsys.readouterr().err
    assert detect("--allow-unreadable") == 0
    assert [row["filename"] for row in rows_of(tmp_path / "out/unreadable.csv")] == ["b.jpg"]
    assert detect(inputs="nowhere") == 1
    assert detect("--class-threshold", "rad thing=0.5") == 1
    assert "Did you mean `red thing`?" in capsys.readouterr().err
    assert detect("--tile", "10") == 1
    # What was there before stays where nothing is written.
    assert (tmp_path / "out/detections.csv").exists()


def test_options_reach_the_detector(tmp_path, detect):
    write_film(tmp_path / "in/film.mp4", 4)
    words = ["--score-threshold", "0.9", "--class-threshold", "red thing=0.6", "--class-threshold", "all=0.1"]
    assert detect(*words, "--every", "2", "--batch-size", "3", "--tile", "100", "--overlap", "0.5") == 0
    rows = rows_of(tmp_path / "out/detections.csv")
    assert {row["class"] for row in rows} == {"red thing", "all"}
    assert len(list((tmp_path / "out/drafts/film.mp4").glob("*.xml"))) == 2
    image_with_red((20, 10, 60, 50)).save(tmp_path / "in/b.png")
    assert detect("--no-drafts", "--max-images", "1") == 0
    assert {row["filename"] for row in rows_of(tmp_path / "out/detections.csv")} == {"a.png", "film.mp4"}
    assert list((tmp_path / "out/drafts").iterdir()) == []


@pytest.mark.parametrize(
    "words", [["--class-threshold", "mug"], ["--class-threshold", "=0.5"], ["--batch-size", "0"], ["--every", "x"]]
)
def test_words_that_mean_nothing_are_refused(detect, words, capsys):
    with pytest.raises(SystemExit) as error:
        detect(*words)
    assert error.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_name_of_a_class_may_hold_an_equals_sign(detect, capsys):
    assert detect("--class-threshold", "a=b=0.5") == 1
    assert "'a=b'. The model has no such class." in capsys.readouterr().err


def test_progress_is_a_line_now_and_then():
    stream, times = io.StringIO(), iter(range(0, 1000, 4))
    progress = Progress(10, stream, lambda: next(times))
    progress.grow(2)
    for _ in range(6):
        progress.step()
    progress.close()
    assert stream.getvalue().splitlines() == [
        "Detecting: 3 of 12 images, 0.2 a second",
        "Detecting: 6 of 12 images, 0.2 a second",
    ]


def test_progress_is_a_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress(2, stream)
    progress.step()
    progress.step()
    progress.close()
    assert "Detecting: 100%" in stream.getvalue() and "2/2" in stream.getvalue()


def test_what_is_told_at_the_end():
    stream = io.StringIO()
    tell(Summary(4, 7, (("b.jpg", "damaged"),), 50, 2, 2.0, 4.0), "0.5", stream)
    assert stream.getvalue().splitlines() == [
        "7 detection(s) with a score of at least 0.5 in 4 image(s) (2.0 images a second) and 50 frame(s) of 2 video(s) "
        "(12.5 frames a second).",
        "Skipped, cannot be read: b.jpg: damaged",
    ]
