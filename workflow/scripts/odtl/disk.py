"""What the file system refuses - no space, no permission - told so that a person can act on it."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from odtl.errors import InputError, Problem

# Bytes; with less, any job may fail.
_LITTLE = 64 * 1024
_SPACE = "Free some space there (`df -h` tells how much there is), then run again: what is whole is kept."
_QUOTA = "Free some of your quota there (`quota` tells how much there is), then run again: what is whole is kept."
_RIGHTS = "See that it may be read and written by you, or work in another folder, then run again."
CURES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _QUOTA,
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: "The disk, or the network to it, fails: look into that, then run again.",
}


def problem_of(error: BaseException) -> Problem | None:
    """Return what a file system refused, if that is what an error or one of its causes comes from; else None.

    TensorFlow's errors have no error number: they are known by the system's own words in them.
    """
    for cause in _causes(error):
        number = cause.errno if isinstance(cause, OSError) else _number(str(cause))
        if number in CURES:
            return Problem(_file(cause, os.strerror(number)), "disk", os.strerror(number).lower(), CURES[number])
    return None


def check_writable(folder: str | os.PathLike) -> None:
    """Raise InputError unless a file can be made and filled in `folder`, which is made if it is not there."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable.", suffix=".tmp") as stream:
            stream.write(bytes(4096))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        if problem := problem_of(error):
            where = Problem(os.fspath(folder), problem.field, problem.found, problem.cure)
            raise InputError(where, "Nothing can be written") from error
        raise


def full(folder: str | os.PathLike) -> Problem | None:
    """Return the problem of a disk that is as good as full, where others told the error; else None."""
    free = shutil.disk_usage(folder).free
    if free >= _LITTLE:
        return None
    return Problem(os.fspath(folder), "disk", f"{os.strerror(errno.ENOSPC).lower()} ({free} bytes)", _SPACE)


def _file(error: BaseException, words: str) -> str:
    # A copy names what it reads first, and that is hardly what the disk has no space for.
    for name in (getattr(error, "filename2", None), getattr(error, "filename", None)):
        if isinstance(name, str | bytes | os.PathLike):
            return os.fsdecode(name)
    # TensorFlow: "{{node}} path; No space left on device [Op:SaveV2]".
    before = re.sub(r"\{\{.*?\}\}", "", str(error).partition(words)[0]).strip(" ;\n")
    return before if before and not before.startswith("[Errno") else "a file that the system does not name"


def _number(text: str) -> int | None:
    return next((number for number in CURES if os.strerror(number) in text), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
