"""What the files of results are called: as what they were made from, and no two alike on any system."""

import hashlib
import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

# In bytes, on nearly every file system.
_LONGEST_NAME = 255
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe")
# Containers that are written; what comes in another one is written as the first.
VIDEO_CONTAINERS = (".mp4", ".avi", ".mov")


def output_names(files: Sequence[str]) -> dict[str, str]:
    """Return input -> name of the JPEG, all different, also where case and the way of writing accents do not count.

    files: relative paths with `/`, all different. A JPEG keeps its name (`.jpg` for `.JPG` and `.jpeg`); to any other
    name `.jpg` is added, so that `a.png` and `a.jpg` do not collide. One that gets too long is cut.
    """
    return _names(files, dict.fromkeys(files, (".jpg", _JPEG_SUFFIXES)))


def video_names(files: Sequence[str]) -> dict[str, str]:
    """Return input -> name of the film or animation that is made of it, all different as those of `output_names`.

    An MP4, AVI, MOV or GIF keeps its name, with its ending in small letters; to any other name `.mp4` is added.
    """
    endings = {}
    for file in files:
        suffix = os.path.splitext(file)[1].lower()
        ending = suffix if suffix in (*VIDEO_CONTAINERS, ".gif") else VIDEO_CONTAINERS[0]
        endings[file] = ending, (ending,)
    return _names(files, endings)


def _names(files: Sequence[str], endings: dict[str, tuple[str, Sequence[str]]]) -> dict[str, str]:
    """Return input -> name; endings: what each one's name must end in, and the suffixes that this stands in for."""
    names, taken = {}, set()

    def folded(name: str) -> str:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())

    # Those that keep their name come first: a name must not depend on what else is in the folder.
    for file in sorted(files, key=lambda file: (not file.endswith(endings[file][0]), file)):
        ending, own = endings[file]
        stem, suffix = os.path.splitext(file)
        stem = _cut(stem if suffix.lower() in own else file, file, ending)
        name, number = f"{stem}{ending}", 2
        while folded(name) in taken:
            name, number = f"{stem}-{number}{ending}", number + 1
        names[file] = name
        taken.add(folded(name))
    return names


def _cut(stem: str, file: str, ending: str) -> str:
    """Return a stem to which the ending can be added, and a number before it if the name was not the file's own."""
    folder, name = os.path.split(stem)
    encoded = os.fsencode(name)
    longest = _LONGEST_NAME if f"{stem}{ending}" == file else _LONGEST_NAME - 12
    if len(encoded) + len(ending) <= longest:
        return stem
    digest = hashlib.sha256(os.fsencode(file)).hexdigest()[:8]
    # A letter of several bytes may be cut in the middle.
    kept = encoded[: _LONGEST_NAME - 40].decode("utf-8", "ignore")
    return os.path.join(folder, f"{kept}-{digest}")


def frame_name(file: str, frame: int) -> str:
    """Return what one frame of a video or GIF is called: in a folder of the video's name, by its number from 0."""
    return f"{Path(file).as_posix()}/{frame:06d}.jpg"


def class_name(names: Mapping[int, str], class_id: int) -> str:
    """Return the name of a class; one that the label map does not have is told by its id."""
    return names.get(int(class_id), f"class {class_id}")
