"""Which files a detector is tried on: named ones, those of folders and of patterns, each under a name of its own."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path

import PIL
from PIL import Image

from odtl.errors import InputError, Problem
from odtl.file_cache import FileCache, key_of, read_files

# Containers that FFmpeg reads and that hold a film by all experience; what is in them is decided when they are opened.
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
Inputs = str | os.PathLike | Sequence[str | os.PathLike]
# What one of these says of a file need not hold for another: Pillow decides what is an image.
_CACHE_VERSION = f"2, Pillow {PIL.__version__}"


class Kind(Enum):
    """What is done with a file: one picture is looked at, or one after another."""

    IMAGE = "image"
    GIF = "GIF"
    VIDEO = "video"


def is_video(name: str | os.PathLike) -> bool:
    """Say whether a file's name is that of a video."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def kind_of(path: str | os.PathLike) -> Kind:
    """Say what a file is: a video by its name, a GIF by its content, and animated if it has a second picture.

    Whatever cannot be opened here counts as an image: who reads it says what is wrong with it.
    """
    if is_video(path):
        return Kind.VIDEO
    try:
        # Pillow's own guess would look at any file for a dozen formats.
        with open(path, "rb") as stream:
            if stream.read(4) != b"GIF8":
                return Kind.IMAGE
        with Image.open(path, formats=["GIF"]) as image:
            return Kind.GIF if image.is_animated else Kind.IMAGE
    except Exception:
        return Kind.IMAGE


def find_inputs(
    inputs: Inputs, excluded: Path | None = None, cache_path: str | os.PathLike | None = None
) -> dict[str, Path]:
    """Return name -> path of all files that inputs stand for, sorted by name; each file once.

    inputs:     one or several of: a file, whatever it is; a folder, for all images and videos in it and in its
                sub-folders; a pattern with `*`, `?`, `[` and `**`, for the files and folders that it fits.
    excluded:   the folder that results are written to, whose files are none of them.
    cache_path: where to keep what the first bytes of files without a known ending said; None: nowhere.

    A name is a path with `/`. Of one input, it starts in that folder, or in the pattern's first folder without a
    special sign; of several, it starts with the name of that folder or file. Where that gives two files one name, all
    names start in the innermost folder that holds all inputs.
    Raises InputError with every input that is not there, every pattern that fits nothing, and every input that is the
    folder of the results or lies in it: that is replaced as a whole.
    """
    given = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    found: list[tuple[Path, Path]] = []
    problems: list[Problem] = []
    for each in given:
        places = _places(os.fspath(each), excluded and excluded.resolve())
        if isinstance(places, Problem):
            problems.append(places)
            continue
        base, paths = _absolute(places[0]), places[1]
        # A file that is an input itself needs no folder's name before its own.
        base = base.parent if len(given) > 1 and not Path(each).is_file() else base
        for path in paths:
            below = media_files(path, excluded, cache_path) if path.is_dir() else [""]
            found += [(base, path / name) for name in below]
    if problems:
        raise InputError(problems, "What is to be detected on cannot be taken")
    return dict(sorted(_named(found).items()))


def media_files(
    folder: Path, excluded: Path | None = None, cache_path: str | os.PathLike | None = None
) -> Iterator[str]:
    """Yield the relative paths, with `/`, sorted, of what may be an image or a video.

    Both by the name's ending, an image else by its first bytes. Hidden files and folders, and all below `excluded`, are
    left out. cache_path: where to keep what the first bytes said; None: nowhere.
    """
    Image.init()
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    suffixes |= set(VIDEO_SUFFIXES)
    files = list(_visible_files(folder, excluded and excluded.resolve()))
    opens = read_cached([path for path in files if path.suffix.lower() not in suffixes], _opens, cache_path)
    for path in files:
        if opens.get(os.fspath(path), True):
            yield path.relative_to(folder).as_posix()


def read_cached(
    paths: Iterable[Path], reader: Callable[[str, object], object], cache_path: str | os.PathLike | None
) -> dict[str, object]:
    """Return path -> what `reader` says of each file; of files that are as they were, what it said before."""
    files = [("image", os.fspath(path), key_of(path)) for path in paths]
    return read_files(files, {"image": reader}, FileCache(cache_path, _CACHE_VERSION, "images to detect"))


def _named(found: Sequence[tuple[Path, Path]]) -> dict[str, Path]:
    """Return name -> path of (absolute folder that the name starts in, path); see `find_inputs`."""
    # The same file by two ways is one; links to it count as files of their own, as they do in a folder.
    files = {_absolute(path): (base, path) for base, path in reversed(found)}
    names = {absolute.relative_to(base).as_posix(): path for absolute, (base, path) in files.items()}
    if len(names) < len(files):
        root = Path(os.path.commonpath([base for base, _ in files.values()]))
        names = {absolute.relative_to(root).as_posix(): path for absolute, (_, path) in files.items()}
    return names


def _places(given: str, excluded: Path | None) -> tuple[Path, list[Path]] | Problem:
    """Return (the folder that names start from, files and folders) of an input, or what is wrong with it."""
    path = Path(given)
    # A name with a bracket in it is that file, if there is one.
    if path.exists():
        if _lies_in(path, excluded):
            cure = "It is replaced as a whole, and would take the images with it: name another folder."
            return Problem(str(excluded), "output folder", f"a folder that holds the images, {given}", cure)
        return path if path.is_dir() else path.parent, [path]
    if glob.has_magic(given):
        found = [each for each in map(Path, sorted(glob.glob(given, recursive=True))) if not _lies_in(each, excluded)]
        # `**` yields folders beside the files in them; a pattern such as `photos/*` means its folders, too.
        files = [each for each in found if each.is_file() or (each.is_dir() and "**" not in given)]
        if files:
            return _static_part(path), files
        return Problem(
            given, "pattern", "nothing that it fits", "Name files, folders or a pattern such as 'a/**/*.jpg'."
        )
    return Problem(given, "path", "nothing there", "Name a file, a folder, or a pattern with `*` (`detect.images`).")


def _lies_in(path: Path, folder: Path | None) -> bool:
    return folder is not None and (path.resolve() == folder or folder in path.resolve().parents)


def _static_part(pattern: Path) -> Path:
    parts: list[str] = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def _absolute(path: Path) -> Path:
    # Without resolving links: a name is what the user sees.
    return Path(os.path.abspath(path))


def _visible_files(folder: Path, excluded: Path | None) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file() and not (excluded and excluded in path.resolve().parents):
            yield path


def _opens(path: str, _key: object) -> bool:
    try:
        with Image.open(path):
            return True
    # A damaged file can make a decoder raise nearly anything.
    except Exception:
        return False
