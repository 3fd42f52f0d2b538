"""The inventory finds every image and annotation, matches them, and changes only when their meaning does."""

import hashlib
import json
import os
import shutil
import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import voc_xml
from odtl import file_cache, inventory
from odtl.errors import InputError
from odtl.inventory import classes, kinds, paths, reading, refreshing, scanning
from odtl.manifest import digest, read_manifest
from odtl.split import assign, shard_names, shard_of

SPLIT = {"fractions": {"train": 0.8, "val": 0.1, "test": 0.1}, "val_from_train": 0, "group": None, "seed": ""}
LABELS = {"classes": None, "aliases": {}}
# How a JPEG begins.
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0"
HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(path: str, content: str | bytes | None = None) -> None:
    """Write a file; an image's content is its path unless given, an XML has one box named after the file."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    if content is None:
        name = os.path.basename(path)
        content = voc_xml(name[:-4] + ".jpg", (64, 48), [("cup", (1, 2, 30, 40))]) if name.endswith(".xml") else path
    with open(path, "wb") as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def source(**changes) -> dict:
    return {"name": None, "format": "voc", "images": "d", "annotations": None, "split": "from_folders", **changes}


def config(*sources: dict, shards: int = 1, **split) -> dict:
    return {"sources": list(sources) or [source()], "split": {**SPLIT, **split}, "shards": shards}


def scan(data: dict | None = None, labels: dict | None = None) -> inventory.Inventory:
    return inventory.scan(data or config(), {**LABELS, **(labels or {})}, "cache", report=lambda text: None)


def lines(found: inventory.Inventory) -> dict[str, dict]:
    return {
        line["id"]: line | {"shard": shard}
        for shard, text in found.manifests.items()
        for line in map(json.loads, text.splitlines())
    }


def matches(found: inventory.Inventory) -> dict[str, str | None]:
    """Return id -> the file of its annotation."""
    return {name: line["annotation"] and line["annotation"]["file"] for name, line in lines(found).items()}


def reasons(found: inventory.Inventory) -> dict[str, list[str]]:
    return {name: [p["reason"] for p in line["problems"]] for name, line in lines(found).items() if line["problems"]}


def splits(found: inventory.Inventory) -> dict[str, str]:
    return {name: line["shard"].split("-")[0] for name, line in lines(found).items()}


def test_advice_is_sought_once_for_each_label_and_for_so_many(monkeypatch):
    sought = []
    monkeypatch.setattr(classes.difflib, "get_close_matches", lambda label, *_, **__: sought.append(label) or ["cup"])
    classify = classes.Classifier({"classes": ["Cup", "leaf"]})
    labels = ["cupp", *(f"odd {number}" for number in range(500)), "cupp"] * 3
    found = {"file": "a.xml", "labels": labels, "classes": [classify(label) for label in labels]}
    told = list(classify.problems(found))
    assert len(told) == len(labels) == 1506
    assert len(sought) == len(set(sought)) == classes._MOST_ADVICE
    assert told[0]["done"] == "box left out; the nearest class is 'Cup': an alias would keep it"
    assert told[400]["done"] == "box left out"
    # What another image had before makes no difference.
    assert list(classes.Classifier({"classes": ["Cup", "leaf"]}).problems(found)) == told
    assert list(classify.problems(found)) == told


# --- One line, in full -------------------------------------------------------------------------------------------


def test_line_on_absolute_values():
    put("d/train/a b.jpg", b"pixels")
    put("d/train/a b.xml", voc_xml("a b.jpg", (64, 48), [("r2-d2", (1, 2, 30, 40)), ("cup", (0, 0, 5.5, 6))]))
    found = scan(labels={"aliases": {"r2-d2": "r2d2"}})
    assert list(found.manifests) == list(shard_names(1))
    sha256 = hashlib.sha256(b"pixels").hexdigest()
    assert found.manifests["train-00000-of-00001"] == (
        '{"annotation": {"boxes": [[1, 2, 30, 40], [0, 0, 5.5, 6]], "classes": ["r2d2", "cup"], '
        '"difficult": [false, false], "file": "d/train/a b.xml", "height": 48, "labels": ["r2-d2", "cup"], '
        '"truncated": [false, false], "width": 64}, "group": "train/a b.jpg", "id": "train/a b.jpg", '
        f'"image": "d/train/a b.jpg", "problems": [], "sha256": "{sha256}"}}\n'
    )
    assert found.manifests["test-00000-of-00001"] == ""
    assert found.classes == ("cup", "r2d2")
    assert found.size == 1


def test_manifests_are_read_back():
    put("d/a.jpg")
    put("d/a.xml", voc_xml("a.jpg", (64, 48), [("cup", ("x", 2, 30, 40))]).replace("48", "0"))
    put("d/b.xml", "<broken")
    digests = inventory.write(scan(config(source(split="test"))), "out")
    path = "out/test-00000-of-00001.jsonl"
    assert digest(path) == digests["test-00000-of-00001"]
    one, other = read_manifest(path)
    assert one.annotation.boxes[0][1:] == (2.0, 30.0, 40.0) and one.annotation.boxes[0][0] != one.annotation.boxes[0][0]
    assert (one.annotation.file, one.annotation.width, one.annotation.height) == ("d/a.xml", 64, None)
    assert (other.id, other.image, other.sha256, other.annotation) == ("b", None, None, None)
    assert [problem.reason for problem in other.problems] == ["annotation_unreadable", "image_missing"]
    assert inventory.read_classes("out") == ["cup"]
    assert inventory.read_shard_classes("out") == {"test-00000-of-00001": ["cup"]}


# --- Matching ----------------------------------------------------------------------------------------------------


def test_same_path_whatever_the_name():
    names = ["a", "A", "with space", "hash#1", "größe", "日本", "dot.in.name", "sub/a", "SUB/a", "percent%20"]
    names += ["quo'te\"", "comma,", "line\nbreak", "-dash", "{brace}"]
    for name in names:
        put(f"d/{name}.JPG")
        put(f"d/{name}.xml")
    found = scan()
    assert matches(found) == {f"{name}.JPG": f"d/{name}.xml" for name in names}
    assert reasons(found) == {}
    for shard in inventory.write(found, "out"):
        read_manifest(f"out/{shard}.jsonl")


def test_annotations_apart_in_the_same_tree():
    for split in ("train", "test"):
        put(f"images/{split}/1.jpg")
        put(f"xml/{split}/1.xml")
    found = scan(config(source(images="images", annotations="xml")))
    assert matches(found) == {"train/1.jpg": "xml/train/1.xml", "test/1.jpg": "xml/test/1.xml"}
    assert splits(found) == {"train/1.jpg": "train", "test/1.jpg": "test"}


def test_annotations_in_another_tree_go_to_the_nearest_base_name():
    for split in ("train", "test"):
        put(f"d/{split}/images/1.jpg")
        put(f"d/{split}/annotations/1.xml")
    put("d/deep/down/only.png")
    put("flat/only.xml")
    found = scan(config(source(annotations=["d", "flat"])))
    assert matches(found) == {
        "train/images/1.jpg": "d/train/annotations/1.xml",
        "test/images/1.jpg": "d/test/annotations/1.xml",
        "deep/down/only.png": "flat/only.xml",
    }
    assert reasons(found) == {}


def test_annotation_never_crosses_from_train_to_test():
    put("d/test/images/1.jpg")
    put("d/train/annotations/1.xml")
    found = scan()
    assert matches(found) == {"test/images/1.jpg": None, "train/annotations/1.jpg": "d/train/annotations/1.xml"}
    assert reasons(found) == {"train/annotations/1.jpg": ["image_missing"]}


def test_annotation_does_not_leave_a_folder_that_holds_images():
    put("d/video1/0001.jpg")
    put("d/video2/0002.jpg")
    put("d/video1/0002.xml")
    put("d/video1/renamed.xml", voc_xml("0002.jpg", (64, 48), []))
    found = scan()
    assert {name: line["image"] for name, line in lines(found).items()} == {
        "video1/0001.jpg": "d/video1/0001.jpg",
        "video2/0002.jpg": "d/video2/0002.jpg",
        "video1/0002.jpg": None,
        "d/video1/renamed.xml": None,
    }
    assert matches(found)["video2/0002.jpg"] is None


@pytest.mark.parametrize("named", ["photo.jpg", "C:\\Users\\me\\photo.jpg", "/home/me/photo.jpg", "photo.png", "photo"])
def test_file_name_in_the_annotation_decides_last(named):
    put("d/photo.jpg")
    put("d/renamed.xml", voc_xml(named, (64, 48), []))
    found = scan()
    assert matches(found) == {"photo.jpg": "d/renamed.xml"}
    assert reasons(found) == {"photo.jpg": ["matched_by_filename"]}


def test_case_counts_last():
    put("d/IMG_1.JPG")
    put("d/img_2.jpg")
    put("x/Img_1.xml", voc_xml("other.jpg", (64, 48), []))
    put("labels.csv", HEADER + "IMG_2.PNG,64,48,cup,1,2,30,40\n")
    found = scan(config(source(annotations="x")))
    assert matches(found) == {"IMG_1.JPG": "x/Img_1.xml", "img_2.jpg": None}
    assert reasons(found) == {"IMG_1.JPG": ["matched_by_filename"]}
    (told,) = lines(found)["IMG_1.JPG"]["problems"]
    assert (told["found"], told["done"]) == ("other.jpg", "matched with IMG_1.JPG: the names differ in case only")
    found = scan(config(csv_source()))
    assert matches(found) == {"IMG_1.JPG": None, "img_2.jpg": "labels.csv"}
    # The right case goes first, and of several that differ in case none is taken.
    put("x/IMG_1.xml", voc_xml("IMG_1.JPG", (64, 48), [("cup", (1, 2, 3, 4))]))
    found = scan(config(source(annotations="x")))
    assert matches(found)["IMG_1.JPG"] == "x/IMG_1.xml"
    assert list(reasons(found).values()) == [["image_missing"]]
    put("d/Img_2.jpg")
    put("labels.csv", HEADER + "IMG_2.jpg,64,48,cup,1,2,30,40\n")
    found = scan(config(csv_source()))
    assert (matches(found)["img_2.jpg"], matches(found)["Img_2.jpg"]) == (None, None)
    assert reasons(found) == {name: ["annotation_ambiguous"] for name in ("img_2.jpg", "Img_2.jpg")}


def test_stale_file_name_does_not_matter_where_the_path_tells():
    for name in ("a", "b"):
        put(f"d/{name}.jpg")
        put(f"d/{name}.xml", voc_xml(f"{name}_before.jpg", (64, 48), []))
    found = scan()
    assert matches(found) == {"a.jpg": "d/a.xml", "b.jpg": "d/b.xml"}
    assert reasons(found) == {}


def test_annotations_that_name_each_others_image_are_told():
    for name, named in (("a", "b"), ("b", "C:\\photos\\a.png"), ("c", "c.png"), ("d", "elsewhere.jpg")):
        put(f"d/{name}.jpg")
        put(f"d/{name}.xml", voc_xml(named if "." in named else f"{named}.jpg", (64, 48), []))
    # Frames of two videos share their names.
    put("d/other/elsewhere.jpg")
    put("d/other/elsewhere.xml")
    found = scan()
    assert {name: file for name, file in matches(found).items() if len(name) == 5} == {
        f"{name}.jpg": f"d/{name}.xml" for name in "abcd"
    }
    assert reasons(found) == {"a.jpg": ["filename_of_another"], "b.jpg": ["filename_of_another"]}
    (problem,) = lines(found)["b.jpg"]["problems"]
    assert problem == {
        "reason": "filename_of_another",
        "file": "d/b.xml",
        "field": "filename",
        "found": "a.png, which is the name of another image there",
        "done": "used for b.jpg, beside which it lies; if two were exchanged, rename them",
    }


def test_name_of_another_is_told_where_other_annotations_are_not_settled():
    put("d/a.jpg")
    put("d/b.jpg")
    put("d/a.xml", voc_xml("b.jpg", (64, 48), []))
    put("d/lost.xml")
    assert reasons(scan()) == {"a.jpg": ["filename_of_another"], "lost.jpg": ["image_missing"]}


def test_name_of_another_follows_the_other(young):
    """As long as the other image is there, and no longer; whatever else is."""
    for name in ("a", *(f"{number:03d}" for number in range(200))):
        put(f"d/{name}.jpg")
        put(f"d/{name}.xml", voc_xml("other.jpg" if name == "a" else f"{name}.jpg", (64, 48), []))

    def told() -> list[str]:
        inventory.refresh(config(), LABELS, "kept", "out", report=lambda text: None)
        found = [line for shard in shard_names(1) for line in read_manifest(f"out/{shard}.jsonl")]
        return [line.id for line in found if line.problems]

    assert told() == []
    put("d/other.jpg")
    assert told() == ["a.jpg"]
    put("d/other.xml", voc_xml("other.jpg", (64, 48), []))
    assert told() == ["a.jpg"]
    put("d/050.xml", voc_xml("a.jpg", (64, 48), []))
    assert sorted(told()) == ["050.jpg", "a.jpg"]
    os.unlink("d/other.jpg")
    os.unlink("d/other.xml")
    assert told() == ["050.jpg"]
    put("d/a.xml", voc_xml("a.jpg", (64, 48), []))
    os.unlink("d/050.xml")
    assert told() == []


def test_weaker_claim_is_an_annotation_without_image():
    put("d/a.jpg")
    put("d/a.xml")
    put("d/copy.xml", voc_xml("a.jpg", (64, 48), [("other", (1, 1, 2, 2))]))
    found = scan()
    assert matches(found)["a.jpg"] == "d/a.xml"
    orphan = lines(found)["d/copy.xml"]
    assert orphan["image"] is None
    assert "a.jpg is annotated by d/a.xml" in orphan["problems"][0]["found"]
    assert found.classes == ("cup",)


def test_composed_and_decomposed_accents_are_the_same_name():
    put("d/e\u0301te\u0301.jpg")
    put("x/\u00e9t\u00e9.xml")
    found = scan(config(source(annotations="x")))
    assert list(matches(found).values()) == ["x/été.xml"]
    assert reasons(found) == {}


def test_name_with_the_images_extension_in_it():
    put("d/a.jpg")
    put("d/a.jpg.xml")
    assert matches(scan()) == {"a.jpg": "d/a.jpg.xml"}


def test_two_images_for_one_annotation():
    put("d/a.jpg")
    put("d/a.png")
    put("d/a.xml", voc_xml("a.png", (64, 48), []))
    assert matches(scan()) == {"a.jpg": None, "a.png": "d/a.xml"}
    put("d/a.xml", voc_xml("other.jpg", (64, 48), []))
    found = scan()
    assert matches(found) == {"a.jpg": None, "a.png": None}
    assert reasons(found) == {"a.jpg": ["annotation_ambiguous"], "a.png": ["annotation_ambiguous"]}


def test_two_annotations_for_one_image():
    data = config(source(annotations=["x", "y"]))
    put("d/a.jpg")
    put("x/a.xml", voc_xml("a.jpg", (64, 48), [("cup", (1, 2, 3, 4))]))
    put("y/a.xml", voc_xml("b.jpg", (64, 48), [("cup", (5, 6, 7, 8))]))
    found = scan(data)
    assert {name: line["image"] for name, line in lines(found).items()} == {"a.jpg": "d/a.jpg", "b.jpg": None}
    assert matches(found)["a.jpg"] == "x/a.xml"
    put("y/a.xml", voc_xml("a.jpg", (64, 48), [("cup", (5, 6, 7, 8))]))
    found = scan(data)
    assert reasons(found) == {"a.jpg": ["annotation_ambiguous"] * 2}
    assert [problem["file"] for problem in lines(found)["a.jpg"]["problems"]] == ["x/a.xml", "y/a.xml"]
    put("y/a.xml", voc_xml("a.jpg", (64, 48), [("cup", (1, 2, 3, 4))]))
    found = scan(data)
    assert matches(found) == {"a.jpg": "x/a.xml"} and reasons(found) == {}


def test_image_without_annotation_and_annotation_without_image():
    put("d/train/free.jpg")
    put("d/test/lost.xml", voc_xml("lost.JPG", (64, 48), [("ghost", (1, 2, 3, 4))]))
    found = scan()
    assert matches(found) == {"train/free.jpg": None, "test/lost.JPG": "d/test/lost.xml"}
    assert reasons(found) == {"test/lost.JPG": ["image_missing"]}
    assert splits(found) == {"train/free.jpg": "train", "test/lost.JPG": "test"}
    assert found.classes == ()


def test_unreadable_annotations_stay_with_their_images():
    contents = {
        "broken": "<annotation>",
        "empty": "",
        "entity": "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>&b;</annotation>",
    }
    for name, content in contents.items():
        put(f"d/{name}.jpg")
        put(f"d/{name}.xml", content)
    found = scan()
    assert reasons(found) == {
        "broken.jpg": ["annotation_unreadable"],
        "empty.jpg": ["annotation_unreadable"],
        "entity.jpg": ["annotation_unsafe"],
    }
    assert all(line["annotation"] is None for line in lines(found).values())


# --- Labels ------------------------------------------------------------------------------------------------------


def test_label_that_is_one_of_the_list_but_for_its_spelling():
    put("d/a.jpg")
    names = ["traffic light", "Traffic-Light", "trafficlight", "traffic  light", "dog", "Hund", "traffic lihgt", "  "]
    put("d/a.xml", voc_xml("a.jpg", (64, 48), [(name, (1, 2, 30, 40)) for name in names]))
    (line,) = lines(
        scan(labels={"classes": ["traffic light", "Dog", "DOG"], "aliases": {"Hund": "Dog", "dog": "D_O-g"}})
    ).values()
    light = "traffic light"
    # Two classes are called dog: which of them is meant cannot be told, not even by way of an alias.
    assert line["annotation"]["classes"] == [light, light, light, light, None, "Dog", None, None]
    told = [(p["reason"], p["field"], p["before"], p.get("after")) for p in line["problems"]]
    assert told == [
        ("label_spelling", "box 2", "Traffic-Light", light),
        ("label_spelling", "box 3", "trafficlight", light),
        ("label_unknown", "box 5", "dog", None),
        ("label_unknown", "box 7", "traffic lihgt", None),
    ]
    assert "the nearest class is 'traffic light'" in line["problems"][3]["done"]
    for shard in inventory.write(scan(labels={"classes": [light]}), "out"):
        for read in read_manifest(f"out/{shard}.jsonl"):
            assert (read.problems[0].before, read.problems[0].after) == ("Traffic-Light", light)


def test_without_a_list_each_label_is_a_class():
    put("d/a.jpg")
    put(
        "d/a.xml",
        voc_xml("a.jpg", (64, 48), [(name, (1, 2, 30, 40)) for name in (" r2-d2 ", "r2d2", "R2D2", "r2\nd2")]),
    )
    found = scan()
    assert found.classes == ("R2D2", "r2 d2", "r2-d2", "r2d2")
    assert reasons(found) == {}


# --- Tables ------------------------------------------------------------------------------------------------------


def csv_source(**changes) -> dict:
    return source(format="csv", annotations="labels.csv", **changes)


def test_table():
    for name in ("train/a.jpg", "test/b.png", "c.jpg", "free.jpg", "negative.jpg"):
        put(f"d/{name}")
    rows = ["a.jpg,64,48,cup,1,2,30,40", "test\\b.png,64,48,leaf,1,2,3,4", "/data/d/c.jpg,64,48,cup,1,2,3,4"]
    rows += ["a.jpg,64,48,leaf,5,6,7,8", "negative.jpg,64,48,,,,,", "lost.jpg,64,48,cup,1,2,3,4", ",1,1,x,1,1,1,1"]
    put("labels.csv", HEADER + "\n".join(rows))
    found = scan(config(csv_source()))
    entries = lines(found)
    assert {name: entry["annotation"] and entry["annotation"]["classes"] for name, entry in entries.items()} == {
        "train/a.jpg": ["cup", "leaf"],
        "test/b.png": ["leaf"],
        "c.jpg": ["cup"],
        "free.jpg": None,
        "negative.jpg": [],
        "lost.jpg": ["cup"],
        "labels.csv, row 8": None,
    }
    assert reasons(found) == {"lost.jpg": ["image_missing"], "labels.csv, row 8": ["row_unreadable"]}
    assert found.classes == ("cup", "leaf")


def test_tables_give_the_split():
    for name in "abcd":
        put(f"d/{name}.jpg")
    put("train.csv", HEADER + "a.jpg,64,48,cup,1,2,30,40\nb.jpg,64,48,cup,1,2,30,40\n")
    put("test.csv", HEADER + "c.jpg,64,48,cup,1,2,30,40\n")
    data = config(csv_source() | {"annotations": {"train": "train.csv", "test": "test.csv"}})
    found = splits(scan(data))
    assert (found["a.jpg"], found["b.jpg"], found["c.jpg"]) == ("train", "train", "test")
    assert found["d.jpg"] == assign("d.jpg", SPLIT["fractions"])


def test_table_decides_between_folders_of_one_name():
    for split in ("train", "test"):
        put(f"d/{split}/1.jpg")
        put(f"{split}.csv", HEADER + f"1.jpg,64,48,{split},1,2,30,40\n")
    found = lines(scan(config(csv_source() | {"annotations": {"train": "train.csv", "test": "test.csv"}})))
    assert {name: line["annotation"]["classes"] for name, line in found.items()} == {
        "train/1.jpg": ["train"],
        "test/1.jpg": ["test"],
    }


def test_image_in_two_tables_of_different_splits_is_rejected():
    put("d/a.jpg")
    for split in ("train", "test"):
        put(f"{split}.csv", HEADER + "a.jpg,64,48,cup,1,2,30,40\n")
    data = config(csv_source() | {"annotations": {"train": "train.csv", "test": "test.csv"}})
    assert reasons(scan(data)) == {"a.jpg": ["annotation_ambiguous"] * 2}
    assert reasons(scan(config(csv_source() | {"annotations": ["train.csv", "test.csv"]}))) == {}


def test_table_that_names_another_extension():
    put("d/a.png")
    put("labels.csv", HEADER + "a.jpg,64,48,cup,1,2,30,40\n")
    found = scan(config(csv_source()))
    assert (matches(found), reasons(found)) == ({"a.png": "labels.csv"}, {"a.png": ["matched_by_filename"]})


# --- Splits and shards -------------------------------------------------------------------------------------------


def test_folder_names_decide_in_any_case():
    folders = {"Training": "train", "x/VALID": "val", "validation": "val", "test/train": "test", "TESTING": "test"}
    for folder in folders:
        put(f"d/{folder}/1.jpg")
    put("d/1.xml")
    found = splits(scan())
    assert {f"{folder}/1.jpg": split for folder, split in folders.items()}.items() <= found.items()


def test_val_is_taken_from_train_by_group_where_there_is_none():
    for index in range(300):
        put(f"d/train/{index:03}.jpg")
    put("d/test/1.jpg")
    put("d/1.xml")
    pattern = r"train/(\d\d)"
    found = splits(scan(config(val_from_train=0.2, group=pattern, seed="1")))
    counts = Counter(found.values())
    assert counts["val"] % 10 == 0 and 20 <= counts["val"] <= 100
    assert len({(name[:8], split) for name, split in found.items() if name.startswith("train/")}) == 30
    put("d/val/1.jpg")
    assert Counter(splits(scan(config(val_from_train=0.2, group=pattern, seed="1"))).values())["val"] == 1


@pytest.mark.parametrize("mode", ["train", "val", "test"])
def test_split_of_a_whole_source(mode):
    put("d/train/a.jpg")
    put("d/train/a.xml")
    assert splits(scan(config(source(split=mode)))) == {"train/a.jpg": mode}


def test_by_hash_does_not_look_at_folders():
    for index in range(40):
        put(f"d/train/{index}.jpg")
    put("d/train/1.xml")
    found = scan(config(source(split="by_hash"), shards=3, seed="s"))
    for name, line in lines(found).items():
        split = assign(name, SPLIT["fractions"], "s")
        assert line["shard"] == f"{split}-{shard_of(name, 3):05d}-of-00003"


def test_added_images_move_nothing():
    for index in range(30):
        put(f"d/{index}.jpg")
    put("d/1.xml")
    before = lines(scan(config(shards=3)))
    for index in range(30, 60):
        put(f"d/{index}.jpg")
    after = lines(scan(config(shards=3)))
    assert before.items() <= after.items()


def test_groups_file_goes_before_the_expression_and_its_splits_before_all_else():
    for name in ("train/a1", "train/a2", "train/b1", "train/b2", "test/c"):
        put(f"d/{name}.jpg")
        put(f"d/{name}.xml")
    rows = ["image,group,split", "train/a1.jpg,one,val", "test/c.jpg,one,val", "train/b1.jpg,two,"]
    put("groups.csv", "\n".join(rows))
    found = scan(config(group="[ab](?=[0-9])", groups="groups.csv"))
    assert splits(found) == {
        "train/a1.jpg": "val",
        "test/c.jpg": "val",
        **dict.fromkeys(["train/a2.jpg", "train/b1.jpg", "train/b2.jpg"], "train"),
    }
    assert {name: line["group"] for name, line in lines(found).items()} == {
        "train/a1.jpg": "one",
        "test/c.jpg": "one",
        "train/a2.jpg": "a",
        "train/b1.jpg": "two",
        "train/b2.jpg": "b",
    }


def test_group_without_a_split_goes_by_the_hash_of_its_name():
    for index in range(60):
        put(f"d/{index}.jpg")
    put("d/1.xml")
    put("groups.csv", "image,group\n" + "".join(f"{index}.jpg,{'gh'[index % 2]}\n" for index in range(40)))
    found = splits(scan(config(groups="groups.csv", fractions={"train": 0.5, "val": 0, "test": 0.5})))
    fractions = {"train": 0.5, "val": 0, "test": 0.5}
    assert {found[f"{index}.jpg"] for index in range(0, 40, 2)} == {assign("g", fractions)}
    assert {found[f"{index}.jpg"] for index in range(1, 40, 2)} == {assign("h", fractions)}
    # All others go where they would go without the file.
    without = splits(scan(config(fractions=fractions)))
    assert all(found[f"{index}.jpg"] == without[f"{index}.jpg"] for index in range(40, 60))


def test_changed_groups_file_places_anew_and_a_broken_one_is_refused(young):
    for name in ("a", "b"):
        put(f"d/train/{name}.jpg")
        put(f"d/train/{name}.xml")
    data = config(groups="groups.csv")
    time.sleep(0.02)

    def refreshed() -> dict[str, list[str]]:
        inventory.refresh(data, LABELS, "cache", "out", lambda text: None)
        manifests = {split: f"out/{split}-00000-of-00001.jsonl" for split in ("train", "val")}
        return {split: [line.id for line in read_manifest(path)] for split, path in manifests.items()}

    put("groups.csv", "image,group,split\ntrain/a.jpg,g,val\n")
    assert refreshed() == {"train": ["train/b.jpg"], "val": ["train/a.jpg"]}
    put("groups.csv", "image,group,split\ntrain/b.jpg,g,val\n")
    assert refreshed() == {"train": ["train/a.jpg"], "val": ["train/b.jpg"]}
    put("groups.csv", "image,group,split\n")
    assert refreshed() == {"train": ["train/a.jpg", "train/b.jpg"], "val": []}
    put("groups.csv", "image,group,split\ntrain/b.jpg,g,dev\n")
    with pytest.raises(InputError, match="found the split 'dev'"):
        refreshed()


# --- Classes -----------------------------------------------------------------------------------------------------


def test_fixed_list_and_aliases():
    put("d/a.jpg")
    entries = [(label, (1, 2, 3, 4)) for label in ("cup", "mug", "cpu", " ", "zebra")]
    put("d/a.xml", voc_xml("a.jpg", (64, 48), entries))
    found = scan(labels={"classes": ["leaf", "cup"], "aliases": {"mug": "cup"}})
    (line,) = lines(found).values()
    assert line["annotation"]["classes"] == ["cup", "cup", None, None, None]
    assert [(problem["field"], problem["done"]) for problem in line["problems"]] == [
        ("box 3", "box left out; the nearest class is 'cup': an alias would keep it"),
        ("box 5", "box left out"),
    ]
    assert found.classes == ("cup",)


# --- What is looked at -------------------------------------------------------------------------------------------


def test_hidden_files_and_what_is_no_image_are_not_looked_at():
    put("d/a.jpg")
    put("d/a.xml")
    for name in ("._a.jpg", "._a.xml", ".hidden/b.jpg"):
        put(f"d/{name}", JPEG)
    # By their names something else, whatever they hold; or by what they hold.
    for name in ("notes.txt", "c.jpg.bak", "d.jpg.part", "setup.py", "film.mp4"):
        put(f"d/{name}", JPEG)
    for name in ("jpg", "xml", "LICENSE", "BMX", "thing.xyz"):
        put(f"d/{name}", "BM is how this text begins, but it is no bitmap" if name == "BMX" else name)
    put("d/zeros", b"")
    os.mkfifo("d/pipe")
    os.symlink("gone", "d/dangling")
    assert list(matches(scan())) == ["a.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        "lost.jfif",
        "a.jpe",
        "a.JIF",
        "a.pjpeg",
        "a.heic",
        "a.avif",
        "a.jp2",
        "noext",
        "sub.d/noext",
        "photo.xyz",
        "v1.2",
    ],
)
def test_image_of_whatever_name_has_a_line(name):
    put("d/first.jpg")
    put("d/first.xml")
    put(f"d/{name}", JPEG)
    assert matches(scan()) == {"first.jpg": "d/first.xml", name: None}


@pytest.mark.parametrize("name", ["lost.jfif", "a.heic", "noext", "sub.d/noext", "v1.2"])
def test_image_of_whatever_name_has_its_annotation_beside_it(name):
    put("d/first.jpg")
    put("d/first.xml")
    put(f"d/{name}", JPEG)
    # What is no extension of an image is part of the name.
    xml = f"d/{paths.stem_of(name)}.xml"
    put(xml, voc_xml(name, (64, 48), []))
    found = scan()
    assert matches(found)[name] == xml
    assert reasons(found) == {}


@pytest.mark.parametrize(
    "head",
    [
        *(JPEG, b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x10\0\0\0WEBPVP8 ", b"II*\0", b"MM\0*", b"8BPS\0\1"),
        *(b"\0\0\0\x18ftypheic", b"\0\0\0\x1cftypavif", b"\0\0\0\x0cjP  \r\n\x87\n"),
        b"BM" + bytes(12) + b"\x28\0\0\0",
    ],
)
def test_first_bytes_tell_where_the_name_does_not(head):
    put("d/first.jpg")
    put("d/first.xml")
    put("d/noext", head + bytes(100))
    assert matches(scan()) == {"first.jpg": "d/first.xml", "noext": None}


def test_film_or_text_is_no_image():
    put("d/first.jpg")
    put("d/first.xml")
    put("d/film", b"\0\0\0\x18ftypisom" + bytes(100))
    put("d/text", b"\xff\xfea\0b\0")
    assert list(matches(scan())) == ["first.jpg"]


def test_file_without_extension_is_opened_once_and_followed(monkeypatch, young):
    put("d/first.jpg")
    put("d/first.xml")
    for name in ("one", "other"):
        put(f"d/{name}", JPEG if name == "one" else "text")
    opened, begins = [], kinds._begins
    monkeypatch.setattr(kinds, "_begins", lambda path, key: opened.append(path) or begins(path, key))
    assert sorted(matches(scan())) == ["first.jpg", "one"]
    assert sorted(opened) == ["d/one", "d/other"]
    scan()
    assert len(opened) == 2
    put("d/other", JPEG)
    put("d/one", "text")
    assert sorted(matches(scan())) == ["first.jpg", "other"]
    assert sorted(opened[2:]) == ["d/one", "d/other"]
    os.unlink("d/other")
    assert list(matches(scan())) == ["first.jpg"]


def test_links_are_followed_and_loops_end():
    put("d/one/a.jpg")
    put("d/one/a.xml")
    put("elsewhere/b.jpg")
    os.symlink("..", "d/one/loop")
    os.symlink("one", "d/again")
    os.symlink("../elsewhere", "d/linked")
    os.symlink("../elsewhere/b.jpg", "d/c.jpg")
    os.symlink("gone.jpg", "d/dangling.jpg")
    os.symlink("self.jpg", "d/self.jpg")
    os.mkfifo("d/pipe.jpg")
    os.mkfifo("d/pipe.xml")
    found = scan()
    assert set(matches(found)) == {"one/a.jpg", "linked/b.jpg", "c.jpg", "dangling.jpg", "self.jpg", "pipe.jpg"}
    assert reasons(found) == {
        "dangling.jpg": ["image_unreadable"],
        "self.jpg": ["image_unreadable"],
        "pipe.jpg": ["image_unreadable", "annotation_unreadable"],
    }


def test_sources_with_one_id_are_refused_and_names_help():
    for folder in ("d", "e"):
        put(f"{folder}/a.jpg")
        put(f"{folder}/a.xml")
    with pytest.raises(InputError, match=r"a\.jpg in both d/a\.jpg and e/a\.jpg"):
        scan(config(source(), source(images="e")))
    found = scan(config(source(name="one"), source(name="two", images="e")))
    assert matches(found) == {"one/a.jpg": "d/a.xml", "two/a.jpg": "e/a.xml"}


def test_everything_wrong_with_the_sources_is_told_at_once():
    put("empty/notes.txt")
    put("broken.csv", "a,b\n")
    put("d/a.jpg")
    with pytest.raises(InputError) as caught:
        scan(
            config(
                source(images="none"),
                source(images="empty"),
                source(annotations="nowhere"),
                csv_source() | {"annotations": None},
                csv_source() | {"annotations": "none.csv"},
                csv_source() | {"annotations": "d"},
            )
        )
    assert [problem.field for problem in caught.value.problems] == [
        "data.sources[0].images",
        "data.sources[1].images",
        "data.sources[2].annotations",
        "data.sources[3].annotations",
        "data.sources[4].annotations",
        "data.sources[5].annotations",
    ]
    with pytest.raises(InputError, match="header"):
        scan(config(csv_source() | {"annotations": "broken.csv"}))


def test_no_annotation_at_all_is_refused():
    put("d/a.jpg")
    with pytest.raises(InputError, match="no annotation at all"):
        scan()


def test_name_that_is_no_utf8_is_refused():
    put("d/a.xml")
    with open(b"d/\xff.jpg", "wb"):
        pass
    with pytest.raises(InputError, match="no UTF-8"):
        scan()


# --- Writing only what changed, reading only what is new ---------------------------------------------------------


def stamps(folder: str = "out") -> dict[str, int]:
    return {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(folder)}


def some_pairs(count: int = 12) -> None:
    for index in range(count):
        put(f"d/{index}.jpg")
        put(f"d/{index}.xml")


def test_only_the_shard_of_a_change_is_written():
    some_pairs()
    data = config(source(split="train"), shards=4)
    inventory.write(scan(data), "out")
    before = stamps()
    assert len(before) == 15
    put("d/3.xml", voc_xml("3.jpg", (64, 48), [("cup", (1, 2, 31, 40))]))
    inventory.write(scan(data), "out")
    changed = {name for name, stamp in stamps().items() if before[name] != stamp}
    assert changed == {f"train-{shard_of('3.jpg', 4):05d}-of-00004.jsonl"}


def test_touched_and_resaved_files_change_nothing():
    some_pairs(3)
    inventory.write(scan(), "out")
    before = stamps()
    for index in range(3):
        os.utime(f"d/{index}.jpg")
        content = voc_xml(f"{index}.jpg", (64, 48), [("cup", (1, 2, 30, 40))])
        put(f"d/{index}.xml", content.replace("/elsewhere/", "C:\\").replace("><", ">\n  <") + "\n<!-- saved -->")
    inventory.write(scan(), "out")
    assert stamps() == before


def test_manifests_of_shards_that_are_gone_are_removed_and_other_files_stay():
    some_pairs(3)
    inventory.write(scan(config(shards=3)), "out")
    put("out/notes.jsonl", "mine")
    inventory.write(scan(config(shards=2)), "out")
    assert set(stamps()) == {
        "classes.txt",
        "classes.json",
        "origins.json",
        "notes.jsonl",
        *(f"{name}.jsonl" for name in shard_names(2)),
    }


def age(folder: str = "d") -> None:
    """Wait until the files are older than the time stamps' resolution is trusted for."""
    newest = max(entry.stat().st_ctime_ns for entry in os.scandir(folder))
    time.sleep(max(0, (newest + file_cache.YOUNG_NS + 50_000_000 - time.time_ns()) / 1e9))


@pytest.fixture
def young(monkeypatch):
    monkeypatch.setattr(file_cache, "YOUNG_NS", 0)


@pytest.fixture
def reads(monkeypatch):
    """Record which files are read."""
    seen = []

    def recorder(reader):
        def record(path, key):
            seen.append(path)
            return reader(path, key)

        return record

    readers = {kind: recorder(reader) for kind, reader in reading.READERS.items()}
    monkeypatch.setattr(reading, "READERS", readers)
    return seen


def test_unchanged_files_are_not_read_again(reads, young):
    some_pairs(3)
    time.sleep(0.02)
    first = scan()
    assert sorted(reads) == [f"d/{index}.{kind}" for index in range(3) for kind in ("jpg", "xml")]
    reads.clear()
    assert scan() == first and reads == []
    put("d/1.jpg", "other")
    os.remove("d/2.xml")
    second = scan()
    assert reads == ["d/1.jpg"]
    shutil.rmtree("cache")
    assert scan() == second


def test_young_files_are_read_again(reads):
    some_pairs(1)
    first = scan()
    reads.clear()
    assert scan() == first
    assert sorted(reads) == ["d/0.jpg", "d/0.xml"]
    age()
    scan()
    reads.clear()
    scan()
    assert reads == []


def test_change_that_keeps_size_and_mtime_is_seen(young):
    put("d/a.jpg", "one")
    put("d/a.xml")
    time.sleep(0.02)
    first = scan()
    status = os.stat("d/a.jpg")
    put("d/a.jpg", "two")
    os.utime("d/a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert scan() != first


@pytest.mark.parametrize("content", [b"", b"{", b"odtl\x01", b"odtl\x01" + bytes(40), b"\xff\xfe"])
def test_damaged_cache_is_ignored(content, young):
    some_pairs(2)
    time.sleep(0.02)
    first = scan()
    for name in os.listdir("cache"):
        put(f"cache/{name}", content)
    assert scan() == first


def test_progress_is_told(monkeypatch):
    some_pairs(4)
    monkeypatch.setattr(file_cache, "PROGRESS_SECONDS", -1.0)
    monkeypatch.setattr(scanning, "_SMALL", 1)
    told = []
    inventory.scan(config(), LABELS, "cache", told.append)
    counts = [int(text.split()[1]) for text in told]
    assert told[-1].startswith("inventory: 8 of 8 files") and counts == sorted(counts) and len(set(counts)) > 1


def test_short_cut_sees_every_change(reads, young):
    some_pairs(4)
    time.sleep(0.02)

    def refresh(data=None, labels=LABELS):
        reads.clear()
        return inventory.refresh(data or config(), labels, "cache", "out")

    first = refresh()
    assert first == inventory.write(scan(), "out")
    assert refresh() == first and reads == []
    put("d/1.xml", voc_xml("1.jpg", (64, 48), []))
    second = refresh()
    assert second != first and reads == ["d/1.xml"]
    os.remove("out/train-00000-of-00001.jsonl")
    assert refresh() == second and os.path.exists("out/train-00000-of-00001.jsonl")
    put("out/classes.txt", "wrong")
    assert refresh() == second and inventory.read_classes("out") == ["cup"]
    assert refresh(labels={"classes": None, "aliases": {"cup": "mug"}}) != second
    assert inventory.read_classes("out") == ["mug"]
    assert len(refresh(config(shards=2))) == 6
    os.remove("d/1.jpg")
    assert refresh() != second
    put("cache/state", "{")
    assert refresh() == inventory.write(scan(), "out")


def test_short_cut_does_not_look_into_files(young, monkeypatch):
    some_pairs(2)
    time.sleep(0.02)
    digests = inventory.refresh(config(), LABELS, "cache", "out")
    monkeypatch.setattr(refreshing, "make_plan", lambda *arguments: pytest.fail("file names were looked into"))
    assert inventory.refresh(config(), LABELS, "cache", "out") == digests


NAMES = st.sampled_from(["a", "b", "A", "train/a", "test/a", "x/b", "train/x/a", "ä"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.tuples(NAMES, st.sampled_from(["jpg", "png"])), min_size=1, max_size=6),
    st.dictionaries(NAMES, st.sampled_from(["a.jpg", "b.png", "C:\\a.jpg", "", "<"]), min_size=1, max_size=6),
)
def test_every_image_and_annotation_is_accounted_for(tmp_path_factory, images, annotations):
    folder = tmp_path_factory.mktemp("data")
    for name, extension in images:
        put(f"{folder}/d/{name}.{extension}")
    for name, named in annotations.items():
        put(f"{folder}/d/{name}.xml", "<" if named == "<" else voc_xml(named, (64, 48), [(name, (1, 2, 3, 4))]))
    data = config(source(images=f"{folder}/d"), shards=2)
    found = inventory.scan(data, LABELS, f"{folder}/cache")
    entries = [json.loads(text) for shard in found.manifests.values() for text in shard.splitlines()]
    assert len({entry["id"] for entry in entries}) == len(entries) == found.size
    assert sorted(filter(None, (entry["image"] for entry in entries))) == sorted(
        f"{folder}/d/{name}.{extension}" for name, extension in images
    )
    told = {entry["annotation"]["file"] for entry in entries if entry["annotation"]}
    told |= {problem["file"] for entry in entries for problem in entry["problems"]}
    assert told >= {f"{folder}/d/{name}.xml" for name in annotations}
    used = [entry["annotation"]["file"] for entry in entries if entry["annotation"]]
    assert len(set(used)) == len(used)
    assert inventory.scan(data, LABELS, f"{folder}/other-cache") == found
