"""Sidecars say what is in a file, and tell when it is something else."""

import pytest

from odtl import sidecars
from odtl.errors import InputError


@pytest.fixture
def pair(tmp_path):
    file, sidecar = tmp_path / "a.bin", tmp_path / "a.json"
    file.write_bytes(b"abc")
    sidecars.write_sidecar(sidecar, {"records": file}, images=2, boxes=1)
    return file, sidecar


def test_text_is_the_same_for_the_same_content(pair, tmp_path):
    assert pair[1].read_text() == (
        '{\n "boxes": 1,\n "files": {\n  "records": {\n   "bytes": 3,\n   "sha256": '
        '"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"\n  }\n },\n "images": 2\n}\n'
    )


def test_what_is_as_recorded_passes(pair):
    sidecars.check_content([pair], "records")
    sidecars.check_sizes([pair], "records")
    assert sidecars.recorded_sha256(pair[1], "records").startswith("ba7816bf")


def test_other_content_is_told_with_each_file(pair, tmp_path):
    pair[0].write_bytes(b"abd")
    sidecars.check_sizes([pair], "records")
    with pytest.raises(InputError, match=r"2 file\(s\) are not what their sidecars say") as error:
        sidecars.check_content([pair, pair], "records")
    assert error.value.problems[0].file == str(pair[0])


def test_other_size_is_told(pair):
    pair[0].write_bytes(b"abcd")
    with pytest.raises(InputError, match="bytes 4, recorded as 3"):
        sidecars.check_sizes([pair], "records")
