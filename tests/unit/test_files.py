"""Files appear whole or not at all."""

import json
import os
import stat

import pytest

from odtl.files import (
    atomic_folder,
    atomic_open,
    open_regular,
    sha256_of,
    write_csv,
    write_json,
    write_text_if_changed,
)


def test_atomic_open_writes_all_or_nothing(tmp_path):
    target = tmp_path / "sub" / "a.txt"
    with atomic_open(target) as stream:
        stream.write("old\r\n")
    assert target.read_bytes() == b"old\r\n"
    with pytest.raises(RuntimeError), atomic_open(target) as stream:
        stream.write("new")
        raise RuntimeError
    assert target.read_bytes() == b"old\r\n"
    assert os.listdir(target.parent) == ["a.txt"]


def test_atomic_open_gives_the_usual_permissions(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x", encoding="utf-8")
    with atomic_open(tmp_path / "atomic", "wb") as stream:
        stream.write(b"x")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_atomic_open_takes_the_longest_file_name(tmp_path):
    name = "n" * 255
    with atomic_open(tmp_path / name) as stream:
        stream.write("x")
    assert (tmp_path / name).read_text(encoding="utf-8") == "x"


def test_atomic_folder_replaces_all_or_nothing(tmp_path):
    target = tmp_path / "folder"
    with atomic_folder(target) as folder:
        (folder / "old").write_text("x", encoding="utf-8")
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:
        (folder / "new").write_text("x", encoding="utf-8")
        raise RuntimeError
    assert os.listdir(target) == ["old"]
    with atomic_folder(target) as folder:
        (folder / "new").write_text("x", encoding="utf-8")
    assert os.listdir(target) == ["new"]
    assert os.listdir(tmp_path) == ["folder"]


def test_write_text_if_changed_leaves_equal_content_alone(tmp_path):
    target = tmp_path / "a.txt"
    assert write_text_if_changed(target, "a\n")
    os.utime(target, ns=(1, 1))
    assert not write_text_if_changed(target, "a\n")
    assert target.stat().st_mtime_ns == 1
    assert write_text_if_changed(target, "b\n")
    assert target.read_text(encoding="utf-8") == "b\n"


def test_sha256_of(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_json_is_readable_in_order_and_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"b": "ä", "a": [1.5]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "b": "ä",\n "a": [\n  1.5\n ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"b": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["a"] == [1.5]


def test_csv_has_its_header_even_without_rows(tmp_path):
    write_csv(tmp_path / "a.csv", ("x", "y"), [])
    assert (tmp_path / "a.csv").read_bytes() == b"x,y\n"
    write_csv(tmp_path / "a.csv", ("x", "y"), [{"y": 'a, "b"', "x": None}])
    assert (tmp_path / "a.csv").read_bytes() == b'x,y\n,"a, ""b"""\n'


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="not a regular file"):
            open_regular(path, "rb")
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfx\r\n")
    with open_regular(tmp_path / "a", encoding="utf-8-sig", newline="") as stream:
        assert stream.read() == "x\r\n"
