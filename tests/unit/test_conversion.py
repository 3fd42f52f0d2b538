"""The data set in the forms of other tools: absolute numbers, read back by readers that are not ours."""

import csv
import io
import json
import os
import tracemalloc
from hashlib import sha256

import numpy as np
import pandas
import pytest
import supervision as sv
import yaml
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from odtl import label_map
from odtl.annotations import csv_table, voc, yolo
from odtl.boxes import COLUMNS, BoxRow, number_text
from odtl.conversion import coco as to_coco
from odtl.conversion import table as to_csv
from odtl.conversion import voc as to_voc
from odtl.conversion import yolo as to_yolo
from odtl.conversion.labelbox import convert as labelbox_to_coco
from odtl.conversion.labelbox import read_origins
from odtl.conversion.labelled import LabelledImage, iterate_images
from odtl.errors import InputError
from odtl.evaluation import read_ground_truth
from odtl.fetching.ledger import COLUMNS as LEDGER_COLUMNS
from odtl.inventory import refresh
from odtl.making_boxes import make_boxes
from odtl.records import source_id, write_records

IDS = {"cup": 1, "r2-d2": 2, "a<b> & c": 3}


def draw(path, size, left="red", right="blue", **options):
    """Draw an image whose left half has one colour, and its right half another."""
    image = Image.new("RGB", size, right)
    image.paste(left, (0, 0, size[0] // 2, size[1]))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **{"quality": 95, **options} if path.suffix == ".jpg" else options)
    return path


AXES = (("x", "width"), ("y", "height"))


def turned(path, size):
    """Draw an image that is to be turned by a quarter, clockwise, to be upright (EXIF orientation 6)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return draw(path, size, exif=exif.tobytes())


def rows_of(path, image_id, size, *boxes):
    """Return an image's rows; a box is (label, xmin, ymin, xmax, ymax), then flags that are set."""
    digest = sha256(path.read_bytes()).hexdigest()
    rest = ("test", image_id, str(path), digest)
    if not boxes:
        return [BoxRow(image_id, *size, "", None, None, None, None, False, False, False, *rest)]
    flags = ("difficult", "truncated", "crowd")
    return [BoxRow(image_id, *size, *box[:5], *(flag in box[5:] for flag in flags), *rest) for box in boxes]


def write_boxes(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in sorted(rows, key=lambda row: row.filename):
            edges = ["" if row.is_negative else number_text(edge) for edge in (row.xmin, row.ymin, row.xmax, row.ymax)]
            flags = [int(flag) for flag in (row.difficult, row.truncated, row.crowd)]
            place = [row.split, row.group, row.image, row.sha256]
            writer.writerow([row.filename, row.width, row.height, row.label, *edges, *flags, *place])
    return path


@pytest.fixture
def data(tmp_path):
    """Five images in two shards: folders, an image to be turned, a negative, a crowd, fractions."""
    folder = tmp_path / "photos"
    rows = [
        *rows_of(draw(folder / "sub/a.jpg", (100, 80)), "sub/a.jpg", (100, 80), ("cup", 10, 20, 30, 60)),
        *rows_of(turned(folder / "b.jpg", (90, 60)), "b.jpg", (60, 90), ("r2-d2", 5.5, 45, 60, 90, "truncated")),
        *rows_of(draw(folder / "c.png", (50, 50)), "c.png", (50, 50)),
        *rows_of(
            draw(folder / "d.jpg", (64, 64)),
            "d.jpg",
            (64, 64),
            ("cup", 0, 0, 64, 64, "crowd"),
            ("a<b> & c", 1, 2, 3.25, 4, "difficult"),
        ),
        *rows_of(draw(folder / "e", (40, 30), format="PNG"), "e", (40, 30), ("cup", 4, 3, 40, 30)),
    ]
    shards = [write_boxes(tmp_path / f"boxes/{i}.csv", part) for i, part in enumerate((rows[:3], rows[3:]))]
    (tmp_path / "label_map.pbtxt").write_text(label_map.format(IDS), encoding="utf-8")
    return tmp_path, shards, tmp_path / "label_map.pbtxt"


def coco_of(data, fetched=(), link=False):
    root, shards, ids = data
    labels, images = root / "out/coco/test.json", root / "out/coco/images/test"
    said = to_coco.convert(shards, fetched, ids, labels, images, link)
    return labels, images, said


def yolo_of(data):
    root, shards, ids = data
    out = root / "out/yolo"
    said = to_yolo.convert(shards, ids, out / "images/test", out / "labels/test", link=True)
    to_yolo.write_data_yaml(ids, out / "data.yaml", ["train", "val", "test"])
    return out, said


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# COCO


def test_coco_in_numbers(data):
    labels, images, said = coco_of(data)
    content = json.loads(labels.read_text(encoding="utf-8"))
    assert said == "5 images, 5 boxes"
    assert content["categories"] == [
        {"id": 1, "name": "cup", "supercategory": ""},
        {"id": 2, "name": "r2-d2", "supercategory": ""},
        {"id": 3, "name": "a<b> & c", "supercategory": ""},
    ]
    assert content["licenses"] == []
    assert content["images"] == [
        {"id": 4294921973074058, "file_name": "b.jpg", "width": 60, "height": 90},
        {"id": source_id("c.png"), "file_name": "c.png", "width": 50, "height": 50},
        {"id": source_id("d.jpg"), "file_name": "d.jpg", "width": 64, "height": 64},
        {"id": source_id("e"), "file_name": "e.png", "width": 40, "height": 30},
        {"id": source_id("sub/a.jpg"), "file_name": "sub/a.jpg", "width": 100, "height": 80},
    ]
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    short = [[*(box[key] for key in keys), box.get("attributes")] for box in content["annotations"]]
    assert short == [
        [1, source_id("b.jpg"), 2, [5.5, 45, 54.5, 45], 2452.5, 0, {"truncated": True}],
        [2, source_id("d.jpg"), 1, [0, 0, 64, 64], 4096, 1, None],
        [3, source_id("d.jpg"), 3, [1, 2, 2.25, 2], 4.5, 0, {"difficult": True}],
        [4, source_id("e"), 1, [4, 3, 36, 27], 972, 0, None],
        [5, source_id("sub/a.jpg"), 1, [10, 20, 20, 40], 800, 0, None],
    ]
    assert files_in(images) == ["b.jpg", "c.png", "d.jpg", "e.png", "sub/a.jpg"]


def test_pycocotools_scores_perfect_detections_as_perfect(data, capfd):
    labels, _, _ = coco_of(data)
    truth = COCO(str(labels))
    assert truth.getImgIds(catIds=[3]) == [source_id("d.jpg")]
    assert len(truth.getImgIds()) == 5
    # Written by hand, not read from what is tested; as an evaluation of ours writes them.
    perfect = [
        ("b.jpg", 2, [5.5, 45, 54.5, 45]),
        ("d.jpg", 3, [1, 2, 2.25, 2]),
        ("e", 1, [4, 3, 36, 27]),
        ("sub/a.jpg", 1, [10, 20, 20, 40]),
    ]
    found = [
        {"image_id": source_id(image), "category_id": number, "bbox": box, "score": 0.9}
        for image, number, box in perfect
    ]
    assert average_precision(truth, found) == 1
    # One pixel is enough to be seen.
    shifted = [{**each, "bbox": [each["bbox"][0] + 1, *each["bbox"][1:]]} for each in found]
    assert 0 < average_precision(truth, shifted) < 0.9
    capfd.readouterr()


def average_precision(truth, found):
    scoring = COCOeval(truth, truth.loadRes(found), "bbox")
    scoring.evaluate()
    scoring.accumulate()
    scoring.summarize()
    return scoring.stats[0]


def test_coco_and_records_say_the_same_of_the_same_image_numbers(data):
    """So the detections of an evaluation, which scores against the records, are results for the JSON."""
    _, shards, ids = data
    records = []
    for shard in shards:
        records.append(shard.with_suffix(".tfrecord"))
        write_records(shard, ids, records[-1])
    labels, _, _ = coco_of(data)
    truth = COCO(str(labels))
    seen = 0
    for image in read_ground_truth(records, IDS):
        listed = truth.imgs[image.image_id]
        assert (listed["width"], listed["height"]) == (image.width, image.height)
        boxes = truth.loadAnns(truth.getAnnIds(imgIds=image.image_id))
        assert [box["category_id"] for box in boxes] == image.classes.tolist()
        assert [bool(box["iscrowd"]) for box in boxes] == image.crowd.tolist()
        edges = [[x, y, x + width, y + height] for x, y, width, height in (box["bbox"] for box in boxes)]
        assert np.allclose(np.reshape(edges, (-1, 4)), image.boxes, atol=1e-4)
        seen += 1
    assert seen == len(truth.imgs) == 5


def test_supervision_reads_our_coco(data):
    labels, images, _ = coco_of(data)
    dataset = sv.DetectionDataset.from_coco(str(images), str(labels))
    assert dataset.classes == ["cup", "r2-d2", "a<b> & c"]
    assert read_by_supervision(dataset, images) == {
        "b.jpg": ((90, 60), [[5.5, 45, 60, 90]], [1]),
        "c.png": ((50, 50), [], []),
        "d.jpg": ((64, 64), [[0, 0, 64, 64], [1, 2, 3.25, 4]], [0, 2]),
        "e.png": ((30, 40), [[4, 3, 40, 30]], [0]),
        "sub/a.jpg": ((80, 100), [[10, 20, 30, 60]], [0]),
    }


def read_by_supervision(dataset, folder):
    """Return path -> ((height, width) of the picture as it is loaded, boxes, classes)."""
    found = {}
    for path, image, detections in dataset:
        name = os.path.relpath(
            os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)), os.path.realpath(folder)
        )
        boxes = [[round(float(edge), 4) for edge in box] for box in detections.xyxy]
        found[name] = (image.shape[:2], boxes, [] if detections.class_id is None else detections.class_id.tolist())
    return found


def ledger(path, *rows):
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, LEDGER_COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_addresses_and_licences_of_images_that_were_fetched(data):
    root = data[0]
    one = ledger(
        root / "one.csv",
        {"image": "absent", "url": "https://x.example/absent", "licence": "CC BY 2.0", "status": "failed"},
        {"image": "d.jpg", "url": "https://x.example/d", "licence": "CC0 1.0", "status": "fetched"},
    )
    two = ledger(
        root / "two.csv",
        {"image": "b.jpg", "url": "https://x.example/b", "licence": "", "status": "fetched"},
        {"image": "e", "url": "https://x.example/e", "licence": "CC0 1.0", "status": "fetched"},
        {"image": "zz", "url": "https://x.example/z", "licence": "CC BY 2.0", "status": "failed"},
    )
    labels, _, _ = coco_of(data, [one, two])
    content = json.loads(labels.read_text(encoding="utf-8"))
    assert content["licenses"] == [{"id": 1, "name": "CC0 1.0", "url": ""}]
    found = {image["file_name"]: (image.get("coco_url"), image.get("license")) for image in content["images"]}
    assert found == {
        "b.jpg": ("https://x.example/b", None),
        "c.png": (None, None),
        "d.jpg": ("https://x.example/d", 1),
        "e.png": ("https://x.example/e", 1),
        "sub/a.jpg": (None, None),
    }


def test_number_of_shards_makes_no_difference(data):
    root, shards, ids = data
    labels, _, _ = coco_of(data)
    rows = [row for shard in shards for image in iterate_images([shard]) for row in (image.boxes or [image.first])]
    single = write_boxes(root / "boxes/all.csv", rows)
    to_coco.convert([single], [], ids, root / "single.json", root / "single", True)
    assert (root / "single.json").read_bytes() == labels.read_bytes()


def test_coco_of_no_images(data):
    root, _, ids = data
    empty = write_boxes(root / "boxes/none.csv", [])
    assert to_coco.convert([empty], [], ids, root / "none.json", root / "none", True) == "0 images, 0 boxes"
    content = json.loads((root / "none.json").read_text())
    assert (content["images"], content["annotations"], len(content["categories"])) == ([], [], 3)
    assert files_in(root / "none") == []


def test_memory_does_not_grow_with_the_number_of_images():
    def peak(count):
        first = BoxRow("x", 640, 480, "cup", 1, 2, 3, 4, False, False, False, "test", "x", "x.jpg", "0" * 64)
        rows = (first._replace(filename=f"{index:06}.jpg") for index in range(count))
        found = ((LabelledImage(row, (row,) * 3), row.filename) for row in rows)
        with open(os.devnull, "w", encoding="utf-8") as stream:
            tracemalloc.start()
            to_coco.write_json(found, IDS, stream)
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return most

    # Python keeps some thousand tuples that are no more, for new ones.
    peak(8000)
    assert peak(8000) < 1.2 * peak(2000)


def test_class_without_an_id_is_refused(data):
    root, _, ids = data
    ids.write_text(label_map.format({"cup": 1}), encoding="utf-8")
    for convert in (coco_of, yolo_of):
        with pytest.raises(InputError, match="no id in the label map"):
            convert(data)
    assert files_in(root / "out") == []


# Pascal VOC


def test_voc_as_labelimg_writes_it(data):
    root, shards, _ = data
    said = to_voc.convert(shards, root / "out/voc", True)
    assert said == "5 images, 5 boxes"
    names = ["b.jpg", "b.xml", "c.png", "c.xml", "d.jpg", "d.xml", "e.png", "e.xml", "sub/a.jpg", "sub/a.xml"]
    assert files_in(root / "out/voc") == names
    text = (root / "out/voc/sub/a.xml").read_text(encoding="utf-8")
    assert "".join(line.strip() for line in text.splitlines()) == (
        "<annotation><folder>sub</folder><filename>a.jpg</filename><path>a.jpg</path>"
        "<source><database>Unknown</database></source>"
        "<size><width>100</width><height>80</height><depth>3</depth></size><segmented>0</segmented>"
        "<object><name>cup</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
        "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>60</ymax></bndbox></object></annotation>"
    )


def test_our_reader_and_supervision_read_our_voc(data):
    root, shards, _ = data
    to_voc.convert(shards, root / "out/voc", True)
    several = voc.read(root / "out/voc/d.xml")
    assert several.boxes == ((0, 0, 64, 64), (1, 2, 3.25, 4))
    assert several.labels == ("cup", "a<b> & c")
    # A crowd, and one that is difficult.
    assert several.difficult == (True, True)
    upright = voc.read(root / "out/voc/b.xml")
    assert (upright.width, upright.height, upright.boxes) == (60, 90, ((5.5, 45, 60, 90),))
    assert upright.truncated == (True,)
    assert voc.read(root / "out/voc/c.xml").boxes == ()
    dataset = sv.DetectionDataset.from_pascal_voc(str(root / "out/voc"), str(root / "out/voc"))
    # It goes by the development kit's words and takes a pixel off the left and upper edge; it looks into no folder.
    assert read_by_supervision(dataset, root / "out/voc") == {
        "b.jpg": ((90, 60), [[4.5, 44, 60, 90]], [dataset.classes.index("r2-d2")]),
        "c.png": ((50, 50), [], []),
        "d.jpg": (
            (64, 64),
            [[-1, -1, 64, 64], [0, 1, 3.25, 4]],
            [dataset.classes.index("cup"), dataset.classes.index("a<b> & c")],
        ),
        "e.png": ((30, 40), [[3, 2, 40, 30]], [dataset.classes.index("cup")]),
    }


def test_what_xml_cannot_hold_is_replaced(tmp_path):
    path = draw(tmp_path / "x.jpg", (20, 20))
    shard = write_boxes(tmp_path / "x.csv", rows_of(path, "x.jpg", (20, 20), ("bell\x07 \ufffe", 1, 2, 3, 4)))
    to_voc.convert([shard], tmp_path / "voc", True)
    assert voc.read(tmp_path / "voc/x.xml").labels == ("bell\ufffd \ufffd",)


# YOLO


def test_yolo_in_numbers(data):
    out, said = yolo_of(data)
    assert said == "5 images, 4 boxes; 1 crowd(s) left out"
    assert files_in(out / "images") == [f"test/{name}" for name in ("b.jpg", "c.png", "d.jpg", "e.png", "sub_a.jpg")]
    texts = {path.name: path.read_text() for path in (out / "labels/test").iterdir()}
    assert texts == {
        "b.txt": "1 0.545833333333 0.75 0.908333333333 0.5\n",
        "c.txt": "",
        "d.txt": "2 0.033203125 0.046875 0.03515625 0.03125\n",
        "e.txt": "0 0.55 0.55 0.9 0.9\n",
        "sub_a.txt": "0 0.2 0.5 0.2 0.5\n",
    }
    assert yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8")) == {
        **{"train": "images/train", "val": "images/val", "test": "images/test", "nc": 3},
        "names": {0: "cup", 1: "r2-d2", 2: "a<b> & c"},
    }


def test_supervision_and_our_reader_read_our_yolo(data):
    out, _ = yolo_of(data)
    folders = [str(out / "images/test"), str(out / "labels/test"), str(out / "data.yaml")]
    dataset = sv.DetectionDataset.from_yolo(*folders)
    assert dataset.classes == ["cup", "r2-d2", "a<b> & c"]
    assert read_by_supervision(dataset, out / "images/test") == {
        "b.jpg": ((90, 60), [[5.5, 45, 60, 90]], [1]),
        "c.png": ((50, 50), [], []),
        "d.jpg": ((64, 64), [[1, 2, 3.25, 4]], [2]),
        "e.png": ((30, 40), [[4, 3, 40, 30]], [0]),
        "sub_a.jpg": ((80, 100), [[10, 20, 30, 60]], [0]),
    }
    ours = yolo.read(out / "labels/test/b.txt")
    assert np.allclose(np.array(ours.boxes) * [60, 90, 60, 90], [[5.5, 45, 60, 90]], atol=1e-6)
    assert ours.labels == ("1",)


def test_gaps_between_ids_are_closed():
    assert to_yolo.class_indices({"b": 7, "a": 3}) == {"a": 0, "b": 1}


# CSV


def test_csv_holds_everything_and_our_reader_reads_it(data):
    root, shards, _ = data
    fetched = {"image": "d.jpg", "url": "https://x.example/d", "licence": "CC0 1.0", "status": "fetched"}
    assert to_csv.convert(shards, [ledger(root / "ledger.csv", fetched)], root / "out/labels.csv") == "6 rows"
    lines = (root / "out/labels.csv").read_text(encoding="utf-8").splitlines()
    header = "filename,width,height,class,xmin,ymin,xmax,ymax,difficult,truncated,crowd,split,image,url,license"
    assert lines[0] == header
    assert lines[1] == f"b.jpg,60,90,r2-d2,5.5,45,60,90,0,1,0,test,{root}/photos/b.jpg,,"
    assert lines[2].startswith("c.png,50,50,,,,,,")
    photo = f"test,{root}/photos/d.jpg,https://x.example/d,CC0 1.0"
    assert lines[3:5] == [f"d.jpg,64,64,cup,0,0,64,64,0,0,1,{photo}", f"d.jpg,64,64,a<b> & c,1,2,3.25,4,1,0,0,{photo}"]
    read = csv_table.read(root / "out/labels.csv")
    assert read.problems == ()
    assert {name: each.boxes for name, each in read.annotations.items()} == {
        "b.jpg": ((5.5, 45, 60, 90),),
        "c.png": (),
        "d.jpg": ((0, 0, 64, 64), (1, 2, 3.25, 4)),
        "e": ((4, 3, 40, 30),),
        "sub/a.jpg": ((10, 20, 30, 60),),
    }
    assert {each.split for each in read.annotations.values()} == {"test"}


def test_csv_is_read_as_the_tutorials_scripts_read_it(data):
    """As in `generate_tfrecord.py` of datitran/raccoon_dataset: pandas, rows grouped by image, edges in shares."""
    root, shards, _ = data
    to_csv.convert(shards, [], root / "out/labels.csv")
    table = pandas.read_csv(root / "out/labels.csv")
    assert list(table.columns[:8]) == ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
    # The scripts know no image without objects: such rows have no class.
    found = {
        name: [
            (row["class"], *(row[f"{axis}{side}"] / row[size] for side in ("min", "max") for axis, size in AXES))
            for _, row in group.iterrows()
        ]
        for name, group in table.dropna(subset=["class"]).groupby("filename")
    }
    assert found == {
        "b.jpg": [("r2-d2", 5.5 / 60, 45 / 90, 1, 1)],
        "d.jpg": [("cup", 0, 0, 1, 1), ("a<b> & c", 1 / 64, 2 / 64, 3.25 / 64, 4 / 64)],
        "e": [("cup", 4 / 40, 3 / 30, 1, 1)],
        "sub/a.jpg": [("cup", 0.1, 0.25, 0.3, 0.75)],
    }
    sizes = {row.filename: (row.width, row.height) for row in table.itertuples()}
    assert sizes == {"b.jpg": (60, 90), "c.png": (50, 50), "d.jpg": (64, 64), "e": (40, 30), "sub/a.jpg": (100, 80)}
    with open(root / "out/labels.csv", encoding="utf-8", newline="") as stream:
        (negative,) = [row for row in csv.DictReader(stream) if row["filename"] == "c.png"]
    assert [negative[name] for name in ("class", "xmin", "ymin", "xmax", "ymax")] == [""] * 5


# Images


def test_upright_images_are_links_and_others_are_written_upright(data):
    root = data[0]
    before = {path: path.stat() for path in (root / "photos").rglob("*")}
    _, images, _ = coco_of(data, link=True)
    for name, source in {"sub/a.jpg": "sub/a.jpg", "c.png": "c.png", "e.png": "e"}.items():
        assert os.path.samefile(images / name, root / "photos" / source)
    # A hard link would alter the ctime, and have the scan read all images again.
    assert {path: path.stat().st_ctime_ns for path in before} == {path: it.st_ctime_ns for path, it in before.items()}
    assert not os.path.samefile(images / "b.jpg", root / "photos/b.jpg")
    with Image.open(images / "b.jpg") as image:
        assert image.size == (60, 90)
        assert image.getexif().get(0x0112, 1) == 1
        # The left half is the upper one after a quarter turn to the right.
        top, bottom = image.getpixel((30, 10)), image.getpixel((30, 80))
    assert top[0] > 200 > 60 > top[2]
    assert bottom[2] > 200 > 60 > bottom[0]


def placed(tmp_path, *images, link=True):
    """Return what a folder of images holds, given (path, id, size)."""
    rows = [row for path, image_id, size in images for row in rows_of(path, image_id, size, ("cup", 1, 2, 3, 4))]
    to_voc.convert([write_boxes(tmp_path / "boxes.csv", rows)], tmp_path / "voc", link)
    return files_in(tmp_path / "voc")


def test_kinds_that_other_tools_stumble_over_are_written_as_rgb(tmp_path):
    gray = tmp_path / "gray.jpg"
    Image.new("L", (20, 10), 7).save(gray)
    web = draw(tmp_path / "web.webp", (20, 10))
    names = placed(tmp_path, (gray, "gray.jpg", (20, 10)), (web, "web.webp", (20, 10)))
    assert names == ["gray.jpg", "gray.xml", "web.jpg", "web.xml"]
    for name in ("gray.jpg", "web.jpg"):
        with Image.open(tmp_path / "voc" / name) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")


def test_a_jpeg_that_tools_would_mend_in_its_place_is_a_copy(tmp_path):
    path = draw(tmp_path / "a.jpg", (20, 10))
    path.write_bytes(path.read_bytes() + b"\0\0")
    placed(tmp_path, (path, "a.jpg", (20, 10)))
    assert not os.path.samefile(path, tmp_path / "voc/a.jpg")
    assert (tmp_path / "voc/a.jpg").read_bytes() == path.read_bytes()


def test_where_links_cannot_be_made_images_are_copied(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    path = draw(tmp_path / "a.jpg", (20, 10))
    placed(tmp_path, (path, "a.jpg", (20, 10)))
    assert not os.path.samefile(path, tmp_path / "voc/a.jpg")
    assert (tmp_path / "voc/a.jpg").read_bytes() == path.read_bytes()


def test_a_link_in_the_source_is_followed(tmp_path):
    path = draw(tmp_path / "real/a.jpg", (20, 10))
    (tmp_path / "link.jpg").symlink_to(path)
    placed(tmp_path, (tmp_path / "link.jpg", "a.jpg", (20, 10)))
    assert os.readlink(tmp_path / "voc/a.jpg") == str(path.resolve())


def test_copies_where_they_are_wanted(tmp_path):
    path = draw(tmp_path / "a.jpg", (20, 10))
    placed(tmp_path, (path, "a.jpg", (20, 10)), link=False)
    assert not (tmp_path / "voc/a.jpg").is_symlink()
    assert (tmp_path / "voc/a.jpg").read_bytes() == path.read_bytes()


def test_names_that_would_share_their_labels_differ(tmp_path):
    folder, size = tmp_path / "in", (20, 10)
    ids = ["a.jpg", "a.png", "photo.v2", "s/a.jpg", "s_a.jpg", "ü.JPG"]
    found = []
    for image_id in ids:
        path = folder / image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(path, format="PNG" if image_id == "a.png" else "JPEG")
        found.append((path, image_id, size))
    digits = {image_id: sha256(image_id.encode()).hexdigest()[:8] for image_id in ids}
    png = f"a-{digits['a.png']}"
    assert placed(tmp_path, *found) == sorted(
        [
            *["a.jpg", "a.xml", f"{png}.png", f"{png}.xml", "photo.v2.jpg", "photo.v2.xml"],
            *["s/a.jpg", "s/a.xml", "s_a.jpg", "s_a.xml", "ü.JPG", "ü.xml"],
        ]
    )
    (tmp_path / "ids.pbtxt").write_text(label_map.format(IDS), encoding="utf-8")
    to_yolo.convert([tmp_path / "boxes.csv"], tmp_path / "ids.pbtxt", tmp_path / "images", tmp_path / "labels", True)
    flat = f"s_a-{digits['s_a.jpg']}"
    assert files_in(tmp_path / "labels") == sorted(
        ["a.txt", f"{png}.txt", "photo.v2.txt", "s_a.txt", f"{flat}.txt", "ü.txt"]
    )


def test_long_names_are_cut(tmp_path):
    path, image_id = draw(tmp_path / "a.jpg", (20, 10)), f"{'ü' * 110}.webp"
    names = placed(tmp_path, (path, image_id, (20, 10)))
    digits = sha256(image_id.encode()).hexdigest()[:8]
    assert names == [f"{'ü' * 98}-{digits}.jpg", f"{'ü' * 98}-{digits}.xml"]


@pytest.mark.parametrize("image_id", ["../a.jpg", "/a.jpg", "b/../../a.jpg"])
def test_no_name_leaves_the_folder(tmp_path, image_id):
    path = draw(tmp_path / "a.jpg", (20, 10))
    with pytest.raises(InputError, match="leaves the folder"):
        placed(tmp_path, (path, image_id, (20, 10)))
    assert not (tmp_path / "voc").exists()


def test_images_that_have_changed_are_all_told_and_nothing_is_left(data):
    root, shards, _ = data
    for name in ("c.png", "d.jpg"):
        (root / "photos" / name).write_bytes(b"other")
    for convert in (coco_of, yolo_of, lambda data: to_voc.convert(shards, root / "out/voc", True)):
        with pytest.raises(InputError) as caught:
            convert(data)
        assert [problem.file for problem in caught.value.problems] == [
            str(root / "photos" / n) for n in ("c.png", "d.jpg")
        ]
    assert files_in(root / "out") == []


def test_a_failure_leaves_what_stood_there_before(data):
    root, shards, _ = data
    to_voc.convert(shards, root / "out/voc", True)
    before = files_in(root / "out")
    (root / "photos/d.jpg").write_bytes(b"other")
    with pytest.raises(InputError):
        to_voc.convert(shards, root / "out/voc", True)
    assert files_in(root / "out") == before


def test_the_text_reads_as_json_whatever_the_names(tmp_path):
    first = BoxRow('"ü\\\n.jpg', 640, 480, "", None, None, None, None, False, False, False, "test", "x", "x.jpg", "0")
    stream = io.StringIO()
    to_coco.write_json([(LabelledImage(first, ()), first.filename)], {'"': 1}, stream)
    assert json.loads(stream.getvalue())["images"][0]["file_name"] == '"ü\\\n.jpg'


# Labelbox


def test_labelbox_as_coco_with_addresses(tmp_path):
    """Images that a legacy export names by address only; it counts y upwards, and states no size."""
    square = "POLYGON ((10 20, 30 20, 30 60, 10 60, 10 20))"
    records = [
        {"Labeled Data": "https://x.example/a.jpg?token=1", "Label": {"cup": [{"geometry": square}]}, "ID": "1"},
        {"Labeled Data": "https://me:secret@x.example/b", "Label": {"cup": []}, "ID": "2"},
        {"Labeled Data": "https://x.example/gone.jpg", "Label": {"cup": [{"geometry": square}]}, "ID": "3"},
        {"Labeled Data": "https://x.example/skipped.jpg", "Label": "Skip", "ID": "4"},
    ]
    (tmp_path / "export.json").write_text(json.dumps(records), encoding="utf-8")
    draw(tmp_path / "photos/own.jpg", (20, 20))
    (tmp_path / "own.csv").write_text("filename,width,height,class,xmin,ymin,xmax,ymax\nown.jpg,20,20,cup,1,2,3,4\n")
    sources = [
        {"format": "labelbox", "annotations": str(tmp_path / "export.json"), "split": "train"},
        {
            "format": "csv",
            "images": str(tmp_path / "photos"),
            "annotations": str(tmp_path / "own.csv"),
            "split": "train",
        },
    ]
    split = {"fractions": {"train": 1, "val": 0, "test": 0}, "val_from_train": 0, "group": None, "seed": ""}
    data = {"sources": sources, "split": split, "shards": 1, "strict": False}
    digests = refresh(data, {"classes": None, "aliases": {}}, tmp_path / "state", tmp_path / "inventory")
    manifests = {tmp_path / f"inventory/{shard}.jsonl": digest for shard, digest in digests.items()}
    origins = read_origins(manifests, [str(tmp_path / "export.json")])
    by_url = {origin.url: image_id for image_id, origin in origins.items()}
    assert sorted(by_url) == [
        "https://me:secret@x.example/b",
        "https://x.example/a.jpg?token=1",
        "https://x.example/gone.jpg",
    ]
    # As the boxes stage makes them once two of the images were fetched.
    photo = draw(tmp_path / "fetched/a.jpg", (100, 80))
    rows = [
        *rows_of(photo, by_url["https://x.example/a.jpg?token=1"], (100, 80), ("cup", 10, 20, 30, 60)),
        *rows_of(photo, by_url["https://me:secret@x.example/b"], (100, 80)),
        *rows_of(photo, "own.jpg", (100, 80), ("cup", 1, 2, 3, 4)),
    ]
    (tmp_path / "ids.pbtxt").write_text(label_map.format(IDS), encoding="utf-8")
    boxes, exports = [write_boxes(tmp_path / "boxes.csv", rows)], [str(tmp_path / "export.json")]
    said = labelbox_to_coco(boxes, manifests, exports, tmp_path / "ids.pbtxt", tmp_path / "out.json")
    assert said == "2 images, 1 boxes; 1 image(s) were rejected"
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    listed = {image["file_name"]: (image["coco_url"], image["width"], image["height"]) for image in content["images"]}
    assert listed == {
        "https://x.example/a.jpg?token=1": ("https://x.example/a.jpg?token=1", 100, 80),
        "https://x.example/b": ("https://x.example/b", 100, 80),
    }
    (box,) = content["annotations"]
    assert box["bbox"] == [10, 20, 20, 40]
    assert box["image_id"] == source_id(by_url["https://x.example/a.jpg?token=1"])
    with pytest.raises(InputError, match="run again"):
        labelbox_to_coco(
            boxes, dict.fromkeys(manifests, "0" * 64), exports, tmp_path / "ids.pbtxt", tmp_path / "b.json"
        )


# Back again


def sources_of(data, kind):
    """Convert the data to one form; return the source that reads it."""
    root, shards, _ = data
    out = root / "out"
    match kind:
        case "coco":
            labels, images, _ = coco_of(data)
            return {"format": "coco", "images": str(images), "annotations": str(labels)}
        case "voc":
            to_voc.convert(shards, out / "voc", True)
            return {"format": "voc", "images": str(out / "voc")}
        case "yolo":
            folder, _ = yolo_of(data)
            names = {"names": str(folder / "data.yaml")}
            return {"format": "yolo", "images": str(folder / "images"), "annotations": str(folder / "labels"), **names}
        case "csv":
            to_csv.convert(shards, [], out / "labels.csv")
            return {"format": "csv", "images": str(root / "photos"), "annotations": str(out / "labels.csv")}


def boxes_in(image):
    """Return class and edges of an image's boxes; a thousandth of a pixel is less than any of the forms rounds to."""
    return [(row.label, *(round(edge, 3) for edge in (row.xmin, row.ymin, row.xmax, row.ymax))) for row in image.boxes]


@pytest.mark.parametrize("kind", ["coco", "voc", "yolo", "csv"])
def test_the_workflow_reads_what_it_has_written(data, kind):
    root = data[0]
    split = {"fractions": {"train": 0, "val": 0, "test": 1}, "val_from_train": 0, "group": None, "seed": ""}
    settings = {"sources": [sources_of(data, kind)], "split": split, "shards": 1, "strict": False}
    refresh(settings, {"classes": None, "aliases": {}}, root / "state", root / "inventory")
    table, ledger_csv = root / "again/boxes.csv", root / "again/repairs.csv"
    make_boxes(root / "inventory/test-00000-of-00001.jsonl", table, ledger_csv)
    found = {image.id: (image.first.width, image.first.height, boxes_in(image)) for image in iterate_images([table])}
    crowd = [] if kind == "yolo" else [("cup", 0, 0, 64, 64)]
    expected = {
        "b.jpg": (60, 90, [("r2-d2", 5.5, 45, 60, 90)]),
        "c.png": (50, 50, []),
        "d.jpg": (64, 64, [*crowd, ("a<b> & c", 1, 2, 3.25, 4)]),
        "e.png": (40, 30, [("cup", 4, 3, 40, 30)]),
        "sub/a.jpg": (100, 80, [("cup", 10, 20, 30, 60)]),
    }
    if kind == "yolo":
        expected["sub_a.jpg"] = expected.pop("sub/a.jpg")
        expected = {f"test/{name}": value for name, value in expected.items()}
    if kind == "csv":
        # The file in the folder has no ending.
        expected["e"] = expected.pop("e.png")
    assert found == expected
    crowds = {row.filename: row.crowd for image in iterate_images([table]) for row in image.boxes if row.crowd}
    assert crowds == ({"d.jpg": True} if kind in ("coco", "csv") else {})
    # Nothing has to be repaired, but for files that are turned or have no ending, which a table leaves as they are.
    with open(ledger_csv, encoding="utf-8", newline="") as stream:
        reasons = {row["reason"] for row in csv.DictReader(stream)}
    assert reasons <= ({"exif_turned", "image_wrong_extension"} if kind == "csv" else set())
