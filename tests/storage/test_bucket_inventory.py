"""Sources in a bucket: listed, not fetched; the same inventory as of a folder; an etag is a version."""

import json
import os
import random
import sys
from pathlib import Path

import pytest

pytest.importorskip("moto")
pytest.importorskip("boto3")

from bucket_server import serving_buckets
from helpers import draw_data, voc_xml
from odtl import buckets, inventory
from odtl.annotations.model import Origin
from odtl.changes.images import compare_lines
from odtl.errors import InputError
from odtl.fetching.policy import Policy
from odtl.fetching.shard import fetch_images
from odtl.inventory.buckets import Buckets
from odtl.manifest import read_manifest

LABELS = {"classes": None, "aliases": {}}
SPLIT = {"fractions": {"train": 0.8, "val": 0.1, "test": 0.1}, "val_from_train": 0.1}


@pytest.fixture
def server():
    with serving_buckets("data") as server:
        yield server


def config(*sources, shards=3):
    return {"sources": list(sources), "split": SPLIT, "shards": shards}


def refresh(folder, *sources):
    return inventory.refresh(config(*sources), LABELS, folder / "cache", folder / "inventory", lambda _: None)


def lines_of(folder):
    return {line.id: line for path in sorted((folder / "inventory").glob("*.jsonl")) for line in read_manifest(path)}


VOC = {"format": "voc", "images": "s3://data/photos"}


def test_inventory_is_made_without_a_single_image(tmp_path, server):
    draw_data(tmp_path / "drawn/a", 12)
    draw_data(tmp_path / "drawn/b", 3, seed=1)
    server.upload(tmp_path / "drawn", "data", "photos")
    server.put("data", "photos-old/000.jpg", b"another folder")
    server.asked.clear()
    refresh(tmp_path, VOC)
    assert server.got(".jpg") == []
    assert len(server.got(".xml")) == 15
    assert sum("list-type=2" in query for _, _, query in server.asked) == 1
    # The same ids, shards and meaning as a folder of the same files.
    here = tmp_path / "here"
    refresh(here, {**VOC, "images": str(tmp_path / "drawn")})
    found, local = lines_of(tmp_path), lines_of(here)
    assert found.keys() == local.keys() == {f"{name}.jpg" for name in _names()}
    for name, line in found.items():
        assert line.annotation._replace(file="") == local[name].annotation._replace(file="")
        assert (line.image, line.sha256) == (None, None) and line.has_image
        assert line.origin.url == f"s3://data/photos/{name}" and len(line.origin.etag) == 32
        assert os.path.exists(line.annotation.file)
    for path in sorted((tmp_path / "inventory").glob("*.jsonl")):
        other = here / "inventory" / path.name
        assert [line.id for line in read_manifest(path)] == [line.id for line in read_manifest(other)]


def _names():
    return [*(f"a/{n:03}" for n in range(12)), *(f"b/{n:03}" for n in range(3))]


def test_nothing_changed_costs_a_listing(tmp_path, server):
    draw_data(tmp_path / "drawn", 4)
    server.upload(tmp_path / "drawn", "data", "photos")
    first = refresh(tmp_path, VOC)
    server.asked.clear()
    assert refresh(tmp_path, VOC) == first
    assert [query for _, _, query in server.asked] and all("list-type=2" in query for _, _, query in server.asked)


def test_listing_goes_on_after_a_full_page(tmp_path, server, monkeypatch):
    monkeypatch.setattr(buckets.Client, "page_size", 10)
    for number in range(14):
        server.put("data", f"photos/{number:04}.jpg", b"%d" % number)
    server.put("data", "photos/0000.xml", voc_xml("0000.jpg", (64, 48), []).encode())
    server.asked.clear()
    refresh(tmp_path, VOC)
    assert len(server.asked) == 3 and server.got(".jpg") == []
    assert len(lines_of(tmp_path)) == 14


def test_another_etag_changes_one_shard(tmp_path, server):
    draw_data(tmp_path / "drawn", 12)
    server.upload(tmp_path / "drawn", "data", "photos")
    before, marks = refresh(tmp_path, VOC), inventory.read_origins(tmp_path / "inventory")
    old = lines_of(tmp_path)
    # Uploaded again, the same bytes: nothing.
    server.put("data", "photos/005.jpg", (tmp_path / "drawn/005.jpg").read_bytes())
    assert refresh(tmp_path, VOC) == before
    server.put("data", "photos/005.jpg", (tmp_path / "drawn/006.jpg").read_bytes() + b"\n")
    after = refresh(tmp_path, VOC)
    (shard,) = [name for name in before if before[name] != after[name]]
    now = inventory.read_origins(tmp_path / "inventory")
    assert [name for name in marks if marks[name] != now[name]] == [shard]
    new = lines_of(tmp_path)
    assert [name for name in new if new[name] != old[name]] == ["005.jpg"]
    (change,) = compare_lines([("train", old["005.jpg"])], [("train", new["005.jpg"])])
    assert change.kind == "replaced"
    # A box in the bucket: the copy of its file is brought up to date, no image is to be fetched anew.
    server.put("data", "photos/005.xml", voc_xml("005.jpg", (64, 48), [("square", (1, 2, 30, 40))]).encode())
    relabelled = refresh(tmp_path, VOC)
    assert [name for name in after if after[name] != relabelled[name]] == [shard]
    assert inventory.read_origins(tmp_path / "inventory") == now
    assert server.got(".jpg") == []


def test_refreshed_is_what_a_clean_scan_finds(tmp_path, server):
    generator = random.Random(3)
    draw_data(tmp_path / "drawn", 20)
    server.upload(tmp_path / "drawn", "data", "photos")
    refresh(tmp_path, VOC)
    for turn in range(4):
        for number in generator.sample(range(20), 3):
            name = f"photos/{number:03}.{generator.choice(['jpg', 'xml'])}"
            if generator.random() < 0.4:
                server.client.delete_object(Bucket="data", Key=name)
            elif name.endswith("jpg"):
                server.put("data", name, b"picture %d" % generator.randrange(10**6))
            else:
                box = (1, 1, generator.randrange(2, 60), 30)
                server.put("data", name, voc_xml("x.jpg", (64, 48), [("disc", box)]).encode())
        refresh(tmp_path, VOC)
        clean = inventory.scan(config(VOC), LABELS, tmp_path / "cache", lambda _: None)
        for shard, text in clean.manifests.items():
            assert (tmp_path / f"inventory/{shard}.jsonl").read_text(encoding="utf-8") == text, turn


def test_tables_and_images_in_two_places(tmp_path, server):
    draw_data(tmp_path / "drawn", 4)
    server.upload(tmp_path / "drawn", "data", "deep/photos")
    images = [{"id": n, "file_name": f"{n:03}.jpg", "width": 64, "height": 48} for n in range(4)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 2, 9, 9], "iscrowd": 0} for n in range(4)]
    coco = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "peach"}]}
    server.put("data", "labels/all.json", json.dumps(coco).encode())
    server.asked.clear()
    source = {"format": "coco", "images": "s3://data/deep/photos/", "annotations": "s3://data/labels/all.json"}
    refresh(tmp_path, source)
    assert server.got(".jpg", ".xml") == [] and len(server.got("all.json")) == 1
    assert [line.annotation.classes for line in lines_of(tmp_path).values()] == [("peach",)] * 4
    # The folder that it lies in is as good; and labels of one's own beside images in a bucket.
    refresh(tmp_path, {**source, "annotations": "s3://data/labels"})
    refresh(tmp_path, {**source, "format": "voc", "annotations": str(tmp_path / "drawn")})
    assert all(line.annotation and line.origin for line in lines_of(tmp_path).values())


def test_yolo_finds_its_names_in_the_bucket(tmp_path, server):
    server.put("data", "set/images/a.jpg", b"a")
    server.put("data", "set/labels/a.txt", b"1 0.5 0.5 0.2 0.2\n")
    server.put("data", "set/data.yaml", b"names: [cat, dog]\n")
    refresh(tmp_path, {"format": "yolo", "images": "s3://data/set"})
    (line,) = lines_of(tmp_path).values()
    assert line.annotation.classes == ("dog",)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"format": "voc", "images": "s3://data/nothing"}, "nothing at s3://data/nothing"),
        ({"format": "voc", "images": "s3://other/photos"}, r"s3://other/photos \(no such bucket\)"),
        ({"format": "voc", "images": "s3://key:secret@data/photos"}, "read from the environment alone"),
        ({"format": "tfrecord", "annotations": "s3://data/photos"}, "records in a bucket"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path, server, source, said):
    with pytest.raises(InputError, match=said) as told:
        refresh(tmp_path, source)
    assert len(told.value.problems) == 1 and "secret" not in str(told.value)


def test_missing_credentials_and_missing_package_are_told(tmp_path, server, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="no credentials in the environment"):
        refresh(tmp_path, VOC)
    monkeypatch.setitem(sys.modules, "boto3.session", None)
    with pytest.raises(InputError, match=r"boto3 not installed .* `make s3` installs it"):
        refresh(tmp_path, VOC)


def test_copies_are_of_one_source_and_of_what_is_there(tmp_path, server):
    """Two formats at one address; an object that is gone since, whether its copy was told of or not."""
    for name in ("a.xml", "b.xml", "a.txt"):
        server.put("data", f"photos/{name}", name.encode())
    address, problems = "s3://data/photos", []

    def copies(ending):
        folder = Buckets(tmp_path).copies(address, {ending}, "field", problems)
        return folder, sorted(path.name for path in Path(folder).rglob("*.*"))

    assert [copies(ending)[1] for ending in (".xml", ".txt")] == [["a.xml", "b.xml"], ["a.txt"]]
    server.client.delete_object(Bucket="data", Key="photos/b.xml")
    folder, names = copies(".xml")
    assert names == ["a.xml"] and copies(".txt")[1] == ["a.txt"]
    # As a run leaves it that is killed before it has told of what it has copied.
    (Path(folder) / "c.xml").write_text("c")
    assert copies(".xml")[1] == ["a.xml"] and problems == []


def test_what_came_cut_short_is_asked_for_again(tmp_path, server, monkeypatch):
    draw_data(tmp_path / "drawn", 1)
    server.upload(tmp_path / "drawn", "data", "photos")
    wanted = [("x.jpg", Origin(buckets.object_url("data", "photos/000.jpg")))]
    policy, read, failures = Policy(attempts=3, first_wait=0.01), buckets.Client.read, []

    def cut_short(client, *arguments):
        if failures:
            raise failures.pop()
        return read(client, *arguments)

    def fetched(*before):
        failures[:] = before
        (row,) = fetch_images(wanted, tmp_path / f"images{len(before)}", "train-00000-of-00001", policy)
        return row.error, len(failures)

    monkeypatch.setattr(buckets.Client, "read", cut_short)
    cut = buckets.BucketError("cut short", passing=True)
    assert fetched(cut, cut) == ("", 0)
    assert fetched(cut, cut, cut, cut) == ("cut short", 1)
    # What will not pass is not asked for again.
    assert fetched(buckets.BucketError("no such object")) == ("no such object", 0)


def test_images_are_fetched_by_etag_once(tmp_path, server):
    draw_data(tmp_path / "drawn", 3)
    server.upload(tmp_path / "drawn", "data", "a b?#%")
    tags = {entry.key: entry.etag for entry in buckets.Client().listing("data", "a b?#%")}
    wanted = [(f"x/{n}.jpg", _origin(tags, f"a b?#%/{n:03}.jpg")) for n in range(3)]
    policy = Policy(attempts=1)
    server.asked.clear()
    rows = fetch_images(wanted, tmp_path / "images", "train-00000-of-00001", policy)
    assert [row.error for row in rows] == [""] * 3 and len(server.got(".jpg")) == 3
    for number, row in enumerate(rows):
        assert row.path == str(tmp_path / f"images/x/{number}.jpg.jpg")
        assert Path(row.path).read_bytes() == (tmp_path / f"drawn/{number:03}.jpg").read_bytes()
    server.asked.clear()
    assert fetch_images(wanted, tmp_path / "images", "train-00000-of-00001", policy) == rows
    assert server.asked == []
    # Changed since it was listed, then listed again.
    data = (tmp_path / "drawn/001.jpg").read_bytes() + b"\n"
    server.put("data", "a b?#%/000.jpg", data)
    (tmp_path / "images/x/0.jpg.jpg").unlink()
    first = fetch_images(wanted, tmp_path / "images", "train-00000-of-00001", policy)[0]
    assert first.status == "failed" and "another etag" in first.error
    tags = {entry.key: entry.etag for entry in buckets.Client().listing("data", "a b?#%")}
    wanted[0] = ("x/0.jpg", _origin(tags, "a b?#%/000.jpg"))
    server.asked.clear()
    first = fetch_images(wanted, tmp_path / "images", "train-00000-of-00001", policy)[0]
    assert Path(first.path).read_bytes() == data and len(server.asked) == 1
    # What is not there, and what is too large.
    gone = [("y", Origin(buckets.object_url("data", "none.jpg"))), ("z", wanted[1][1])]
    rows = fetch_images(gone, tmp_path / "images", "train-00000-of-00001", Policy(attempts=1, max_bytes=100))
    assert [row.error for row in rows] == ["no such object", "more than 100 bytes (fetch.max_bytes)"]


def _origin(tags, key):
    return Origin(buckets.object_url("data", key), etag=tags[key])
