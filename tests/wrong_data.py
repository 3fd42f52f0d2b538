"""A data set with everything in it that real data gets wrong, each thing once, and what must become of it.

Every usable image shows one white box on dark ground; what is labelled `disc` must be just there in the end, whatever
was turned, scaled, renamed or converted. Boxes are (xmin, ymin, xmax, ymax) in pixels.
"""

import csv
import io
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import voc_xml

SIZE = (64, 48)
BOX = (10, 8, 30, 28)
BOX_TEXT = "10,8,30,28"
CLASSES = ["disc", "square", "traffic light"]
# 251 letters and ".jpg": as long as a name may be. Its XML is as long.
LONG = "n" * 251

# Where BOX is once the picture is upright, by EXIF orientation.
UPRIGHT = {
    1: BOX,
    2: (34, 8, 54, 28),
    3: (34, 20, 54, 40),
    4: (10, 20, 30, 40),
    5: (8, 10, 28, 30),
    6: (20, 10, 40, 30),
    7: (20, 34, 40, 54),
    8: (8, 34, 28, 54),
}

# Image id, reason, field, before, after: what of a row of the ledger can be said in advance.
Row = tuple[str, str, str, str, str]


def picture(box: tuple[int, int, int, int] = BOX) -> Image.Image:
    """Return a dark picture of 64 x 48 pixels with a white box."""
    image = Image.new("RGB", SIZE, (40, 40, 40))
    image.paste((255, 255, 255), box)
    return image


def encode(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    """Return an image file's bytes."""
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}) | options)
    return stream.getvalue()


def with_orientation(value: int) -> bytes:
    """Return the picture as a JPEG whose EXIF data state an orientation, whatever it is."""
    exif = Image.Exif()
    exif[0x0112] = value
    return encode(picture(), exif=exif.tobytes())


def bomb() -> bytes:
    """Return a PNG that says to be 60,000 pixels wide and high."""
    data = bytearray(encode(picture(), "PNG"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def cut_inside() -> bytes:
    """Return a JPEG that lacks its lower half, but not its end marker."""
    data = encode(Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)))
    return data[: len(data) // 2].rstrip(b"\xff") + b"\xff\xd9"


def transparent() -> bytes:
    """Return a PNG whose box is a hole: on white it is white."""
    image = picture().convert("RGBA")
    image.paste((0, 0, 0, 0), BOX)
    return encode(image, "PNG")


class _Folder:
    """Writes images and XML files, and keeps what the ledger must say of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.count = 0
        path.mkdir(parents=True)

    def add(self, name: str, *rows: tuple[str, str, str, str], **parts) -> None:
        """Add an image with its XML; rows: (reason, field, before, after).

        parts: `image` (bytes; None: no such file), `xml` (text, bytes or None), or `objects` and `size` for one.
        """
        stem = os.path.splitext(name)[0]
        image = parts.get("image", encode(picture()))
        if image is not None:
            (self.path / name).write_bytes(image)
        objects, size = parts.get("objects", [("disc", BOX)]), parts.get("size", SIZE)
        xml = parts.get("xml", voc_xml(parts.get("filename", name), size, objects))
        if xml is not None:
            (self.path / f"{stem}.xml").write_bytes(xml if isinstance(xml, bytes) else xml.encode())
        self.rows += [(name, *row) for row in rows]
        self.count += 1


def make(folder: Path) -> tuple[list[dict], list[Row], int]:
    """Write the data set; return its sources for the configuration, the rows of the ledger, and the images in."""
    voc = _Folder(folder / "images")
    for part in (_sizes, _boxes, _labels, _orientations, _formats, _damages, _names, _annotations):
        part(voc)
    sources = [{"format": "voc", "images": "images", "split": "by_hash"}]
    rows, count = voc.rows, voc.count
    for part in (_csv, _coco, _cvat):
        source, more, images = part(folder)
        sources.append(source)
        rows, count = rows + more, count + images
    return sources, rows, count


def _sizes(add: _Folder) -> None:
    no_size = (
        voc_xml("size_none.jpg", SIZE, [("disc", BOX)]).replace("<size>", "<sizes>").replace("</size>", "</sizes>")
    )
    add.add("size_none.jpg", ("size_missing", "size", "? x ?", "64 x 48"), xml=no_size)
    add.add("size_zero.jpg", ("size_missing", "size", "? x ?", "64 x 48"), size=(0, 0))
    add.add("size_half.jpg", ("size_missing", "size", "64 x ?", "64 x 48"), size=(64, 0))
    twice = tuple(2 * edge for edge in BOX)
    add.add(
        "size_scaled.jpg", ("size_scaled", "size", "128 x 96", "64 x 48"), size=(128, 96), objects=[("disc", twice)]
    )
    add.add("size_wrong.jpg", ("size_wrong", "size", "100 x 48", "64 x 48"), size=(100, 48))


def _boxes(add: _Folder) -> None:
    good = ("disc", BOX)
    for name, box, reason, after in [
        ("outside", (70, 10, 90, 20), "box_outside", ""),
        ("empty", (10, 10, 10, 20), "box_empty", ""),
        ("inverted", (30, 40, 10, 20), "box_inverted", "10,20,30,40"),
        ("clipped", (-5, 10, 30, 60), "box_clipped", "0,10,30,48"),
        ("nan", ("nan", 1, 20, 20), "box_not_a_number", ""),
    ]:
        before = ",".join(map(str, box))
        add.add(f"box_{name}.jpg", (reason, "box 2", before, after), objects=[good, ("square", box)])
    add.add("box_fraction.jpg", objects=[good, ("square", (1.5, 2.25, 20.75, 30))])
    add.add("box_none.jpg", objects=[])


def _labels(add: _Folder) -> None:
    spelling, typo = ("label_spelling", "box 1"), ("label_unknown", "box 2", "sqare", "")
    add.add("label_case.jpg", (*spelling, "DISC", "disc"), objects=[("DISC", BOX)])
    add.add("label_spaces.jpg", (*spelling, "Traffic_Light", "traffic light"), objects=[("Traffic_Light", BOX)])
    add.add("label_outer.jpg", objects=[("  disc\n", BOX)])
    add.add("label_empty.jpg", ("label_empty", "box 2", "", ""), objects=[("disc", BOX), ("", BOX)])
    add.add("label_typo.jpg", typo, objects=[("disc", BOX), ("sqare", BOX)])
    nothing_left = ("label_unknown", "box 1", "cow", ""), ("all_boxes_unusable", "", "", "")
    add.add("label_other.jpg", *nothing_left, objects=[("cow", BOX)])


def _orientations(add: _Folder) -> None:
    for value in range(1, 9):
        known = ("exif_turned", "EXIF orientation") if value >= 5 else ("exif_ambiguous", "size")
        rows = [(*known, f"EXIF orientation {value}", "EXIF orientation 1")] if value > 1 else []
        # Where the stated size does not tell, the boxes count as drawn on what viewers show.
        drawn = BOX if value >= 5 else UPRIGHT[value]
        add.add(f"exif_{value}.jpg", *rows, image=with_orientation(value), objects=[("disc", drawn)])
    for value in (0, 9, 65535):
        row = ("exif_invalid", "image", f"EXIF orientation {value}", "EXIF orientation 1")
        add.add(f"exif_{value}.jpg", row, image=with_orientation(value))
    unreadable = ("exif_invalid", "image", "EXIF data that cannot be read (SyntaxError)", "EXIF orientation 1")
    add.add("exif_garbage.jpg", unreadable, image=encode(picture(), exif=b"Exif\0\0XX*\0garbage"))


def _formats(add: _Folder) -> None:
    named, converted = ("image_wrong_extension", "image", "", ""), ("image_converted", "image")
    add.add("png.jpg", named, image=encode(picture(), "PNG"))
    for kind, what in (("WEBP", "WEBP"), ("BMP", "BMP"), ("GIF", "palette GIF"), ("TIFF", "TIFF")):
        data = encode(picture(), kind, **({"lossless": True} if kind == "WEBP" else {}))
        add.add(f"{kind.lower()}.jpg", named, (*converted, what, "8-bit RGB PNG"), image=data)
    gray, sixteen = picture().convert("L"), np.asarray(picture().convert("L")).astype(np.uint16) << 8
    inverted = encode(Image.fromarray(255 - np.asarray(picture().convert("CMYK")), "CMYK"))
    place = inverted.index(b"\xff\xee")
    plain = inverted[:place] + inverted[place + 2 + struct.unpack(">H", inverted[place + 2 : place + 4])[0] :]
    frames = {"save_all": True, "append_images": [Image.new("RGB", SIZE)]}
    for name, data, before, after in [
        ("gray.jpg", encode(gray), "grayscale JPEG", "JPEG"),
        ("cmyk.jpg", encode(picture().convert("CMYK")), "CMYK JPEG", "JPEG"),
        ("cmyk_plain.jpg", plain, "CMYK JPEG", "JPEG"),
        ("bits.png", encode(Image.fromarray(sixteen), "PNG"), "16-bit I;16 PNG", "PNG"),
        ("bits.tif", encode(Image.fromarray(sixteen), "TIFF"), "16-bit I;16 TIFF", "PNG"),
        ("one_bit.png", encode(gray.convert("1", dither=Image.Dither.NONE), "PNG"), "black and white PNG", "PNG"),
        ("palette.png", encode(picture().quantize(4), "PNG"), "palette PNG", "PNG"),
        ("alpha.png", transparent(), "transparent PNG", "PNG"),
        ("gray_alpha.png", encode(gray.convert("LA"), "PNG"), "grayscale transparent PNG", "PNG"),
        ("animated.gif", encode(picture(), "GIF", **frames), "animated palette GIF", "PNG"),
        ("animated.png", encode(picture(), "PNG", **frames), "animated PNG", "PNG"),
        ("animated.webp", encode(picture(), "WEBP", lossless=True, **frames), "animated WEBP", "PNG"),
    ]:
        stem, extension = os.path.splitext(name)
        add.add(f"{stem}_{extension[1:]}{extension}", (*converted, before, f"8-bit RGB {after}"), image=data)
    add.add("jfif.jfif")
    add.add("noext", named)
    add.add("lost_noext", ("unlabelled", "", "", ""), xml=None)
    add.add("phone.heic", ("image_not_an_image", "image", "", ""), image=b"\0\0\0\x18ftypheic" + bytes(64))
    real = encode(Image.fromarray(np.ones((48, 64), np.float32)), "TIFF")
    add.add("real.tif", ("image_unsupported", "image", "", ""), image=real)


def _damages(add: _Folder) -> None:
    add.add("html.jpg", ("image_not_an_image", "image", "", ""), image=b"<!DOCTYPE html><html>Not found</html>")
    add.add("zero.jpg", ("image_empty", "image", "", ""), image=b"")
    add.add("bomb.png", ("image_too_large", "image", "", ""), image=bomb())
    add.add("truncated.jpg", ("image_damaged", "image", "", ""), image=encode(picture())[:400])
    add.add("inside.jpg", ("image_damaged", "image", "", ""), image=cut_inside())
    add.add("dangling.jpg", ("image_unreadable", "image", "", ""), image=None)
    (add.path / "dangling.jpg").symlink_to("nowhere.jpg")


def _names(add: _Folder) -> None:
    names = ["UPPER.JPG", "a space.jpg", "hash#1.jpg", "percent%20.jpg", "{brace}.jpg", "größe.jpg", "日本語.jpg"]
    names += ["decompose\u0301.jpg", "quote'\".jpg", "line\nbreak.jpg", "comma,.jpg", "two.dots.jpg", f"{LONG}.jpg"]
    for name in names:
        add.add(name)
    # One name on some file systems; two images with a box each, on this one.
    add.add("Case.jpg", image=encode(picture((2, 2, 12, 12))), objects=[("disc", (2, 2, 12, 12))])
    add.add("case.jpg")
    add.add("other.jpg", ("filename_of_another", "filename", "", ""), filename="exif_1.jpg")
    add.add("stale.jpg", filename="as_it_was_called.jpg")
    add.add("whispered.jpg", ("matched_by_filename", "filename", "", ""), xml=None)
    (add.path / "WHISPERED.xml").write_text(voc_xml("WHISPERED.JPG", SIZE, [("disc", BOX)]), encoding="utf-8")
    for name, stated in (("bare", "bare"), ("windows", "C:\\Users\\me\\images\\windows.jpg")):
        add.add(f"{name}.jpg", ("matched_by_filename", "filename", "", ""), xml=None)
        (add.path / f"renamed_{name}.xml").write_text(voc_xml(stated, SIZE, [("disc", BOX)]), encoding="utf-8")


def _annotations(add: _Folder) -> None:
    add.add("unlabelled.jpg", ("unlabelled", "", "", ""), xml=None)
    add.add("lost.jpg", ("image_missing", "file", "", ""), image=None)
    unreadable: dict[str, str | bytes] = {
        "malformed": "<annotation><object>",
        "encoding": voc_xml("größe.jpg", SIZE, []).encode("latin-1"),
        "no_xml": "",
        "other_xml": "<html/>",
    }
    fields = {
        "malformed": "line 1, column 21",
        "encoding": "line 1, column 48",
        "no_xml": "file",
        "other_xml": "root element",
    }
    for name, content in unreadable.items():
        add.add(f"{name}.jpg", ("annotation_unreadable", fields[name], "", ""), xml=content)
    expanding = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10 if n else 'ha'}'>" for n in range(12))
    for name, declaration in (("laughs", expanding), ("external", "<!ENTITY e11 SYSTEM 'file:///etc/passwd'>")):
        xml = f"<!DOCTYPE a [{declaration}]><annotation><filename>&e11;</filename></annotation>"
        add.add(f"{name}.jpg", ("annotation_unsafe", "DOCTYPE", "", ""), xml=xml)
    ambiguous = ("annotation_ambiguous", "file name", "", "")
    add.add("twin.jpg", ambiguous, filename="neither.jpg")
    add.add("twin.png", ambiguous, image=encode(picture(), "PNG"), filename="neither.jpg")


def _csv(folder: Path) -> tuple[dict, list[Row], int]:
    """Return source, rows and number of images of a table with a row too long, one without name, one without image."""
    (folder / "tabled").mkdir()
    for name in ("a.jpg", "b.png", "negative.jpg", "sizes.jpg", "free.jpg"):
        (folder / "tabled" / name).write_bytes(encode(picture(), "PNG" if name.endswith("png") else "JPEG"))
    header = ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
    rows = [
        header,
        ["a.jpg", *SIZE, "disc", *BOX],
        ["b.jpg", *SIZE, "disc", *BOX],
        ["negative.jpg", *SIZE, *[""] * 5],
        ["", *SIZE, "disc", *BOX],
        ["a.jpg", *SIZE, "disc", *BOX, "more"],
        ["lost.jpg", *SIZE, "disc", *BOX],
        ["sizes.jpg", *SIZE, "disc", *BOX],
        ["sizes.jpg", 10, 10, "disc", *BOX],
    ]
    with open(folder / "table.csv", "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    found = [
        ("table/b.png", "matched_by_filename", "filename", "", ""),
        ("table/table.csv, row 5", "row_unreadable", "row 5", "", ""),
        ("table/table.csv, row 6", "row_unreadable", "row 6", "", ""),
        ("table/lost.jpg", "image_missing", "file", "", ""),
        ("table/sizes.jpg", "annotation_ambiguous", "row 9, width and height", "", ""),
        ("table/free.jpg", "unlabelled", "", "", ""),
    ]
    source = {"name": "table", "format": "csv", "images": "tabled", "annotations": "table.csv", "split": "by_hash"}
    return source, found, 5 + 3


def _coco(folder: Path) -> tuple[dict, list[Row], int]:
    """Return source, rows and number of images of a COCO file with a record of an image that is not there."""
    (folder / "listed").mkdir()
    (folder / "listed/a.jpg").write_bytes(encode(picture()))
    x, y, right, bottom = BOX
    content = {
        "images": [
            {"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for number, name in enumerate(("a.jpg", "lost.jpg"))
        ],
        "categories": [{"id": 7, "name": "disc"}],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 7, "bbox": [x, y, right - x, bottom - y], "iscrowd": 0}
            for number in range(2)
        ],
    }
    (folder / "coco.json").write_text(json.dumps(content), encoding="utf-8")
    source = {"name": "coco", "format": "coco", "images": "listed", "annotations": "coco.json", "split": "by_hash"}
    return source, [("coco/lost.jpg", "image_missing", "file", "", "")], 2


def _cvat(folder: Path) -> tuple[dict, list[Row], int]:
    """Return source, rows and number of images of a CVAT file with a shape that is no box."""
    (folder / "traced").mkdir()
    (folder / "traced/a.jpg").write_bytes(encode(picture()))
    box = 'xtl="10" ytl="8" xbr="30" ybr="28"'
    (folder / "cvat.xml").write_text(
        f'<annotations><version>1.1</version><image id="0" name="a.jpg" width="{SIZE[0]}" height="{SIZE[1]}">'
        f'<box label="disc" occluded="0" {box}/><polyline label="disc" points="1,2;3,4"/></image></annotations>',
        encoding="utf-8",
    )
    source = {"name": "cvat", "format": "cvat", "images": "traced", "annotations": "cvat.xml", "split": "by_hash"}
    return source, [("cvat/a.jpg", "shape_without_box", "image 1, shape 2", "", "")], 1
