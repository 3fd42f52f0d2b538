"""Files appear whole or not at all."""

import os
import stat

import pytest

from odtl.files import atomic_folder, atomic_open, sha256_of, write_text_if_changed


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
