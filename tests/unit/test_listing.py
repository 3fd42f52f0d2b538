"""Which images a stage looks at."""

import hashlib
import json
import os

import pytest
from PIL import Image

from odtl.errors import InputError
from odtl.listing import Listed, list_folder, list_manifests, read_listing, spread, write_listing


def test_folder_lists_images_with_their_content(tmp_path):
    (tmp_path / "in/sub").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / 'in/sub/b, "c".jpg')
    Image.new("RGB", (4, 4)).save(tmp_path / "in/no_extension", format="PNG")
    (tmp_path / "in/notes.txt").write_text("x", encoding="utf-8")
    (tmp_path / "in/.hidden.jpg").write_bytes(b"x")
    listed = list_folder(tmp_path / "in")
    assert [entry.name for entry in listed] == ["no_extension", 'sub/b, "c".jpg']
    content = (tmp_path / "in/no_extension").read_bytes()
    assert listed[0].sha256 == hashlib.sha256(content).hexdigest()
    assert listed[0].path == (tmp_path / "in/no_extension").as_posix()


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        list_folder(tmp_path / "nowhere")


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
