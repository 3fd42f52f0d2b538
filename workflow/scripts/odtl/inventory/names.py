"""The names of classes that annotations give as numbers: YOLO's data.yaml, classes.txt or obj.names."""

import os
from collections.abc import Sequence

from odtl.errors import InputError, Problem
from odtl.file_cache import key_of
from odtl.inventory.folders import File

# In this order: what training tools read first, then what LabelImg and darknet leave beside the annotations.
NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "predefined_classes.txt")


def find_names(
    configured: str | Sequence[str] | None, folders: Sequence[str], field: str, problems: list[Problem]
) -> tuple[tuple[str, ...] | None, File | None]:
    """Return the names, by number from 0, and the file that they are from.

    configured: the names themselves, or the path of the file; None: the first known file in one of the folders, or in
                a folder above one of them (two levels).
    """
    if configured is not None and not isinstance(configured, str):
        return tuple(configured), None
    path = configured or next((path for path in _candidates(folders) if os.path.isfile(path)), None)
    if path is None:
        cure = "Give `names`: the path of data.yaml, classes.txt or obj.names, or the names as a list, in their order."
        problems.append(Problem("config", field, "no names for the numbers of the classes", cure))
        return None, None
    from odtl.annotations import yolo_names

    path = os.path.normpath(path)
    try:
        return tuple(yolo_names.read_names(path)), (os.path.basename(path), path, key_of(path))
    except InputError as error:
        problems.extend(error.problems)
        return None, None


def _candidates(folders: Sequence[str]) -> list[str]:
    levels = [os.path.normpath(os.path.join(folder, up)) for up in (".", "..", "../..") for folder in folders]
    return [os.path.join(level, name) for level in dict.fromkeys(levels) for name in NAME_FILES]
