"""What the file system refuses is told in a line, with what to do."""

import errno
import os

import pytest

from odtl import disk
from odtl.errors import InputError
from odtl.files import atomic_open


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_refusal_is_told_with_its_file_and_a_cure(number):
    problem = disk.problem_of(OSError(number, os.strerror(number), "results/boxes/a.csv"))
    assert problem.file == "results/boxes/a.csv"
    assert problem.found == os.strerror(number).lower()
    assert "run again" in problem.cure


def test_refusal_is_found_beneath_other_errors():
    try:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a")
        except OSError as error:
            raise ValueError("could not save") from error
    except ValueError as error:
        assert disk.problem_of(error).file == "a"


def test_tensorflow_error_is_known_by_its_words():
    error = RuntimeError("{{function_node a_b}} results/a/ckpt.tempstate1; No space left on device [Op:SaveV2]")
    assert disk.problem_of(error).file == "results/a/ckpt.tempstate1"


def test_of_a_copy_the_new_file_is_named():
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "from", None, "to")
    assert disk.problem_of(error).file == "to"


def test_file_that_nobody_names_is_told_as_such():
    assert "does not name" in disk.problem_of(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))).file


@pytest.mark.parametrize("error", [ValueError("loss is not a number"), FileNotFoundError(2, "no such file", "a")])
def test_other_errors_are_none_of_its_business(error):
    assert disk.problem_of(error) is None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full: Linux only")
def test_file_that_the_disk_had_no_space_for_is_named(tmp_path, monkeypatch):
    real = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda descriptor, *args, **options: real(_to_full(descriptor), *args, **options))
    with pytest.raises(OSError) as caught, atomic_open(tmp_path / "a.csv") as stream:
        stream.write("text")
    assert disk.problem_of(caught.value).file == str(tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def _to_full(descriptor: int) -> int:
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, descriptor)
    os.close(full)
    return descriptor


def test_writable_folder_is_left_as_it_was(tmp_path):
    disk.check_writable(tmp_path / "results")
    assert list((tmp_path / "results").iterdir()) == []


def test_unwritable_folder_is_named(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path / ".writable.x.tmp"))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    with pytest.raises(InputError, match="results: disk: found read-only file system"):
        disk.check_writable("results")


def test_a_disk_with_room_is_not_called_full_and_one_without_is(tmp_path, monkeypatch):
    assert disk.full(tmp_path) is None
    monkeypatch.setattr(disk, "_LITTLE", 2**62)
    problem = disk.full(tmp_path)
    assert problem.file == str(tmp_path)
    assert problem.found.startswith("no space left on device (")
    assert "run again" in problem.cure
