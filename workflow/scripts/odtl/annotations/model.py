"""What annotations say of images, as written: the types that every format is read into."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from odtl.errors import Problem


@dataclass(frozen=True)
class Origin:
    """Where an image that is not a file yet can be had.

    url:     an http or https address, "s3://{bucket}/{key}" for an object in a bucket (see `buckets.object_url`), or
             "tfrecord:{path}#{number}" for one that lies in a record.
    licence: as stated with it, "" if nothing is.
    source:  the page, provider or data set that it is from, "" if nothing is stated.
    sha256:  of its bytes, if that is known before it is fetched: else "".
    label:   what it was looked for as, "" if nothing is stated. It is of the whole image, and no box.
    etag:    of an object in a bucket, when the bucket was listed: another one is another image; else "".
    """

    url: str
    licence: str = ""
    source: str = ""
    sha256: str = ""
    label: str = ""
    etag: str = ""


class Annotation(NamedTuple):
    """What one annotation says of one image, as written: nothing is repaired here.

    No data class: hundreds of thousands are made in a first run, and these are made several times faster.

    file:       the file it was read from.
    filename:   the image it says it belongs to, as written (may hold a folder or a Windows path), or None.
    width, height: the image size in pixels as stated, or None where missing or not a positive whole number.
    boxes:      one (xmin, ymin, xmax, ymax) per object, as written; NaN for a value that is no number. In pixels, or
                as shares (0 to 1) of the image's width and height where `normalised`.
    labels:     one label per object, stripped of outer white space.
    difficult, truncated: one flag per object.
    crowd:      one flag per object, or () where none is a crowd: a box around many objects that are not told apart.
    normalised: see `boxes`.
    upward:     whether y counts upwards from the image's lower edge, as in the oldest exports of Labelbox: ymin is then
                the lower edge of a box.
    split:      train, val or test where the annotation itself says so, else None.
    origin:     where the image can be had if it is no file in the source's folder.
    """

    file: str
    filename: str | None = None
    width: int | None = None
    height: int | None = None
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    labels: tuple[str, ...] = ()
    difficult: tuple[bool, ...] = ()
    truncated: tuple[bool, ...] = ()
    crowd: tuple[bool, ...] = ()
    normalised: bool = False
    upward: bool = False
    split: str | None = None
    origin: Origin | None = None


@dataclass(frozen=True)
class TableProblem:
    """What is wrong with one entry of a file that annotates many images, or with one image's entries together.

    filename: the image it concerns, as written, or "" where the entry does not tell.
    reason:   the ledger's reason: a key of `repairs.STATUS_OF`.
    """

    filename: str
    reason: str
    problem: Problem


@dataclass(frozen=True)
class Table:
    """What a file that annotates many images holds.

    annotations: one for each image, by file name as written (or by address where it has no name), in the order of the
                 file. An image that is listed as holding no object has an Annotation without boxes: a negative. One
                 that nobody has looked at yet has none.
    problems:    what could not be used, or not as it stands.
    """

    annotations: Mapping[str, Annotation] = field(default_factory=dict)
    problems: tuple[TableProblem, ...] = ()
