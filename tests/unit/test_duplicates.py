"""From images on the disk to pairs, a verdict and groups."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from helpers import scene, voc_xml
from odtl.duplicates.copies import compare_copies, same_boxes
from odtl.duplicates.finding import find_duplicates
from odtl.duplicates.groups_file import read_groups
from odtl.duplicates.hashes import hash_images, read_hashes
from odtl.duplicates.leaks import check_leaks, refuse_leaks
from odtl.errors import InputError
from odtl.inventory import scan, write
from odtl.making_boxes import make_boxes
from odtl.manifest import image_digest, manifest_path, placing_digest, read_manifest
from odtl.split import shard_names

SHARDS = 2


class Data:
    """A data set in a folder, taken through the stages."""

    def __init__(self, folder: Path, **split) -> None:
        self.folder, self.results = folder, folder / "results"
        # Other sources than its folder of VOC annotations.
        self.more: list[dict] = []
        self.split = {"fractions": {"train": 0.8, "val": 0.1, "test": 0.1}, "val_from_train": 0, **split}

    def add(self, name: str, image: Image.Image | None, labels=("a",), box=(10, 20, 110, 120), **options) -> None:
        path = self.folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if image is not None:
            image.save(path, **options)
        if labels is not None:
            objects = [(label, box) for label in labels]
            path.with_suffix(".xml").write_text(voc_xml(path.name, (640, 480), objects), encoding="utf-8")

    def run(self) -> dict:
        """Run all stages; return the summary of duplicates."""
        sources = [{"format": "voc", "images": str(self.folder / "images")}, *self.more]
        config = {"sources": sources, "split": self.split, "shards": SHARDS}
        write(scan(config, {"classes": None, "aliases": {}}, None), self.results / "inventory")
        self.shards = shard_names(SHARDS)
        manifests = [manifest_path(self.results / "inventory", shard) for shard in self.shards]
        for shard, manifest in zip(self.shards, manifests, strict=True):
            hash_images(manifest, self.path("hashes", shard), self.results / f"hashes/{shard}.json")
            make_boxes(manifest, self.path("boxes", shard), self.path("repairs", shard))
        return find_duplicates(
            [self.path("hashes", shard) for shard in self.shards],
            manifests,
            self.split.get("groups"),
            *(self.results / name for name in ("duplicates.csv", "groups.csv", "duplicates.json")),
        )

    def path(self, stage: str, shard: str) -> Path:
        return self.results / stage / f"{shard}.csv"

    def rows(self, name: str) -> list[dict]:
        with open(self.results / name, encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    def verdict(self, mode: str = "refuse") -> dict:
        verdict = self.results / "leaks.json"
        check_leaks(self.results / "duplicates.json", "results/dataset/groups.csv", verdict, mode)
        return json.loads(verdict.read_text(encoding="utf-8"))


@pytest.fixture
def leaking(tmp_path):
    data = Data(tmp_path)
    data.add("train/a.png", scene(1))
    data.add("train/b.png", scene(2))
    data.add("train/c.png", scene(3))
    data.add("val/mirror of b.jpg", ImageOps.mirror(scene(2)), quality=80)
    data.add("test/a again.png", scene(1), box=(12, 21, 111, 119))
    data.add("test/smaller c.jpg", scene(3).resize((320, 240)), quality=80)
    data.add("test/d.png", scene(4))
    data.add("test/e.png", scene(5))
    data.add("val/e.png", scene(5), labels=("a", "b"))
    return data


def test_identical_near_and_mirror_images_are_found_in_and_across_splits(leaking):
    summary = leaking.run()
    rows = leaking.rows("duplicates.csv")
    assert [(row["kind"], row["image"], row["other"], row["leak"]) for row in rows] == [
        ("identical", "test/a again.png", "train/a.png", "1"),
        ("near", "test/smaller c.jpg", "train/c.png", "1"),
        ("mirror", "train/b.png", "val/mirror of b.jpg", "1"),
        ("identical", "test/e.png", "val/e.png", "0"),
    ]
    assert [row["distance"] for row in rows if row["kind"] == "identical"] == ["0.0", "0.0"]
    assert all(0 <= float(row["distance"]) < 2 for row in rows)
    assert summary["images"] == 9
    assert summary["images_alike"] == 8
    assert summary["pairs"] == {"identical": 2, "near": 1, "mirror": 1}
    assert summary["leaks"]["images"] == 3
    assert summary["leaks"]["pairs"] == {"identical": 1, "near": 1, "mirror": 1}
    assert summary["between_val_and_test"] == 1


def test_near_and_mirror_images_within_one_split_are_found_and_no_leak(tmp_path):
    data = Data(tmp_path)
    data.add("train/a.png", scene(1))
    data.add("train/b.png", scene(2))
    data.add("train/a smaller.jpg", scene(1).resize((320, 240)), quality=80)
    data.add("train/b mirrored.png", ImageOps.mirror(scene(2)))
    data.add("test/c.png", scene(3))
    summary = data.run()
    rows = data.rows("duplicates.csv")
    assert [(row["kind"], row["image"], row["other"], row["leak"]) for row in rows] == [
        ("near", "train/a smaller.jpg", "train/a.png", "0"),
        ("mirror", "train/b mirrored.png", "train/b.png", "0"),
    ]
    assert {row["split"] for row in rows} == {row["other_split"] for row in rows} == {"train"}
    assert summary["pairs"] == {"identical": 0, "near": 1, "mirror": 1}
    assert summary["leaks"]["images"] == summary["between_val_and_test"] == 0
    assert data.verdict()["images"] == 0


def test_same_image_in_two_sources_of_different_formats_is_found(tmp_path):
    data = Data(tmp_path)
    data.add("train/a.png", scene(1))
    data.add("train/b.png", scene(2))
    tabled, listed = tmp_path / "tabled", tmp_path / "listed"
    for folder in (tabled, listed):
        folder.mkdir()
    shutil.copy(tmp_path / "images/train/a.png", tabled / "other name.png")
    scene(2).resize((320, 240)).save(listed / "b.jpg", quality=80)
    table = "filename,width,height,class,xmin,ymin,xmax,ymax\nother name.png,640,480,a,10,20,110,120\n"
    (tmp_path / "labels.csv").write_text(table)
    image = {"id": 1, "file_name": "b.jpg", "width": 320, "height": 240}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 10, 50, 50]}
    coco = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    data.more = [
        {"name": "csv", "format": "csv", "images": str(tabled), "annotations": str(tmp_path / "labels.csv")},
        {"name": "coco", "format": "coco", "images": str(listed), "annotations": str(tmp_path / "coco.json")},
    ]
    data.more[0]["split"], data.more[1]["split"] = "test", "train"
    data.run()
    rows = data.rows("duplicates.csv")
    assert [(row["kind"], row["image"], row["other"], row["leak"]) for row in rows] == [
        ("identical", "csv/other name.png", "train/a.png", "1"),
        ("near", "coco/b.jpg", "train/b.png", "0"),
    ]
    _, copies = compared(data)
    assert [(row["image"], row["other"], row["same_boxes"]) for row in copies] == [
        ("csv/other name.png", "train/a.png", "1")
    ]


def test_leaks_are_refused_with_examples_and_the_cure(leaking):
    leaking.run()
    with pytest.raises(InputError) as caught:
        leaking.verdict()
    text = str(caught.value)
    assert "3 training image(s) show the same as images of val or test (1 identical, 1 near, 1 mirror pair(s))" in text
    assert "test/a again.png: test: found the same file in train, train/a.png" in text
    assert "train/b.png: train: found the mirror image of it in val, val/mirror of b.jpg" in text
    assert "cp results/dataset/groups.csv groups.csv" in text
    assert "data.leaks to report" in text
    assert not (leaking.results / "leaks.json").exists()
    assert leaking.verdict("report")["images"] == 3


def test_following_the_proposed_groups_stops_the_leaks_also_where_folders_give_the_split(leaking):
    leaking.run()
    groups = leaking.folder / "groups.csv"
    groups.write_bytes((leaking.results / "groups.csv").read_bytes())
    leaking.split["groups"] = str(groups)
    summary = leaking.run()
    assert summary["pairs"] == {"identical": 2, "near": 1, "mirror": 1}
    assert summary["leaks"]["images"] == summary["between_val_and_test"] == 0
    assert leaking.verdict() == {"mode": "refuse", "images": 0, "pairs": {"identical": 0, "near": 0, "mirror": 0}}
    # Nothing more is proposed, and images in no pair have stayed.
    assert (leaking.results / "groups.csv").read_bytes() == groups.read_bytes()
    lines = {line.id: shard for shard in leaking.shards for line in read_manifest(manifest_of(leaking, shard))}
    assert {name: shard.split("-")[0] for name, shard in lines.items()} == {
        "train/a.png": "test",
        "train/b.png": "val",
        "train/c.png": "test",
        "val/mirror of b.jpg": "val",
        "test/a again.png": "test",
        "test/smaller c.jpg": "test",
        "test/d.png": "test",
        "test/e.png": "test",
        "val/e.png": "test",
    }


def manifest_of(data: Data, shard: str) -> Path:
    return manifest_path(data.results / "inventory", shard)


def test_images_without_a_usable_annotation_do_not_count(tmp_path):
    data = Data(tmp_path)
    data.add("train/a.png", scene(1))
    data.add("train/b.png", scene(2))
    data.add("test/unlabelled.png", scene(1), labels=None)
    data.add("test/broken.png", scene(2))
    (tmp_path / "images/test/broken.xml").write_text("<annotation>", encoding="utf-8")
    summary = data.run()
    assert summary["images"] == 2
    assert summary["pairs"] == {"identical": 0, "near": 0, "mirror": 0}


def test_damaged_images_have_no_hash_and_plain_ones_an_empty_one(tmp_path):
    data = Data(tmp_path)
    data.add("train/whole.png", scene(1))
    data.add("train/cut.jpg", scene(2), quality=90)
    cut = tmp_path / "images/train/cut.jpg"
    cut.write_bytes(cut.read_bytes()[:3000])
    data.add("train/html.jpg", None)
    (tmp_path / "images/train/html.jpg").write_text("<html>404", encoding="utf-8")
    data.add("train/white.png", Image.new("RGB", (640, 480), "white"))
    data.add("test/white.png", Image.new("RGB", (640, 481), "white"))
    summary = data.run()
    hashed = {row.image: row.look.hash for shard in data.shards for row in read_hashes(data.path("hashes", shard))}
    assert hashed.keys() == {"train/whole.png", "train/white.png", "test/white.png"}
    assert hashed["train/white.png"] is hashed["test/white.png"] is None
    assert summary["plain"] == 2
    assert summary["pairs"]["near"] == 0


def test_plain_images_that_are_the_same_file_are_found(tmp_path):
    data = Data(tmp_path)
    for name in ("train/white.png", "test/white.png"):
        data.add(name, Image.new("RGB", (640, 480), "white"))
    assert data.run()["leaks"]["pairs"]["identical"] == 1


def test_copies_of_a_copy_leak_once_for_each_training_image(tmp_path):
    data = Data(tmp_path)
    for name in ("train/1.png", "train/2.png", "train/3.png", "val/1.png", "test/1.png", "test/2.png"):
        data.add(name, scene(1))
    summary = data.run()
    assert summary["leaks"]["images"] == 3
    leaks = {(row["image"], row["other"]) for row in data.rows("duplicates.csv") if row["leak"] == "1"}
    assert {("test/1.png", f"train/{n}.png") for n in (1, 2, 3)} <= leaks
    assert set(read_groups(data.results / "groups.csv")) == {
        *(f"train/{n}.png" for n in (1, 2, 3)),
        *("val/1.png", "test/1.png", "test/2.png"),
    }


def test_relabelling_changes_neither_digest_but_other_pixels_do(tmp_path):
    data = Data(tmp_path)
    data.add("train/a.png", scene(1))
    data.run()
    (shard,) = [shard for shard in data.shards if read_manifest(manifest_of(data, shard))]

    def digests() -> tuple[str, str]:
        lines = read_manifest(manifest_of(data, shard))
        return image_digest(lines), placing_digest(lines)

    before = digests()
    data.add("train/a.png", None, labels=("b", "c"))
    data.run()
    assert digests() == before
    data.add("train/a.png", scene(2))
    data.run()
    assert digests()[0] != before[0]
    assert digests()[1] == before[1]
    (tmp_path / "images/train/a.xml").unlink()
    data.add("train/b.png", scene(3))
    data.run()
    assert digests()[1] != before[1]


def test_image_that_changes_meanwhile_is_refused(tmp_path):
    data = Data(tmp_path)
    data.add("train/a.png", scene(1))
    data.run()
    (shard,) = [shard for shard in data.shards if read_manifest(manifest_of(data, shard))]
    scene(2).save(tmp_path / "images/train/a.png")
    with pytest.raises(InputError, match="It has changed since it was listed"):
        hash_images(manifest_of(data, shard), tmp_path / "h.csv", tmp_path / "h.json")
    with pytest.raises(InputError, match="run again"):
        hash_images(manifest_of(data, shard), tmp_path / "h.csv", tmp_path / "h.json", "0" * 64)
    assert not (tmp_path / "h.csv").exists()


# The same file, labelled twice


def compared(data: Data) -> tuple[dict, list[dict]]:
    data.run()
    tables = [data.path("boxes", shard) for shard in data.shards]
    results = data.results
    summary = compare_copies(results / "duplicates.csv", tables, results / "copies.csv", results / "copies.json")
    return summary, data.rows("copies.csv")


def test_copies_with_other_boxes_are_told(leaking):
    summary, rows = compared(leaking)
    assert summary["pairs"] == 2
    assert summary["different"] == 1
    assert [(row["image"], row["boxes"], row["other"], row["other_boxes"], row["same_boxes"]) for row in rows] == [
        ("test/e.png", "1", "val/e.png", "2", "0"),
        ("test/a again.png", "1", "train/a.png", "1", "1"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([], [], True),
        ([("a", (0, 0, 10, 10))], [], False),
        ([("a", (0, 0, 10, 10))], [("b", (0, 0, 10, 10))], False),
        ([("a", (0, 0, 10, 10))], [("a", (0, 0, 10, 7.1))], True),
        ([("a", (0, 0, 10, 10))], [("a", (0, 0, 10, 6.9))], False),
        ([("a", (0, 0, 9, 9)), ("a", (20, 0, 30, 10))], [("a", (20, 0, 30, 10)), ("a", (0, 0, 9, 9))], True),
        ([("a", (0, 0, 9, 9))] * 2, [("a", (0, 0, 9, 9)), ("a", (20, 0, 30, 10))], False),
    ],
)
def test_boxes_are_the_same_where_each_has_a_partner(one, other, same):
    assert same_boxes(one, other) is same
    assert same_boxes(other, one) is same


# What a training looks for itself


def gate(data: Data) -> None:
    manifests = [manifest_of(data, shard) for shard in data.shards]
    refuse_leaks(manifests, data.results / "hashes", "results/dataset/groups.csv")


def test_training_refuses_leaks_with_and_without_the_tables(leaking):
    leaking.run()
    with pytest.raises(InputError) as first:
        leaking.verdict()
    with pytest.raises(InputError) as second:
        gate(leaking)
    assert str(second.value) == str(first.value)
    shutil.rmtree(leaking.results / "hashes")
    with pytest.raises(InputError) as third:
        gate(leaking)
    assert str(third.value) == str(first.value)


def test_training_goes_by_no_table_of_other_images(tmp_path):
    data = Data(tmp_path)
    data.add("train/a.png", scene(1))
    data.add("test/b.png", scene(2))
    data.run()
    gate(data)
    kept = {path: path.read_bytes() for path in (data.results / "hashes").iterdir()}
    data.add("test/b.png", scene(1))
    data.run()
    for path, content in kept.items():
        path.write_bytes(content)
    with pytest.raises(InputError, match="1 training image"):
        gate(data)


def test_training_looks_at_a_damaged_table_no_more(leaking):
    leaking.run()
    for path in (leaking.results / "hashes").glob("*.csv"):
        path.write_text("image,sha256,hash,mirror_hash,thumbnail\n", encoding="utf-8")
    with pytest.raises(InputError, match="3 training image"):
        gate(leaking)


def test_duplicates_are_not_sought_in_other_manifests_than_planned(tmp_path):
    data = Data(tmp_path)
    data.add("train/a.png", scene(1))
    data.run()
    files = [[data.path("hashes", shard) for shard in data.shards], [manifest_of(data, shard) for shard in data.shards]]
    outputs = [data.results / name for name in ("d.csv", "g.csv", "d.json")]
    with pytest.raises(InputError, match="run again"):
        find_duplicates(*files, None, *outputs, dict.fromkeys(data.shards, "0" * 64))
    assert not any(path.exists() for path in outputs)
