"""How images and annotations may lie: folders side by side, lists of images by split, images that are no files yet."""

import json
import os

import pytest

from helpers import voc_xml
from odtl import file_cache, inventory
from odtl.annotations.model import Annotation, Origin, Table, TableProblem
from odtl.annotations.tfrecord import read_image
from odtl.errors import InputError, Problem
from odtl.inventory import reading
from odtl.inventory.lists import SplitLists
from odtl.inventory.origins import name_of_origin, stable_url
from odtl.tf_example import frame, serialize

SPLIT = {"fractions": {"train": 1, "val": 0, "test": 0}, "val_from_train": 0, "group": None, "seed": ""}
LABELS = {"classes": None, "aliases": {}}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(path, content=None):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    if content is None:
        content = voc_xml("any.jpg", (64, 48), [("cup", (1, 2, 30, 40))]) if path.endswith(".xml") else path
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(content)


def config(*sources, shards=1, **split):
    return {"sources": list(sources), "split": {**SPLIT, **split}, "shards": shards}


def scan(*sources, **options):
    """Return the lines by id, each with its split; the incremental way must give the same."""
    data = config(*sources, **options)
    found = inventory.scan(data, LABELS, None, report=lambda text: None)
    inventory.write(found, "clean")
    inventory.refresh(data, LABELS, "cache", "out", report=lambda text: None)
    for name in os.listdir("clean"):
        with open(f"clean/{name}") as one, open(f"out/{name}") as other:
            assert one.read() == other.read(), name
    lines = {}
    for shard, text in found.manifests.items():
        for line in map(json.loads, text.splitlines()):
            lines[line["id"]] = line | {"split": shard.partition("-")[0]}
    return lines


def matches(lines):
    return {name: line["annotation"] and line["annotation"]["file"] for name, line in lines.items()}


def splits(lines):
    return {name: line["split"] for name, line in lines.items()}


# --- Folders ------------------------------------------------------------------------------------------------------


def test_images_and_annotations_in_folders_side_by_side():
    for place in ("train", "test"):
        for name in ("a", "b"):
            put(f"d/{place}/images/{name}.jpg", f"{place}{name}")
            put(f"d/{place}/Annotations/{name}.xml")
    lines = scan({"format": "voc", "images": "d"})
    assert matches(lines) == {
        f"{place}/images/{name}.jpg": f"d/{place}/Annotations/{name}.xml"
        for place in ("train", "test")
        for name in "ab"
    }
    assert all(line["problems"] == [] for line in lines.values())


def test_one_folder_a_class_with_training_and_verification_below():
    for name in ("bottle", "cup"):
        for place in ("training", "verification"):
            put(f"d/{name}/{place}/images/1.jpg", f"{name}{place}")
            put(f"d/{name}/{place}/1.xml")
    lines = scan({"format": "voc", "images": "d"})
    assert matches(lines) == {
        f"{name}/{place}/images/1.jpg": f"d/{name}/{place}/1.xml"
        for name in ("bottle", "cup")
        for place in ("training", "verification")
    }
    assert set(splits(lines).values()) == {"train", "val"}
    assert splits(lines)["cup/verification/images/1.jpg"] == "val"


def test_an_annotation_beside_its_image_goes_before_one_in_a_folder_side_by_side():
    put("d/images/a.jpg")
    put("d/images/a.xml", voc_xml("a.jpg", (64, 48), [("near", (1, 2, 30, 40))]))
    put("d/labels/a.xml", voc_xml("a.jpg", (64, 48), [("far", (1, 2, 30, 40))]))
    lines = scan({"format": "voc", "images": "d"})
    assert matches(lines)["images/a.jpg"] == "d/images/a.xml"
    assert [line["problems"][0]["reason"] for line in lines.values() if line["image"] is None] == ["image_missing"]


def test_changes_in_folders_side_by_side_are_noticed():
    for number in range(30):
        put(f"d/images/{number}.jpg")
        put(f"d/labels/{number}.xml")
    scan({"format": "voc", "images": "d"}, shards=4)
    put("d/labels/7.xml", voc_xml("7.jpg", (64, 48), [("dog", (1, 2, 30, 40))]))
    lines = scan({"format": "voc", "images": "d"}, shards=4)
    assert lines["images/7.jpg"]["annotation"]["labels"] == ["dog"]
    os.unlink("d/labels/7.xml")
    assert scan({"format": "voc", "images": "d"}, shards=4)["images/7.jpg"]["annotation"] is None


# --- What other files say, changed while all images and annotations are as they were ------------------------------


@pytest.fixture
def trusted(monkeypatch):
    """Trust every time stamp: else files that have just been written are read again anyway."""
    monkeypatch.setattr(file_cache, "YOUNG_NS", -(10**9))


def test_a_changed_list_of_a_split_is_noticed(trusted):
    source = devkit()
    assert splits(scan(source))["2007_000032.jpg"] == "val"
    put("VOC/ImageSets/Main/val.txt", "")
    put("VOC/ImageSets/Main/test.txt", "2007_000033\n2007_000032\n")
    assert splits(scan(source))["2007_000032.jpg"] == "test"


def test_changed_names_of_numbers_are_noticed(trusted):
    put("d/images/a.jpg")
    put("d/labels/a.txt", "1 0.5 0.5 0.5 0.5\n")
    put("d/classes.txt", "cup\nmug\n")
    source = {"format": "yolo", "images": "d"}
    line = scan(source)["images/a.jpg"]
    assert line["annotation"]["labels"] == ["mug"] and line["annotation"]["normalised"] is True
    assert line["annotation"]["boxes"] == [[0.25, 0.25, 0.75, 0.75]] and line["problems"] == []
    put("d/classes.txt", "cup\nbeaker\n")
    assert scan(source)["images/a.jpg"]["annotation"]["labels"] == ["beaker"]
    put("d/classes.txt", "cup\n")
    line = scan(source)["images/a.jpg"]
    assert line["annotation"] is None
    assert [(p["reason"], p["found"]) for p in line["problems"]] == [
        ("annotation_unreadable", "class 1, but there are names for 0 to 0")
    ]
    assert scan(source | {"names": ["cup", "jar"]})["images/a.jpg"]["annotation"]["labels"] == ["jar"]


def test_one_of_several_origins_that_changed_is_noticed(trusted, tables):
    held = {str(n): remote(f"http://x/{n}.jpg") for n in range(3)}
    tables["one"] = Table(held)
    put("t.json", "one")
    source = {"format": "coco", "annotations": "t.json"}
    scan(source)
    before = origins()
    held["2"] = remote("http://x/2.jpg?size=9")
    os.utime("t.json", ns=(1, 1))
    scan(source)
    assert origins() != before


def test_yolo_without_names_is_told():
    put("d/a.jpg")
    put("d/a.txt", "0 0.5 0.5 0.5 0.5\n")
    with pytest.raises(InputError, match=r"data.sources\[0\].names"):
        scan({"format": "yolo", "images": "d"})


def test_what_tools_leave_beside_yolos_files_is_no_annotation():
    for name in ("a.jpg", "classes.jpg"):
        put(f"d/{name}")
    put("d/a.txt", "0 0.5 0.5 0.5 0.5\n")
    put("d/classes.txt", "cup\n")
    put("d/train.txt", "d/a.jpg\n")
    put("d/README.roboflow.txt", "Hello")
    put("d/b.txt", "0 0.5 0.5 0.5 0.5\n")
    os.unlink("d/classes.jpg")
    lines = scan({"format": "yolo", "images": "d"})
    assert matches(lines) == {"a.jpg": "d/a.txt", "b": "d/b.txt"}


# --- Lists --------------------------------------------------------------------------------------------------------


def devkit():
    for name in ("2007_000027", "2007_000032", "2007_000033"):
        put(f"VOC/JPEGImages/{name}.jpg")
        put(f"VOC/Annotations/{name}.xml")
    put("VOC/ImageSets/Main/train.txt", "2007_000027\n")
    put("VOC/ImageSets/Main/val.txt", "2007_000032 -1\n")
    put("VOC/ImageSets/Main/trainval.txt", "2007_000027\n2007_000032\n")
    put("VOC/ImageSets/Main/test.txt", "2007_000033\n\n")
    return {
        "format": "voc",
        "images": "VOC/JPEGImages",
        "annotations": "VOC/Annotations",
        "split_lists": "VOC/ImageSets/Main",
    }


def test_lists_of_a_devkit_say_the_split():
    source = devkit()
    expected = {"2007_000027.jpg": "train", "2007_000032.jpg": "val", "2007_000033.jpg": "test"}
    assert splits(scan(source)) == expected
    os.unlink("VOC/Annotations/2007_000033.xml")
    assert splits(scan(source)) == expected
    put("VOC/ImageSets/Main/test.txt", "2007_000027\n")
    put("VOC/ImageSets/Main/train.txt", "2007_000033\n")
    put("VOC/ImageSets/Main/trainval.txt", "")
    assert splits(scan(source)) == expected | {"2007_000027.jpg": "test", "2007_000033.jpg": "train"}


def test_trainval_stands_for_train_where_that_is_missing():
    source = devkit()
    os.unlink("VOC/ImageSets/Main/train.txt")
    os.unlink("VOC/ImageSets/Main/val.txt")
    # Without a list for validation, some of the training images are taken for it: none here.
    assert splits(scan(source))["2007_000032.jpg"] == "train"


def test_further_columns_of_a_list_are_no_part_of_the_names():
    for name in ("a", "b 2", "c 1", "c 2"):
        put(f"d/{name}.jpg")
        put(f"d/{name}.xml")
    put("train.txt", "a 2 1 1\nb 2 -1\n\n")
    put("val.txt", "c 1\nc 2\n")
    source = {"format": "voc", "images": "d", "split": "from_folders"}
    lists = {"train": "train.txt", "val": "val.txt"}
    assert splits(scan(source | {"split_lists": lists}, fractions={"test": 1})) == {
        "a.jpg": "train",
        "b 2.jpg": "train",
        "c 1.jpg": "val",
        "c 2.jpg": "val",
    }


def test_listed_images_that_are_not_there_are_told():
    source = devkit()

    def told() -> list[str]:
        lines = []
        inventory.refresh(config(source), LABELS, "cache", "out", report=lines.append)
        return lines

    assert told() == []
    put("VOC/ImageSets/Main/train.txt", "2007_000027\n" + "".join(f"gone{n}\n" for n in range(7)) + "gone0\n")
    put("VOC/ImageSets/Main/val.txt", "2007_000032\nVOC/JPEGImages/lost.jpg\n")
    for _ in range(2):
        # Every time, also where nothing has changed.
        assert told() == [
            "Warning: VOC/ImageSets/Main/train.txt lists 7 image(s) that are not there: "
            "gone0, gone1, gone2, gone3, gone4, ...",
            "Warning: VOC/ImageSets/Main/val.txt lists 1 image(s) that are not there: VOC/JPEGImages/lost",
        ]


def test_lists_of_paths_tell_images_of_one_name_apart():
    for place in ("one", "two"):
        put(f"d/{place}/a.jpg", place)
        put(f"d/{place}/a.xml")
    put("train.txt", "./d/one/a.jpg\n")
    put("test.txt", "/home/me/data/d/two/a.jpg\n")
    lines = scan({"format": "voc", "images": "d", "split_lists": {"train": "train.txt", "test": "test.txt"}})
    assert splits(lines) == {"one/a.jpg": "train", "two/a.jpg": "test"}


def test_what_is_wrong_with_lists_is_told_at_once():
    source = devkit()
    put("VOC/ImageSets/Main/val.txt", "2007_000027\n2007_000033\n")
    lists = {"train": "VOC/ImageSets/Main/train.txt", "val": "VOC/ImageSets/Main/val.txt", "test": "none.txt"}
    with pytest.raises(InputError) as error:
        scan(source | {"split_lists": lists}, source | {"split_lists": "VOC"})
    assert [(problem.file, problem.field) for problem in error.value.problems] == [
        ("config", "data.sources[0].split_lists"),
        ("VOC/ImageSets/Main/val.txt", "val"),
        ("config", "data.sources[1].split_lists"),
    ]


# --- Images that are no files yet ---------------------------------------------------------------------------------


@pytest.fixture
def tables(monkeypatch):
    """What files of a format that knows where images are to be had hold, by path."""
    held = {}

    class Module:
        @staticmethod
        def read(path):
            with open(path, encoding="utf-8") as stream:
                return held[stream.read()]

    monkeypatch.setattr(reading, "_table_module", lambda kind: Module)
    return held


def remote(url, boxes=((1, 2, 3, 4),), split=None, label="cup", **changes):
    count = len(boxes)
    return Annotation(
        file="x",
        boxes=tuple(boxes),
        labels=(label,) * count,
        difficult=(False,) * count,
        truncated=(False,) * count,
        split=split,
        origin=Origin(url),
        **changes,
    )


def origins():
    with open("out/origins.json", encoding="utf-8") as stream:
        return json.load(stream)


def test_images_that_an_annotation_knows_the_address_of(tables):
    url = "https://example.org/a/My%20cup.jpg?width=3"
    tables["one"] = Table({"cups/1": remote(url, crowd=(True,)), "d/2.jpg": remote("http://x/2.jpg", normalised=True)})
    put("t.json", "one")
    put("d/2.jpg")
    lines = scan({"format": "coco", "images": "d", "annotations": "t.json", "name": "n"})
    line = lines["n/My-cup-e9eda1eb"]
    assert (line["image"], line["sha256"]) == (None, None)
    assert line["origin"] == {"url": url, "licence": "", "source": "", "sha256": ""}
    assert line["annotation"]["crowd"] == [True] and "normalised" not in line["annotation"]
    # A file that is there is not fetched.
    assert lines["n/2.jpg"]["image"] == "d/2.jpg" and lines["n/2.jpg"]["annotation"]["normalised"] is True
    assert list(origins()) == ["train-00000-of-00001"]


def test_splits_of_a_table_and_of_its_images(tables):
    tables["one"] = Table({url: remote(f"http://x/{url}", split=url) for url in ("train", "val", "test")})
    put("t.json", "one")
    source = {"format": "coco", "annotations": "t.json"}
    names = {name_of_origin(f"http://x/{split}", ""): split for split in ("train", "val", "test")}
    assert splits(scan(source, val_from_train=0.99)) == names
    assert set(splits(scan(source | {"split": "by_hash"})).values()) == {"train"}
    del tables["one"].annotations["val"]
    os.utime("t.json", ns=(1, 1))
    assert "val" in splits(scan(source, val_from_train=0.99)).values()


def test_one_image_annotated_twice(tables):
    tables["one"] = Table({"a": remote("http://x/1"), "b": remote("http://x/2"), "c": remote("http://x/1?token=9")})
    tables["two"] = Table({"b": remote("http://x/2", label="mug")})
    put("t.json", "one")
    put("u.json", "two")
    lines = scan({"format": "coco", "annotations": ["t.json", "u.json"]})
    once, twice = (name_of_origin(f"http://x/{number}", "") for number in (1, 2))
    assert set(lines) == {once, twice}
    assert lines[once]["problems"] == [] and lines[once]["annotation"]["labels"] == ["cup"]
    assert [p["reason"] for p in lines[twice]["problems"]] == ["annotation_ambiguous"] * 2


def test_problems_of_entries_without_an_annotation(tables):
    skipped = TableProblem("a.jpg", "annotation_ambiguous", Problem("t.json", "a", "two sizes", "Choose."))
    tables["one"] = Table({"b.jpg": remote("http://x/b")}, (skipped,))
    put("t.json", "one")
    put("d/a.jpg")
    lines = scan({"format": "coco", "images": "d", "annotations": "t.json"})
    assert [p["reason"] for p in lines["a.jpg"]["problems"]] == ["annotation_ambiguous"]
    assert lines["a.jpg"]["annotation"] is None


def test_a_list_of_addresses_is_labelled_by_files_of_the_same_names(tables):
    tables["list"] = Table({f"http://x/{n}.png": remote(f"http://x/{n}.png", boxes=()) for n in range(3)})
    put("urls.csv", "list")
    names = [name_of_origin(f"http://x/{n}.png", "") for n in range(3)]
    put(f"labels/{names[1]}.xml")
    lines = scan({"format": "voc", "urls": "urls.csv", "annotations": "labels"})
    assert matches(lines) == {names[0]: None, names[1]: f"labels/{names[1]}.xml", names[2]: None}
    assert all(line["origin"]["url"].startswith("http://x/") for line in lines.values())
    before = origins()
    put(f"labels/{names[1]}.xml", voc_xml("x", (64, 48), [("dog", (1, 2, 30, 40))]))
    assert scan({"format": "voc", "urls": "urls.csv", "annotations": "labels"})[names[1]]["annotation"]["labels"] == [
        "dog"
    ]
    # What is fetched is the same.
    assert origins() == before
    assert set(scan({"format": "urls", "urls": "urls.csv"})) == set(names)


def test_one_changed_entry_touches_one_shard(tables):
    held = {f"{n}.jpg": remote(f"http://x/{n}.jpg") for n in range(40)}
    tables["one"] = Table(held)
    put("t.json", "one")
    source = {"format": "coco", "annotations": "t.json"}
    scan(source, shards=8)
    before = {name: os.stat(f"out/{name}").st_mtime_ns for name in os.listdir("out")}
    held["5.jpg"] = remote("http://x/5.jpg", boxes=((1, 2, 3, 5),))
    os.utime("t.json", ns=(1, 1))
    scan(source, shards=8)
    changed = [name for name, stamp in before.items() if os.stat(f"out/{name}").st_mtime_ns != stamp]
    assert len(changed) == 1 and changed[0].endswith(".jsonl")


@pytest.mark.parametrize(
    ("url", "named", "expected"),
    [
        ("https://e.org/a/peach.jpg", "", "peach-bdaeb562"),
        ("https://e.org/a/peach.jpg?X-Goog-Signature=1&X-Goog-Date=2", "", "peach-bdaeb562"),
        ("https://me:secret@e.org/a/peach.jpg", "", "peach-bdaeb562"),
        ("https://e.org/..%2F..%2Fetc%2Fpasswd", "", "passwd-667c7537"),
        ("https://e.org/", "", "e-org-1ae4ea06"),
        ("http://[", "", "image-0e5178f5"),
        ("tfrecord:d/x.record#12", "b/ö é.jpg", "image-6a5bb301"),
        ("https://e.org/" + "x" * 300, "", "x" * 60 + "-882bc720"),
    ],
)
def test_names_of_images_that_are_no_files(url, named, expected):
    assert name_of_origin(url, named) == expected


def test_names_do_not_hang_on_signatures_but_on_the_rest():
    assert stable_url("https://me:pw@e.org/a?id=3&Expires=1&Signature=x#top") == "https://e.org/a?id=3"
    assert name_of_origin("https://e.org/a?id=3", "") != name_of_origin("https://e.org/a?id=4", "")
    assert name_of_origin("tfrecord:a#1", "x.jpg") == name_of_origin("tfrecord:b#6", "x.jpg")
    assert name_of_origin("tfrecord:a#1", "x.jpg", "12") != name_of_origin("tfrecord:a#1", "x.jpg", "34")


# --- Formats on the disk ------------------------------------------------------------------------------------------


def yolo(path, *lines):
    put(path, "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    ("image", "label", "source"),
    [
        ("d/images/{split}/{name}.jpg", "d/labels/{split}/{name}.txt", {"images": "d"}),
        (
            "d/images/{split}/{name}.jpg",
            "d/labels/{split}/{name}.txt",
            {"images": "d/images", "annotations": "d/labels"},
        ),
        ("d/{split}/images/{name}.jpg", "d/{split}/labels/{name}.txt", {"images": "d"}),
        ("d/{split}/{name}.jpg", "d/{split}/{name}.txt", {"images": "d"}),
    ],
)
def test_yolo_as_its_tools_lay_it_out(image, label, source):
    for split in ("train", "valid", "test"):
        for number, name in enumerate(("a", "b", "empty")):
            put(image.format(split=split, name=name), f"{split}{name}")
            yolo(label.format(split=split, name=name), *["1 0.5 0.5 0.25 0.5"] * (2 - number))
        put(image.format(split=split, name="unlabelled"), split)
    put("d/data.yaml", "train: ../train/images\nnc: 2\nnames: [cup, leaf]\n")
    put("d/train/classes.txt", "other\n")
    lines = scan({"format": "yolo", **source})
    assert len(lines) == 12
    found = {name.rpartition("/")[2] + " " + line["split"]: line for name, line in lines.items()}
    for split in ("train", "val", "test"):
        assert found[f"a.jpg {split}"]["annotation"]["labels"] == ["leaf", "leaf"]
        assert found[f"a.jpg {split}"]["annotation"]["boxes"] == [[0.375, 0.25, 0.625, 0.75]] * 2
        assert found[f"a.jpg {split}"]["annotation"]["normalised"] is True
        assert found[f"empty.jpg {split}"]["annotation"]["boxes"] == []
        assert found[f"unlabelled.jpg {split}"]["annotation"] is None
    assert all(line["problems"] == [] for line in lines.values())


def test_darknet_has_texts_and_lists_beside_its_images():
    for name in ("a", "b"):
        put(f"data/obj/{name}.jpg")
        yolo(f"data/obj/{name}.txt", "0 0.5 0.5 1 1")
    put("data/obj.names", "cup\n")
    put("data/train.txt", "data/obj/a.jpg\n")
    put("data/test.txt", "data/obj/b.jpg\n")
    source = {"format": "yolo", "images": "data", "split_lists": {"train": "data/train.txt", "test": "data/test.txt"}}
    lines = scan(source)
    assert splits(lines) == {"obj/a.jpg": "train", "obj/b.jpg": "test"}
    assert {tuple(line["annotation"]["classes"]) for line in lines.values()} == {("cup",)}


def test_yolo_lines_and_classes_that_cannot_be_used_reject_their_image():
    for name in ("a", "b"):
        put(f"d/{name}.jpg")
    yolo("d/a.txt", "0 0.5 0.5 1 1", "0 320 240 10 10", "x")
    yolo("d/b.txt", "0 0.5 0.5 1 1", "7 0.5 0.5 1 1")
    lines = scan({"format": "yolo", "images": "d", "names": ["cup", "leaf"]})
    assert [(p["reason"], p["field"]) for p in lines["a.jpg"]["problems"]] == [
        ("annotation_unreadable", "line 2"),
        ("annotation_unreadable", "line 3"),
    ]
    assert [(p["reason"], p["field"]) for p in lines["b.jpg"]["problems"]] == [("annotation_unreadable", "class")]


def test_renamed_class_of_yolo_changes_its_lines():
    put("d/a.jpg")
    yolo("d/a.txt", "0 0.5 0.5 1 1")
    put("d/classes.txt", "cup\n")
    source = {"format": "yolo", "images": "d"}
    assert scan(source)["a.jpg"]["annotation"]["labels"] == ["cup"]
    put("d/classes.txt", "mug\n")
    assert scan(source)["a.jpg"]["annotation"]["labels"] == ["mug"]


def test_cvat_names_images_with_and_without_their_folder():
    put("d/a.jpg")
    put("d/train/b.jpg", "1")
    put("d/test/b.jpg", "2")
    box = '<box label="cup" xtl="1" ytl="2" xbr="3.5" ybr="4"/>'
    put(
        "annotations.xml",
        f'<annotations><image name="a.jpg" subset="Validation" width="9" height="8">{box}</image>'
        f'<image name="train/b.jpg"><points points="1,2"/></image>'
        f'<image name="b.jpg" subset="test">{box}<polyline points="1,2"/></image>'
        f'<image name="gone.jpg">{box}</image><image/></annotations>',
    )
    lines = scan({"format": "cvat", "images": "d", "annotations": "annotations.xml"})
    assert splits(lines) == {
        "a.jpg": "val",
        "train/b.jpg": "train",
        "test/b.jpg": "test",
        "gone.jpg": "train",
        "annotations.xml, image 5": "train",
    }
    assert lines["a.jpg"]["annotation"]["boxes"] == [[1, 2, 3.5, 4]]
    assert {name: [p["reason"] for p in line["problems"]] for name, line in lines.items() if line["problems"]} == {
        "train/b.jpg": ["shape_without_box", "all_boxes_unusable"],
        "test/b.jpg": ["shape_without_box"],
        "gone.jpg": ["image_missing"],
        "annotations.xml, image 5": ["row_unreadable"],
    }


def record(path, *images, **features):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        for name, pixels in images:
            boxes = {f"image/object/bbox/{side}": [0.5] for side in ("xmin", "ymin", "xmax", "ymax")}
            names = {"image/filename": [name.encode()], "image/encoded": [pixels]}
            stream.write(frame(serialize({**boxes, **names, **features})))


def test_images_in_records_are_had_from_there():
    number = {"image/object/class/label": [1]}
    record("r/train.record", ("image0.jpg", b"1"), ("image1.jpg", b"2"), ("image1.jpg", b"3"), **number)
    record("r/val.record-00000-of-00001", ("image0.jpg", b"4"), **number)
    put("r/label_map.pbtxt", "item { id: 1 name: 'peach' }")
    source = {
        "format": "tfrecord",
        "annotations": {"train": "r/train.record", "val": "r/val.record-00000-of-00001"},
    }
    lines = scan(source)
    assert sorted((name.partition("-")[0], line["split"]) for name, line in lines.items()) == [
        ("image0", "train"),
        ("image0", "val"),
        ("image1", "train"),
        ("image1", "train"),
    ]
    assert sorted(read_image(line["origin"]["url"]) for line in lines.values()) == [b"1", b"2", b"3", b"4"]
    assert all(line["annotation"]["labels"] == ["peach"] and not line["problems"] for line in lines.values())
    # Another label map, and another place, are no other images.
    put("r/label_map.pbtxt", "item { id: 1 name: 'plum' }")
    renamed = scan(source)
    assert set(renamed) == set(lines)
    assert all(line["annotation"]["labels"] == ["plum"] for line in renamed.values())
    os.rename("r", "s")
    assert set(scan({"format": "tfrecord", "annotations": "s"})) == set(lines)


def test_other_label_map_beside_records_is_seen_though_they_are_as_they_were(monkeypatch):
    monkeypatch.setattr(file_cache, "YOUNG_NS", -(10**18))
    record("r/a.record", ("a.jpg", b"1"), **{"image/object/class/label": [1]})
    found = []
    for name in ("peach", "plum", None):
        if name is None:
            os.unlink("r/label_map.pbtxt")
        else:
            put("r/label_map.pbtxt", f"item {{ id: 1 name: '{name}' }}")
        (line,) = scan({"format": "tfrecord", "annotations": "r"}).values()
        found += line["annotation"]["labels"]
    assert found == ["peach", "plum", "1"]


def test_records_label_files_of_their_names():
    record("r/a.tfrecord", ("a.jpg", b"1"), **{"image/object/class/text": [b"cup"]})
    put("d/sub/a.jpg")
    (line,) = scan({"format": "tfrecord", "images": "d", "annotations": "r/a.tfrecord"}).values()
    assert (line["image"], line["annotation"]["normalised"]) == ("d/sub/a.jpg", True)


def test_several_folders_with_files_of_one_name_are_several_sources():
    for name in ("one", "two"):
        put(f"{name}/training/images/1.jpg", name)
        put(f"{name}/training/images/1.xml", voc_xml("1.jpg", (64, 48), [(name, (1, 2, 30, 40))]))
    lines = scan(*({"format": "voc", "images": name, "name": name} for name in ("one", "two")))
    assert {name: line["annotation"]["labels"] for name, line in lines.items()} == {
        "one/training/images/1.jpg": ["one"],
        "two/training/images/1.jpg": ["two"],
    }
    assert set(splits(lines).values()) == {"train"}


def test_a_tables_own_splits():
    for name in ("a", "b", "c"):
        put(f"d/{name}.jpg")
    rows = [f"{name}.jpg,64,48,cup,1,2,3,4,{split}" for name, split in (("a", "Test"), ("b", ""), ("c", "holdout"))]
    put("t.csv", "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax,split", *rows, ""]))
    source = {"format": "csv", "images": "d", "annotations": "t.csv"}
    lines = scan(source)
    assert splits(lines) == {"a.jpg": "test", "b.jpg": "train", "c.jpg": "train"}
    assert [p["reason"] for p in lines["c.jpg"]["problems"]] == ["annotation_ambiguous"]
    assert set(splits(scan(source | {"split": "by_hash"})).values()) == {"train"}


def test_two_sources_with_one_address_are_refused_unless_named(trusted, tables):
    tables["one"] = Table({"a": remote("http://x/1"), "b": remote("http://x/2")})
    tables["two"] = Table({"c": remote("http://x/1"), "loose": remote("http://x/9")}, ())
    put("t.json", "one")
    put("u.json", "two")
    both = {"format": "coco", "annotations": "t.json"}, {"format": "coco", "annotations": "u.json"}
    with pytest.raises(InputError) as error:
        scan(*both)
    assert [problem.field for problem in error.value.problems] == ["data.sources[].name"]
    assert "http://x/1" in str(error.value)
    named = both[0], both[1] | {"name": "more"}
    assert len(scan(*named)) == 4
    tables["one"].annotations["a"] = remote("http://x/1", boxes=((1, 2, 3, 9),))
    os.utime("t.json", ns=(1, 1))
    assert len(scan(*named)) == 4
    # Images of a list are known only once it is read.
    tables["list"] = Table({"http://x/2": remote("http://x/2", boxes=())})
    put("urls.csv", "list")
    with pytest.raises(InputError, match="http://x/2"):
        scan(both[0], {"format": "urls", "urls": "urls.csv"})


def test_an_address_that_is_listed_twice_is_told(tables):
    tables["one"] = Table({f"http://x/1?{q}": remote(f"http://x/1?{q}", boxes=(), split=s) for q, s in (("", "test"),)})
    tables["two"] = Table({"http://x/1?token=8": remote("http://x/1?token=8", boxes=(), split="train")})
    put("a.csv", "one")
    put("b.csv", "two")
    lines = scan({"format": "urls", "urls": ["a.csv", "b.csv"]})
    assert len(lines) == 2
    (told,) = [line for line in lines.values() if line["problems"]]
    assert [(p["reason"], p["file"]) for p in told["problems"]] == [("row_repeated", "b.csv")]
    assert told["problems"][0]["found"].endswith("listed before: http://x/1, there with split test, here train")


def test_annotations_of_another_format_are_told():
    put("d/a.jpg")
    put("x/a.xml")
    with pytest.raises(InputError) as error:
        scan({"format": "yolo", "images": "d", "annotations": "x", "names": ["cup"]})
    assert [(p.field, p.found) for p in error.value.problems] == [
        ("data.sources[0].annotations", "1 .xml file(s) and no .txt in x")
    ]
    assert "`voc`" in error.value.problems[0].cure


def test_lists_that_name_no_image_are_told():
    source = devkit()
    for split in ("train", "val", "test", "trainval"):
        put(f"VOC/ImageSets/Main/{split}.txt", f"photo_{split}\n")
    with pytest.raises(InputError, match=r"no image of the source in the lists, which have 'photo_train'"):
        scan(source)


def test_line_with_thousands_of_numbers_names_few_images(tmp_path):
    # One name for each column would take the square of its length.
    path = tmp_path / "train.txt"
    path.write_text("a" + " 1" * 100_000)
    problems = []
    lists = SplitLists.read([("train", ("train.txt", str(path), None))], "split_lists", problems)
    assert problems == []
    assert sum(map(len, lists.entries.values())) == 9


def test_line_that_is_there_again_counts_once(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("d/a.jpg\n" * 5000)
    assert SplitLists.read([("train", ("train.txt", str(path), None))], "x", []).entries == {"a": [("d/a", "train")]}
