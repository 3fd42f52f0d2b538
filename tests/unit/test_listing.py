"""Which images a stage looks at."""

import hashlib
import json
import os
import time

import pytest
from PIL import Image

from odtl import file_cache, listing
from odtl.errors import InputError
from odtl.listing import Listed, list_inputs, list_manifests, read_listing, spread, write_listing


def test_folder_lists_images_with_their_content(tmp_path):
    (tmp_path / "in/sub").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / 'in/sub/b, "c".jpg')
    Image.new("RGB", (4, 4)).save(tmp_path / "in/no_extension", format="PNG")
    (tmp_path / "in/notes.txt").write_text("x", encoding="utf-8")
    (tmp_path / "in/.hidden.jpg").write_bytes(b"x")
    listed = list_inputs(tmp_path / "in")
    assert [entry.name for entry in listed] == ["no_extension", 'sub/b, "c".jpg']
    content = (tmp_path / "in/no_extension").read_bytes()
    assert listed[0].sha256 == hashlib.sha256(content).hexdigest()
    assert listed[0].path == (tmp_path / "in/no_extension").as_posix()


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        list_inputs(tmp_path / "nowhere")


@pytest.fixture
def reads(monkeypatch):
    """Record which files are read, be it for their digest or for whether they are images."""
    seen = []

    def recorder(read):
        def record(path, *args):
            seen.append(os.path.basename(path))
            return read(path, *args)

        return record

    monkeypatch.setattr(listing, "sha256_of", recorder(listing.sha256_of))
    monkeypatch.setattr(Image, "open", recorder(Image.open))
    return seen


def test_only_new_and_changed_files_are_read_again(tmp_path, reads, monkeypatch):
    monkeypatch.setattr(file_cache, "YOUNG_NS", 0)
    folder, cache = tmp_path / "in", tmp_path / "cache/detect"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "no_extension"):
        Image.new("RGB", (4, 4)).save(folder / name, format="PNG")
    (folder / "notes.txt").write_text("x", encoding="utf-8")

    def listed():
        reads.clear()
        # The clock of files is coarser than ours.
        time.sleep(0.02)
        return list_inputs(folder, None, cache)

    first = listed()
    assert first == list_inputs(folder)
    assert listed() == first and reads == []
    Image.new("RGB", (5, 4)).save(folder / "b.jpg", format="PNG")
    (folder / "notes.txt").write_text("y", encoding="utf-8")
    second = listed()
    assert sorted(reads) == ["b.jpg", "notes.txt"]
    assert {entry.name for entry in set(second) - set(first)} == {"b.jpg"}
    assert second[1].sha256 == hashlib.sha256((folder / "b.jpg").read_bytes()).hexdigest()
    Image.new("RGB", (4, 4)).save(folder / "notes.txt", format="PNG")
    assert [entry.name for entry in listed()] == ["a.jpg", "b.jpg", "no_extension", "notes.txt"]
    assert reads.count("notes.txt") == 2 and "a.jpg" not in reads


def test_young_files_are_not_trusted(tmp_path, reads):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    first = list_inputs(tmp_path, None, tmp_path / ".cache")
    reads.clear()
    assert list_inputs(tmp_path, None, tmp_path / ".cache") == first and reads == ["a.jpg"]


def test_unreadable_image_is_listed_without_digest(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"x")

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(listing, "sha256_of", refuse)
    assert list_inputs(tmp_path) == [Listed("a.jpg", (tmp_path / "a.jpg").as_posix(), "")]


def test_manifests_list_what_has_an_image_in_order_of_id(tmp_path):
    def line(image_id, image):
        entry = {"id": image_id, "image": image, "sha256": image and "0", "group": "", "annotation": None}
        return json.dumps({**entry, "problems": []}) + "\n"

    (tmp_path / "a").write_text(line("z.jpg", "d/z.jpg") + line("lost.jpg", None), encoding="utf-8")
    (tmp_path / "b").write_text(line("c.jpg", "d/c.jpg"), encoding="utf-8")
    listed = list_manifests([tmp_path / "a", tmp_path / "b"])
    assert listed == [Listed("c.jpg", "d/c.jpg", "0"), Listed("z.jpg", "d/z.jpg", "0")]


def test_listing_is_read_as_written_and_left_alone_where_equal(tmp_path):
    entries = [Listed('a, "b".jpg', "d/a.jpg", "0"), Listed("ü\n.jpg", "d/ü.jpg", "1")]
    write_listing(entries, tmp_path / "list.csv")
    os.utime(tmp_path / "list.csv", ns=(1, 1))
    write_listing(entries, tmp_path / "list.csv")
    assert (tmp_path / "list.csv").stat().st_mtime_ns == 1
    assert read_listing(tmp_path / "list.csv") == {'a, "b".jpg': "d/a.jpg", "ü\n.jpg": "d/ü.jpg"}
    write_listing([Listed('a, "b".jpg', "d/a.jpg", "2"), entries[1]], tmp_path / "list.csv")
    assert (tmp_path / "list.csv").stat().st_mtime_ns != 1


def test_spread_takes_from_everywhere():
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert spread(range(3), 5) == [0, 1, 2]
    assert spread(range(3), None) == [0, 1, 2]


def test_listing_is_made_only_under_a_new_mark_or_where_the_file_was_touched(tmp_path):
    path, cache, made = tmp_path / "out/list.csv", tmp_path / "cache", []

    def refresh(mark, *names):
        def make():
            made.append(mark)
            return [Listed(name, f"in/{name}", "0") for name in names]

        listing.refresh_listing(path, mark, make, cache)
        return list(read_listing(path))

    assert refresh([None, ["x"]], "a") == ["a"]
    assert refresh([None, ["x"]], "b") == ["a"] and len(made) == 1
    assert refresh([5, ["x"]], "b") == ["b"] and len(made) == 2
    path.write_text("name,path,sha256\n", encoding="utf-8")
    assert refresh([5, ["x"]], "b") == ["b"] and len(made) == 3
    path.unlink()
    assert refresh([5, ["x"]], "b") == ["b"] and len(made) == 4
