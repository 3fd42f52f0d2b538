"""Damaged annotations and images: what is made of valid ones, and what reading one of them may end in.

As a program, it damages and reads for some seconds, within limits of memory and time, and tells how many inputs it
tried:

    python tests/property/fuzzing.py KIND SECONDS SEED
"""

import contextlib
import importlib
import io
import json
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import voc_xml
from odtl import cleaning, images, label_map
from odtl.annotations import tfrecord, yolo_names
from odtl.duplicates import groups_file
from odtl.errors import InputError, Problem
from odtl.images import ImageInfo
from odtl.inventory import reading
from odtl.inventory.claims import Claim, file_claim, table_claims
from odtl.inventory.classes import Classifier
from odtl.inventory.entries import image_entry
from odtl.inventory.lists import SplitLists
from odtl.manifest import parse_line
from odtl.repairs import STATUS_OF
from odtl.tf_example import frame, serialize

_MODULES = ("voc", "cvat", "csv_table", "yolo", "coco", "labelbox", "cloud_annotations", "label_studio")
# No input may need more than these; pictures may have 2**27 pixels.
SECONDS_EACH = 20
MEMORY = 3 * 2**30
_INFOS = (ImageInfo("JPEG", 64, 48), ImageInfo("JPEG", 48, 64, orientation=6))
_MOST_LINES = 20
_LABELS = ({}, {"classes": ["Cup", *(f"class {number}" for number in range(100))], "aliases": {"leaf": "class 1"}})


@dataclass(frozen=True)
class Target:
    """Something that reads files: `read` gets a path, `seeds` are files it reads, `tokens` what may stand in them."""

    name: str
    read: Callable[[str], object]
    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...]


# What is done to a file: (what, where as a share of its length, how many bytes, which token or byte).
Damage = tuple[str, float, int, int]
KINDS = ("flip", "set", "cut", "truncate", "repeat", "many", "token", "move")


def damaged(content: bytes, damages: Sequence[Damage], tokens: Sequence[bytes]) -> bytes:
    """Return what is left of a file's content."""
    for kind, place, length, choice in damages:
        at = int(place * len(content))
        before, piece, after = content[:at], content[at : at + length], content[at + length :]
        match kind:
            case "flip" if piece:
                content = before + bytes([piece[0] ^ (1 << choice % 8)]) + content[at + 1 :]
            case "set":
                content = before + bytes([choice % 256]) + content[at + 1 :]
            case "cut":
                content = before + after
            case "truncate":
                content = before
            case "repeat":
                content = before + piece + piece + after
            case "many":
                content = before + piece * (1 + choice % 3000) + after
            case "token":
                content = before + tokens[choice % len(tokens)] + content[at + choice % 2 * length :]
            case "move":
                content = before + after[:length] + piece + after[length:]
        content = content[: 2**22]
    return content


def attempt(target: Target, content: bytes, folder: str) -> None:
    """Read a file with that content; anything but a result, InputError or ImageError is raised, and TooSlowError."""
    path = os.path.join(folder, target.name)
    Path(path).write_bytes(content)
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(SECONDS_EACH)
    try:
        with contextlib.suppress(InputError, images.ImageError):
            target.read(path)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def annotation_of_one(kind: str) -> Callable[[str], None]:
    """Return a function that takes a file for one image from the disk to a line, and its boxes into an image."""

    def read(path: str) -> None:
        value = reading.READERS[kind](path, None)
        name = os.path.basename(path)
        check_line(file_claim((name, path, None), None, value, ("cup", "leaf") if kind == "yolo" else None))

    return read


def annotations_of_many(kind: str) -> Callable[[str], None]:
    """Return the same for a file about many images."""

    def read(path: str) -> None:
        table = reading.read_table(kind, path)
        claims, loose = table_claims((os.path.basename(path), path, None), None, table, True)
        for claim in claims[:_MOST_LINES]:
            check_line(claim)
        assert all(problem["reason"] in STATUS_OF for _, problem in loose)

    return read


def check_line(claim: Claim) -> None:
    """Take an annotation through all that happens to it before it meets its image, and lay it on two images.

    Once with every label a class, and once with a fixed list.
    """
    for labels in _LABELS:
        _check_line(claim, Classifier(labels))


def _check_line(claim: Claim, classify: Classifier) -> None:
    entry = image_entry("a.jpg", "a.jpg", "0" * 64, claim, (), classify, None)
    text = json.dumps({**entry.line, "id": "a.jpg", "group": "a.jpg"}).encode("utf-8")
    line = parse_line(text.decode("utf-8"))
    assert all(problem.reason in STATUS_OF for problem in line.problems)
    if line.annotation is None:
        return
    for info in _INFOS:
        rows, _ = cleaning.clean(line, info)
        for row in rows:
            if row.xmin is not None:
                assert 0 <= row.xmin < row.xmax <= row.width and 0 <= row.ymin < row.ymax <= row.height, row


def read_names(path: str) -> None:
    """Read the names of classes."""
    names = yolo_names.read_names(path)
    assert all(isinstance(name, str) for name in names)


def read_lists(path: str) -> None:
    """Read a list of the images of a split."""
    problems: list[Problem] = []
    lists = SplitLists.read([("train", (os.path.basename(path), path, None))], "data.sources[0].split_lists", problems)
    for found in list(lists.entries.values())[:_MOST_LINES]:
        assert lists.split_of(f"{found[0][0]}.jpg") in ("train", None)


def read_groups(path: str) -> None:
    """Read the groups that keep images together."""
    # What it read last is kept by path and digest.
    groups = groups_file.read_groups(path, groups_file.digest_of(path))
    assert all(image and group.name for image, group in groups.items())


def read_label_map(path: str) -> None:
    """Read a label map, and write it as it was read."""
    found = label_map.read_label_map(path)
    assert label_map.parse(label_map.format(found), path) == found


def read_image(path: str) -> None:
    """Look at an image, and make what a record holds of it."""
    data = images.read_bytes(path)
    info = images.probe(data)
    encoded, _, width, height = images.to_record_bytes(data, info)
    assert encoded and width > 0 and height > 0


def reframed(path: str) -> None:
    """Read records whose messages are damaged, but not their checksums: the file's lines are such messages."""
    content = Path(path).read_bytes()
    Path(path).write_bytes(b"".join(map(frame, content.split(b"\n---\n"))))
    annotations_of_many("tfrecord")(path)
    for annotation in tfrecord.read(path).annotations.values():
        if annotation.origin is not None:
            assert tfrecord.read_image(annotation.origin.url)


def _pictures() -> Iterator[bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = Image.fromarray(noise[..., :3])
    yield from (
        _saved(plain, "JPEG", exif=exif),
        _saved(plain, "JPEG", progressive=True),
        _saved(plain.convert("CMYK"), "JPEG"),
        _saved(plain.convert("L"), "JPEG"),
        _saved(plain, "PNG", exif=exif),
        _saved(Image.fromarray(noise), "PNG"),
        _saved(plain.quantize(8), "PNG"),
        _saved(Image.fromarray(noise[..., 0].astype(np.uint16) * 257), "PNG"),
        _saved(plain.quantize(8), "GIF", save_all=True, append_images=[plain.rotate(180).quantize(8)]),
        _saved(plain, "BMP"),
        _saved(plain, "WEBP", lossless=True),
        _saved(plain, "WEBP"),
        *(_saved(plain, "TIFF", compression=name) for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
    )


def _saved(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _example(**more) -> bytes:
    sides = {f"image/object/bbox/{side}": [0.25, 0.5] for side in ("xmin", "ymin", "xmax", "ymax")}
    names = {"image/filename": [b"a.jpg"], "image/encoded": [b"picture"], "image/height": [48], "image/width": [64]}
    return serialize({**sides, **names, "image/object/class/text": [b"cup", b"leaf"], **more})


_NUMBERS = (
    *(b"9" * 400, b"-1", b"1e309", b"-1e-309", b"nan", b"inf", b"0x10", b"1_0", b"0", b"2147483648", b"4e9", b"0.1"),
)
_TEXTS = (b"\xff\xfe", b"\0", "é".encode(), b"\xed\xa0\x80", b"a" * 5000, b" ", b"\r", b"\n", b"../", b"\\", b"%00")
_OF_XML = (
    *(b"<object>", b"</object>", b"<bndbox>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"&#0;", b"<![CDATA[", b"]]>"),
    *(b"<a>" * 300, b"<image name='x'>", b"</image>", b"<box/>", b" points='1,2;3'", b" rotation='1e300'"),
    *(b"<skeleton>", b"<track>", b"<!--", b"<?xml version='1.1' encoding='utf-16'?>", b" xmlns:a='b'", b"<a:box/>"),
)
_OF_CSV = (b'"', b",", b",,,,,,,,,,", b"\n\n", b"split", b"url", b"http://x/y", b"train", b"filename")
_OF_YAML = (
    *(
        b"- ",
        b"? ",
        b"[" * 200,
        b"{" * 200,
        b"&a ",
        b"*a",
        b"!!python/name:os.system ",
        b"<<: ",
        b"names:",
        b"\t",
        b"|",
    ),
)
_OF_PROTO = (
    *(b"\xff" * 10, b"\x0a\x00", b"\x12\x7f", struct.pack("<f", float("nan")), struct.pack("<Q", 2**63), b"\n---\n"),
)
_CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
<image id="0" name="a b.jpg" width="64" height="48" subset="Train">
<box label="cup" xtl="1" ytl="2" xbr="30.5" ybr="40" rotation="45"><attribute name="difficult">1</attribute></box>
<polygon label="leaf" points="1,2;30,4;9,40"/><polyline points="1,2"/><ellipse label="x" cx="9" cy="9" rx="3" ry="2"/>
<mask label="y" rle="1,2" left="1" top="2" width="3" height="4"/></image><image name="b.jpg"/></annotations>
"""
_TABLE = (
    "filename,width,height,class,xmin,ymin,xmax,ymax,difficult,split,url,license\n"
    'a.jpg,64,48,cup,1,2,30,40,0,train,http://x/a.jpg,CC0\n"b, c.jpg",64,48,leaf,1,2,3,4,1,test,,\nd.jpg,,,,,,,,,,,\n'
)
_ADDRESSES = b"url,class,license,source,split\nhttp://x/a.jpg,cup,CC0,http://x,train\nhttps://x/b.png?c=1,,,,\n"
_YOLO = b"0 0.5 0.5 0.25 0.25\n1 0.1 0.2 0.3 0.4 0.9\n1 0.1 0.1 0.5 0.2 0.3 0.9\n"
_LIST = b"d/a.jpg\nimages/train/b c.jpg\n\xc3\xa9.png\n\n"
_OF_LISTS = (b'"', b",", b"train", b"val\n", b"image", b"group", b"\n\n", *_TEXTS)
_OF_MAP = (b"item {", b"}", b"{" * 300, b"id: 1", b"name: 'x'", b'display_name: "\\n\\377"', b"#", b"'", b"\\")
_LABEL_MAP = b"item {\n  id: 1\n  name: 'cup'\n}\nitem {\n  name: \"l\\\"eaf\"\n  id: 2 # no\n  display_name: 'x'\n}\n"
_YAML = b"path: ../d\ntrain: images/train\nval:\n  - a\n  - b\nnc: 2\nnames:\n  0: cup\n  1: 'leaf'\n"

_OF_JSON = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b'"',
        b"\\ud800",
        b":",
    ),
    *(b'"bbox": [1, 2]', b'"segmentation": {"size": [9e9, 9e9], "counts": "11"}', b'"counts": [1, 99999999999]', b", "),
    *(
        b'"id": [1]',
        b'"file_name": "http://x/y"',
        b"POLYGON ((1 2, 3 4))",
        b"MULTIPOLYGON (((",
        b'{"x": 1, "y": 2}',
        b"{}",
    ),
)
_COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48, "coco_url": "http://x/a.jpg"}, {"id": 2}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3.5, 4], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": [[1, 2, 30, 4, 5, 40]]},
        {
            "id": 3,
            "image_id": 1,
            "category_id": 1,
            "segmentation": {"size": [48, 64], "counts": [5, 9, 20]},
            "iscrowd": 1,
        },
        {"id": 4, "image_id": 1, "category_id": 1, "segmentation": {"size": [48, 64], "counts": "52203"}},
    ],
    "categories": [{"id": 1, "name": "cup"}],
}
_LABELBOX = [
    {
        "ID": "x",
        "External ID": "a.jpg",
        "Labeled Data": "https://x/a.jpg",
        "Label": {
            "cup": [{"geometry": [{"x": 1, "y": 2}, {"x": 30, "y": 40}]}],
            "leaf": "POLYGON ((1 2, 3 4, 5 9, 1 2))",
        },
    },
    {"Labeled Data": "https://x/b.jpg", "Label": "Skip"},
]
_DATA_ROW = {
    "data_row": {"id": "x", "external_id": "a.jpg", "row_data": "https://x/a.jpg"},
    "media_attributes": {"width": 64, "height": 48},
    "projects": {
        "p": {
            "labels": [
                {
                    "annotations": {
                        "objects": [
                            {"name": "cup", "bounding_box": {"top": 1, "left": 2, "height": 3, "width": 4}},
                            {"name": "leaf", "polygon": [{"x": 1, "y": 2}, {"x": 3, "y": 4}, {"x": 5, "y": 6}]},
                        ]
                    }
                }
            ]
        }
    },
}
_CLOUD = {
    "version": "1.0",
    "type": "localization",
    "labels": ["cup"],
    "annotations": {"a.jpg": [{"x": 0.1, "y": 0.2, "x2": 0.5, "y2": 0.7, "label": "cup"}], "b.jpg": []},
}
_TASKS = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/a.jpg"},
        "annotations": [
            {
                "result": [
                    {
                        "type": "rectanglelabels",
                        "original_width": 64,
                        "original_height": 48,
                        "value": {"x": 1, "y": 2, "width": 30, "height": 40, "rotation": 9, "rectanglelabels": ["cup"]},
                    }
                ]
            }
        ],
    }
]


def _as_json(*documents: object) -> bytes:
    return b"\n".join(json.dumps(document).encode() for document in documents)


TARGETS = {
    target.name: target
    for target in (
        Target(
            "voc",
            annotation_of_one("voc"),
            (voc_xml("a.jpg", (64, 48), [("cup", (1, 2, 30, 40)), ("leaf", (5, 6, 7, 8))]).encode(),),
            (*_OF_XML, *_NUMBERS, *_TEXTS),
        ),
        Target("cvat", annotations_of_many("cvat"), (_CVAT.encode(),), (*_OF_XML, *_NUMBERS, *_TEXTS)),
        Target("csv", annotations_of_many("csv"), (_TABLE.encode(),), (*_OF_CSV, *_NUMBERS, *_TEXTS)),
        Target("urls", annotations_of_many("urls"), (_ADDRESSES,), (*_OF_CSV, *_NUMBERS, *_TEXTS)),
        Target("yolo", annotation_of_one("yolo"), (_YOLO,), (*_NUMBERS, *_TEXTS)),
        Target("data.yaml", read_names, (_YAML, b"names: [cup, leaf]\n"), (*_OF_YAML, *_NUMBERS, *_TEXTS)),
        Target("classes.txt", read_names, (b"cup\nleaf\n",), _TEXTS),
        Target(
            "tfrecord",
            annotations_of_many("tfrecord"),
            (frame(_example()) + frame(_example(**{"image/object/difficult": [0, 1]})),),
            _OF_PROTO,
        ),
        Target("messages", reframed, (_example(), _example() + b"\n---\n" + _example()), (*_OF_PROTO, *_TEXTS)),
        *(
            Target(f"{kind}.json", annotations_of_many(kind), seeds, (*_OF_JSON, *_NUMBERS, *_TEXTS))
            for kind, seeds in (
                ("coco", (_as_json(_COCO),)),
                ("labelbox", (_as_json(_LABELBOX), _as_json(_DATA_ROW, _DATA_ROW))),
                ("cloud_annotations", (_as_json(_CLOUD),)),
                ("label_studio", (_as_json(_TASKS),)),
            )
        ),
        Target("train.txt", read_lists, (_LIST, b"d/a.jpg 1\nd/b c.jpg -1\n"), (b" 1", b" -1", *_NUMBERS, *_TEXTS)),
        Target("groups.csv", read_groups, (b'image,group,split\na.jpg,g1,train\n"b, c.jpg",g1,train\n',), _OF_LISTS),
        Target("label_map.pbtxt", read_label_map, (_LABEL_MAP,), (*_OF_MAP, *_NUMBERS, *_TEXTS)),
        Target("image", read_image, tuple(_pictures()), (*_OF_PROTO, *_TEXTS)),
    )
}


def random_damages(generator: random.Random) -> list[Damage]:
    """Return one to six damages, most of them small."""
    return [
        (generator.choice(KINDS), generator.random(), int(2 ** generator.uniform(0, 8)), generator.randrange(2**16))
        for _ in range(generator.randint(1, 6))
    ]


class TooSlowError(Exception):
    """An input has taken more time than any may."""


def main(kind: str, seconds: float, seed: int) -> None:
    """Damage and read for some seconds; what fails is left in a file, which is named."""
    target, generator = TARGETS[kind], random.Random(seed)
    # All that is needed is loaded before memory is limited.
    for module in ("odtl.annotations." + name for name in _MODULES):
        importlib.import_module(module)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    until, count = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < until:
            content = damaged(generator.choice(target.seeds), random_damages(generator), target.tokens)
            try:
                attempt(target, content, folder)
            except BaseException:
                kept = Path(tempfile.gettempdir()) / f"fuzz-{kind}-{seed}-{count}"
                kept.write_bytes(content)
                print(f"{kind}: input {count} fails; it is kept in {kept}", file=sys.stderr)
                raise
            count += 1
    print(count)


def _too_slow(*_: object) -> None:
    raise TooSlowError(f"more than {SECONDS_EACH} s for one input")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
