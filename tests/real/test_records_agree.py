"""Records that the Object Detection API's own tools wrote, and ours of the same images: the same, field by field.

Where the two differ by design, `differs` says in what: the value that ours must have instead, given theirs.
"""

import hashlib

import pytest

from odtl.inventory import refresh
from odtl.label_map import write_label_map
from odtl.making_boxes import make_boxes
from odtl.manifest import manifest_path
from odtl.records import read_records, source_id, write_records
from odtl.split import shard_name

BOX_FIELDS = tuple(f"image/object/bbox/{side}" for side in ("xmin", "ymin", "xmax", "ymax"))
# What create_pascal_tf_record.py of the API writes.
ALL_FIELDS = {
    *("image/height", "image/width", "image/filename", "image/source_id", "image/key/sha256"),
    *("image/encoded", "image/format", *BOX_FIELDS, "image/object/class/text", "image/object/class/label"),
    *("image/object/difficult", "image/object/truncated", "image/object/view"),
}


def our_records(folder, source, classes=None, aliases=None):
    """Return image id -> Example of all images of a VOC source, made with the stages' own functions."""
    data = {"sources": [{"format": "voc", "split": "test", **source}], "shards": 2, "split": {"fractions": {"test": 1}}}
    data["split"] |= {"val_from_train": 0, "group": None, "seed": ""}
    inventory = folder / "inventory"
    refresh(data, {"classes": classes, "aliases": aliases or {}}, folder / "cache", inventory, lambda line: None)
    label_map = folder / "label_map.pbtxt"
    write_label_map(inventory / "classes.txt", label_map, classes)
    examples = {}
    for index in range(2):
        shard = shard_name("test", index, 2)
        boxes, out = folder / f"{shard}.csv", folder / f"{shard}.tfrecord"
        make_boxes(manifest_path(inventory, shard), boxes, folder / f"{shard}.repairs.csv")
        write_records(boxes, label_map, out)
        examples |= {example["image/filename"][0].decode(): example for example in read_records(out)}
    return examples


def check_agreement(theirs, ours, differs):
    """Assert that each field of `theirs` is in `ours`, floats to 1e-6, all else exactly; `differs` as told above."""
    for field, values in theirs.items():
        expected = differs[field](values) if field in differs else values
        if field in BOX_FIELDS:
            assert ours[field] == pytest.approx(expected, abs=1e-6), field
        else:
            assert ours[field] == expected, field


def our_source_id(values):
    """The API writes the file's name; official.vision's evaluation needs a number in its place."""
    return [str(source_id(values[0].decode())).encode()]


def test_raccoon(tmp_path, real_data):
    """data/test.record was written by the tutorials' generate_tfrecord.py, from a CSV of the same annotations."""
    raccoon = real_data / "raccoon"
    if not raccoon.is_dir():
        pytest.skip(f"there is no raccoon in {real_data}")
    ours = our_records(tmp_path, {"images": str(raccoon / "images"), "annotations": str(raccoon / "annotations")})
    # The API's reader takes both spellings; the API's own tools for VOC write "jpeg".
    differs = {"image/source_id": our_source_id, "image/format": lambda values: {b"jpg": [b"jpeg"]}[values[0]]}
    compared = 0
    for theirs in read_records(raccoon / "data/test.record"):
        example = ours[theirs["image/filename"][0].decode()]
        check_agreement(theirs, example, differs)
        # What that script leaves out.
        assert set(example) - set(theirs) == {
            *("image/key/sha256", "image/object/difficult", "image/object/truncated", "image/object/view"),
            "image/object/is_crowd",
        }
        compared += 1
    assert compared == 40
    assert len(ours) == 200


def test_star_wars(tmp_path, real_data):
    """sw_val.record has every field that the API's tools for VOC write."""
    starwars = real_data / "averdones_starwars"
    if not starwars.is_dir():
        pytest.skip(f"there is no averdones_starwars in {real_data}")
    source = {"images": str(starwars / "images"), "annotations": str(starwars / "annotations/xmls")}
    # The annotations say bb8, r2d2 and r2-d2; the record has the names of its label map.
    aliases = {"bb8": "BB-8", "r2d2": "R2-D2", "r2-d2": "R2-D2"}
    ours = our_records(tmp_path, source, classes=["BB-8", "R2-D2"], aliases=aliases)
    compared = 0
    for theirs in read_records(starwars / "sw_val.record"):
        example = ours[theirs["image/filename"][0].decode()]
        check_agreement(theirs, example, {"image/source_id": our_source_id})
        assert set(theirs) == ALL_FIELDS
        # That is of other formats than VOC.
        assert set(example) - ALL_FIELDS == {"image/object/is_crowd"}
        assert example["image/key/sha256"] == [hashlib.sha256(example["image/encoded"][0]).hexdigest().encode()]
        compared += 1
    assert compared == 3
