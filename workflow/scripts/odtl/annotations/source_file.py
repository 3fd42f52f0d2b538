"""An annotation's file as bytes, and the error for one that cannot be read."""

import os
import stat

from odtl.errors import InputError, Problem


def read_bytes(path: str, max_bytes: int) -> bytes:
    """Return all bytes of a regular file.

    Raises InputError for one that cannot be opened, is no regular file, or is larger than `max_bytes`.
    """
    try:
        # Without a wait: opening a pipe would last until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise FileNotFoundError("no such file, or not a regular file")
            if status.st_size > max_bytes:
                found = f"more than {max_bytes // 2**20} MB"
                raise unreadable(path, "file", found, "One annotation per image is expected.")
            return _all_of(descriptor, status.st_size)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise unreadable(path, "file", str(error), "Make the file readable, or remove it.") from error


def unreadable(path: str, field: str, found: str, cure: str) -> InputError:
    """Return the error that says what is wrong with a file so that nothing of it can be used."""
    return InputError(Problem(path, field, found, cure), "an annotation cannot be read")


def _all_of(descriptor: int, size: int) -> bytes:
    # One call is enough but for files that others write to meanwhile, and some network file systems.
    data = os.read(descriptor, size)
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data
