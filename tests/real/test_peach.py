"""Peaches that Labelbox exported as COCO with addresses: fetched from loopback, ours agree with the given records."""

import json
from urllib.parse import urlsplit

import pytest
from loopback import serving_site

from helpers import Project
from odtl.annotations import url_list
from odtl.fetching.ledger import read_ledgers
from odtl.fetching.urls import parse
from odtl.records import read_records

# Split: (their COCO file, their records).
SPLITS = {
    "train": ("peaches_training_coco.json", "coco_train.record"),
    "val": ("peaches_validation_coco.json", "coco_val.record"),
    "test": ("peaches_test_coco.json", "coco_testdev.record"),
}
# By design: what an image is called, and the number that official.vision's evaluation needs.
DIFFERENT = {"image/filename", "image/source_id"}


@pytest.fixture
def peach(real_data):
    folder = real_data / "peach"
    if not folder.is_dir():
        pytest.skip(f"there is no peach in {real_data}")
    return folder


def on_loopback(url, base):
    """Return a URL with the same path and query on another server."""
    parts = urlsplit(url)
    return f"{base}{parts.path}?{parts.query}" if parts.query else f"{base}{parts.path}"


def wire_path(url):
    parts = urlsplit(parse(url).url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def test_records_agree_field_by_field(tmp_path, peach):
    with serving_site({}) as site:
        theirs = {}
        for split, (coco, records) in SPLITS.items():
            content = json.loads((peach / coco).read_text(encoding="utf-8"))
            examples = {example["image/source_id"][0].decode(): example for example in read_records(peach / records)}
            for entry in content["images"]:
                example = examples[entry["id"]]
                for key in ("file_name", "coco_url", "flickr_url"):
                    entry[key] = on_loopback(entry[key], site.base)
                site.answers[wire_path(entry["file_name"])] = example["image/encoded"][0]
                theirs[split, example["image/key/sha256"][0]] = example
            (tmp_path / coco).write_text(json.dumps(content), encoding="utf-8")
        annotations = {split: coco for split, (coco, _) in SPLITS.items()}
        project = Project(
            tmp_path,
            data={"sources": [{"format": "coco", "annotations": annotations}], "shards": 1},
            fetch={"allow_addresses": ["127.0.0.0/8"]},
        )
        done = project.snakemake("data")
        assert done.status == 0, done.output[-4000:]
        assert len(site.asked) == len(theirs) == 10
        assert project.plan("data").jobs == {}
    rows = read_ledgers(sorted((tmp_path / "results/fetched").glob("*.csv")))
    assert {row.status for row in rows.values()} == {"fetched"}
    # The tokens in the addresses are nobody's business.
    assert not any("token" in row.url + row.final_url for row in rows.values())
    ours = {
        (split, example["image/key/sha256"][0]): example
        for split in SPLITS
        for example in read_records(tmp_path / f"results/records/{split}-00000-of-00001.tfrecord")
    }
    assert ours.keys() == theirs.keys()
    boxes = 0
    for key, example in theirs.items():
        both = example.keys() & ours[key].keys() - DIFFERENT
        assert {"image/encoded", "image/object/bbox/ymin", "image/object/class/label", "image/height"} <= both
        for field in sorted(both):
            if "/bbox/" in field:
                assert ours[key][field] == pytest.approx(example[field], abs=1e-6), (key, field)
            else:
                assert ours[key][field] == example[field], (key, field)
        boxes += len(example["image/object/bbox/xmin"])
    assert boxes == 28


def test_list_of_an_image_search(tmp_path, peach):
    """100 addresses, of which 10 can be served here: the others count as dead links."""
    pictures = [
        example["image/encoded"][0] for _, records in SPLITS.values() for example in read_records(peach / records)
    ]
    urls = list(url_list.read(peach / "image_urls.csv").annotations)
    assert (len(urls), len(pictures)) == (100, 10)
    with serving_site({}) as site:
        # The host becomes the first part of the path, so that no two of them are the same.
        here = [on_loopback(url, f"{site.base}/{urlsplit(url).hostname}") for url in urls]
        for url, picture in zip(here[::10], pictures, strict=True):
            site.answers[wire_path(url)] = picture
        (tmp_path / "image_urls.csv").write_text("\n".join(["Image_Urls", *here, ""]), encoding="utf-8")
        data = {"sources": [{"format": "urls", "urls": "image_urls.csv", "split": "train"}], "shards": 1}
        fetch = {"allow_addresses": ["127.0.0.0/8"]}
        project = Project(tmp_path, data=data, fetch=fetch)
        refused = project.snakemake("fetch")
        assert refused.status != 0
        assert "90 of 100 images" in refused.output and "HTTP status 404 (90 times)" in refused.output
        assert sorted(site.asked) == sorted(map(wire_path, here))
        site.asked.clear()
        project.configure(data=data, fetch={**fetch, "max_failed": 0.9})
        done = project.snakemake("fetch")
        assert done.status == 0, done.output[-4000:]
        assert len(site.asked) == 90
    rows = read_ledgers([tmp_path / "results/fetched/train-00000-of-00001.csv"])
    assert sorted(row.bytes for row in rows.values() if row.status == "fetched") == sorted(map(len, pictures))
    assert sum(row.error == "HTTP status 404" for row in rows.values()) == 90
