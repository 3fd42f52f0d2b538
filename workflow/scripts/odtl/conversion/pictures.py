"""The images of a converted data set: upright, RGB, 8 bits - the picture that the boxes belong to.

Readers differ in what they do about the EXIF orientation: OpenCV turns a picture upright, Pillow and TensorFlow do not,
and some take the size from one and the pixels from another. So an image that is not upright 8-bit RGB already is
written as the records have it. All others are symbolic links to your files, or copies. Hard links they are not: each
would alter a file's ctime, by which the scan knows that it has not changed, and have all images read again.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from odtl import images
from odtl.conversion.labelled import LabelledImage
from odtl.errors import InputError, Problem

_ENDINGS = {"jpeg": (".jpg", ".jpeg"), "png": (".png",)}
_LONGEST_NAME = 200
_DIGITS = 8
# Some tools write a JPEG anew in its place if it does not end so, which must not happen to the file of a source.
_END_OF_JPEG = b"\xff\xd9"


def place_images(
    found: Iterable[LabelledImage],
    folder: Path,
    link: bool,
    label_of: Callable[[str], Path] | None = None,
    flat: bool = False,
) -> Iterator[tuple[LabelledImage, str]]:
    """Put images into a folder, one at a time; yield each with its path there, with "/".

    link:     whether links are wanted, where the file system has them, to files that need no change.
    label_of: given that path, where the file with the image's labels belongs; it is made, empty, so that no two images
              have the same. None: nowhere.
    flat:     no folders in the folder: "a/b.jpg" is called "a_b.jpg".

    The path is the image's id, with the ending that its bytes call for. If that is taken (a.png and a.jpg have the same
    labels, A.jpg and a.jpg are the same file for some systems), digits of a digest of the id are put in.
    Raises InputError with every image that is not what its boxes were made from.
    """
    problems = []
    for image in found:
        try:
            data = images.read_listed(image.first.image, image.first.sha256)
            encoded, kind, *size = images.to_record_bytes(data, images.probe(data, whole=False))
            if tuple(size) != (image.first.width, image.first.height):
                raise images.ImageError("image_damaged", f"{size[0]} x {size[1]} pixels")
        except images.ImageError as error:
            cure = "It is not what it was when the boxes were checked: run again."
            problems.append(Problem(image.first.image, "image", error.found, cure))
            continue
        if not problems:
            linked = image.first.image if link and encoded is data and _ends_well(data, kind) else None
            yield image, place(names_of(image.id, kind, flat), folder, encoded, linked, label_of)
    if problems:
        raise InputError(problems, f"{len(problems)} image(s) changed while the workflow ran")


def names_of(image_id: str, kind: str, flat: bool) -> Iterator[str]:
    """Yield what an image may be called: as its id says, then with digits of a digest of that."""
    path = PurePosixPath(image_id)
    if path.is_absolute() or ".." in path.parts or "\0" in image_id:
        cure = "Name the source in the configuration, so that its images have other ids."
        raise InputError(Problem(image_id, "id", "a path that leaves the folder", cure))
    folder, name = ("", "_".join(path.parts)) if flat else (path.parent.as_posix(), path.name)
    stem, ending = os.path.splitext(name)
    if ending.lower() not in _ENDINGS[kind]:
        # What is no ending of an image belongs to the name: "photo.v2".
        stem, ending = (stem if ending.lower() in images.EXTENSIONS else name), _ENDINGS[kind][0]
    digits = hashlib.sha256(image_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    short = stem.encode("utf-8", "replace")[: _LONGEST_NAME - len(ending)].decode("utf-8", "ignore")
    prefix = f"{folder}/" if folder not in ("", ".") else ""
    if len((stem + ending).encode("utf-8", "replace")) <= _LONGEST_NAME:
        yield f"{prefix}{stem}{ending}"
    yield f"{prefix}{short}-{digits}{ending}"


def place(
    names: Iterator[str], folder: Path, data: bytes, linked: str | None, label_of: Callable[[str], Path] | None
) -> str:
    """Put one image into a folder, under the first of the names that is free, and return that.

    names: as `names_of` yields them. data: the file's bytes. linked: a file that holds just these, to link to where
    links are possible; None: a copy. label_of: see `place_images`.
    """
    for name in names:
        target, label = folder / name, label_of(name) if label_of else None
        if os.path.lexists(target):
            continue
        if label is not None:
            label.parent.mkdir(parents=True, exist_ok=True)
            try:
                label.touch(exist_ok=False)
            except FileExistsError:
                continue
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, data, linked)
        return name
    raise AssertionError(f"two images have the same id and digest: {name}")


def _write(target: Path, data: bytes, linked: str | None) -> None:
    if linked is not None:
        # Some file systems have no links.
        with suppress(OSError):
            os.symlink(os.path.realpath(linked), target)
            return
    target.write_bytes(data)


def _ends_well(data: bytes, kind: str) -> bool:
    return kind != "jpeg" or data.endswith(_END_OF_JPEG)
