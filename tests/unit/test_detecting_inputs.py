"""What a command line or a list in the configuration stands for: which files, under which names."""

import os

import pytest
from PIL import Image

from odtl.detecting.inputs import Kind, find_inputs, kind_of
from odtl.errors import InputError
from odtl.listing import list_inputs


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Return a folder with images and a video in sub-folders, which is the current one."""
    for name in ("a/1.jpg", "a/sub/2.jpg", "b/1.jpg", "b/[x].jpg", "b/film.MP4", "b/notes.txt", "b/.hidden.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ("a", ["1.jpg", "sub/2.jpg"]),
        (["b"], ["1.jpg", "[x].jpg", "film.MP4"]),
        (["a", "b"], ["a/1.jpg", "a/sub/2.jpg", "b/1.jpg", "b/[x].jpg", "b/film.MP4"]),
        ("b/film.MP4", ["film.MP4"]),
        (["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["a/1.jpg", "a/sub/2.jpg"], ["1.jpg", "2.jpg"]),
        (["a/sub", "b/film.MP4"], ["film.MP4", "sub/2.jpg"]),
        ("*/1.jpg", ["a/1.jpg", "b/1.jpg"]),
        ("**/*.jpg", ["a/1.jpg", "a/sub/2.jpg", "b/1.jpg", "b/[x].jpg"]),
        ("a/*", ["1.jpg", "sub/2.jpg"]),
        ("b/[x].jpg", ["[x].jpg"]),
        (["a", "./a/1.jpg", "a/sub/../1.jpg"], ["a/1.jpg", "a/sub/2.jpg"]),
        (["a/*", "b/*.MP4"], ["a/1.jpg", "a/sub/2.jpg", "b/film.MP4"]),
        # Who names a file means it, whatever it is.
        ("b/notes.txt", ["notes.txt"]),
    ],
)
def test_names(tree, inputs, names):
    found = find_inputs(inputs)
    assert list(found) == names
    assert all(os.path.isfile(path) for path in found.values())


def test_all_that_is_not_there_is_told(tree):
    with pytest.raises(InputError) as error:
        find_inputs(["nowhere.jpg", "a", "x*.jpg"])
    assert "nowhere.jpg: path: found nothing there" in str(error.value)
    assert "x*.jpg: pattern: found nothing that it fits" in str(error.value)


def test_results_are_no_inputs(tree):
    (tree / "out/images").mkdir(parents=True)
    (tree / "out/images/1.jpg").write_bytes(b"")
    assert list(find_inputs(".", tree / "out")) == list(find_inputs(["a", "b"]))
    assert list(find_inputs("**/1.jpg", tree / "out")) == ["a/1.jpg", "b/1.jpg"]
    for given in ("out", "out/images/1.jpg", "out/images"):
        with pytest.raises(InputError, match="holds the images"):
            find_inputs(given, tree / "out")


def test_kinds(tmp_path):
    frames = [Image.new("RGB", (8, 8), (index * 50, 0, 0)) for index in range(3)]
    frames[0].save(tmp_path / "moving.dat", "GIF", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    kinds = {"moving.dat": Kind.GIF, "still.gif": Kind.IMAGE, "broken.gif": Kind.IMAGE, "a.Mov": Kind.VIDEO}
    for name, kind in {**kinds, "none.jpg": Kind.IMAGE}.items():
        assert kind_of(tmp_path / name) is kind, name


def test_videos_are_listed_for_the_workflow(tree):
    listed = list_inputs(["a/sub", "b"])
    assert [entry.name for entry in listed] == ["b/1.jpg", "b/[x].jpg", "b/film.MP4", "sub/2.jpg"]
    assert all(len(entry.sha256) == 64 for entry in listed)
    before = list_inputs(["b"], cache_path=tree / "cache/detect")
    (tree / "b/film.MP4").write_bytes(b"another")
    changed = set(list_inputs(["b"], cache_path=tree / "cache/detect")) - set(before)
    assert [entry.name for entry in changed] == ["film.MP4"]
