"""PASCAL VOC annotations as LabelImg writes them."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

Labelled = tuple[str, tuple[int, int, int, int], bool]  # class, (xmin, ymin, xmax, ymax), truncated


def annotation_xml(path: str, width: int, height: int, objects: Iterable[Labelled]) -> str:
    """Return the annotation of an RGB image, in LabelImg's order of elements, indented with tabs.

    path: the image's path; its last two components are `folder` and `filename`. Boxes are in whole pixels; LabelImg
    never writes a minimum below 1, so neither does this.
    """
    root = ET.Element("annotation")
    _add(root, folder=path.split("/")[-2], filename=path.split("/")[-1], path=path)
    _add(ET.SubElement(root, "source"), database="Unknown")
    _add(ET.SubElement(root, "size"), width=width, height=height, depth=3)
    _add(root, segmented=0)
    for name, (xmin, ymin, xmax, ymax), truncated in objects:
        thing = ET.SubElement(root, "object")
        _add(thing, name=name, pose="Unspecified", truncated=int(truncated), difficult=0)
        _add(ET.SubElement(thing, "bndbox"), xmin=max(1, xmin), ymin=max(1, ymin), xmax=xmax, ymax=ymax)
    ET.indent(root, "\t")
    return ET.tostring(root, encoding="unicode") + "\n"


def _add(parent: ET.Element, **children: object) -> None:
    for name, value in children.items():
        ET.SubElement(parent, name).text = str(value)
