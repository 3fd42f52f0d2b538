"""Pascal VOC: an XML for each image, beside it, as LabelImg writes and opens them.

Format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf (section 4), with the edges of boxes as LabelImg
and the TensorFlow Object Detection API take them: from 0 to the image's width (see `boxes`). Readers that go by the
development kit's words, such as supervision, take one pixel off the left and upper edge.
"""

import os
import re
from pathlib import PurePosixPath
from xml.sax.saxutils import escape as escape_markup

from odtl.boxes import BoxRow, number_text
from odtl.conversion.labelled import LabelledImage, Paths, iterate_images
from odtl.conversion.pictures import place_images
from odtl.files import atomic_folder

# What XML 1.0 cannot hold, https://www.w3.org/TR/xml/#charsets .
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def convert(boxes_csvs: Paths, folder: str | os.PathLike, link: bool) -> str:
    """Write the images of a split with an XML beside each; return what was written, as a text.

    The folders in the images' ids are kept. An image without boxes has an XML without objects.
    """
    images = boxes = 0
    with atomic_folder(folder) as root:
        found = place_images(iterate_images(boxes_csvs), root, link, lambda name: (root / name).with_suffix(".xml"))
        for image, name in found:
            (root / name).with_suffix(".xml").write_text(xml(image, name), encoding="utf-8")
            images, boxes = images + 1, boxes + len(image.boxes)
    return f"{images} images, {boxes} boxes"


def xml(image: LabelledImage, name: str) -> str:
    """Return the annotation of an image.

    name: its path in the folder. `<path>` is relative to the XML: LabelImg has its own machine's there. A crowd is
    `difficult`, which scores leave out as they do a crowd; the format has no other word for it.
    """
    path = PurePosixPath(name)
    size = f"<width>{image.first.width}</width>\n    <height>{image.first.height}</height>\n    <depth>3</depth>"
    return (
        "<annotation>\n"
        f"  <folder>{escape(path.parent.name)}</folder>\n"
        f"  <filename>{escape(path.name)}</filename>\n"
        f"  <path>{escape(path.name)}</path>\n"
        "  <source>\n    <database>Unknown</database>\n  </source>\n"
        f"  <size>\n    {size}\n  </size>\n"
        "  <segmented>0</segmented>\n"
        f"{''.join(map(_object, image.boxes))}"
        "</annotation>\n"
    )


def _object(row: BoxRow) -> str:
    edges = "".join(
        f"      <{side}>{number_text(getattr(row, side))}</{side}>\n" for side in ("xmin", "ymin", "xmax", "ymax")
    )
    return (
        "  <object>\n"
        f"    <name>{escape(row.label)}</name>\n"
        "    <pose>Unspecified</pose>\n"
        f"    <truncated>{int(row.truncated)}</truncated>\n"
        f"    <difficult>{int(row.difficult or row.crowd)}</difficult>\n"
        f"    <bndbox>\n{edges}    </bndbox>\n"
        "  </object>\n"
    )


def escape(value: str) -> str:
    """Return a text as XML holds it; a replacement character stands for what XML has no way to hold."""
    return escape_markup(_FORBIDDEN.sub("\ufffd", value))
