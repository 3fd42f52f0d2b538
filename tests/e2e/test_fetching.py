"""Images by address become records; what is here is not fetched again, what is gone is."""

import csv
import json
from pathlib import Path

import pytest
from loopback import serving_site

from helpers import Project, draw_data, voc_xml
from odtl.fetching.ledger import read_ledgers
from odtl.records import read_records

SHARDS = 2
ALLOWED = {"allow_addresses": ["127.0.0.0/8"], "attempts": 1}


@pytest.fixture
def site(tmp_path):
    draw_data(tmp_path / "drawn", 12)
    with serving_site({f"/{path.name}": path.read_bytes() for path in (tmp_path / "drawn").glob("*.jpg")}) as site:
        yield site


def run(project, *targets):
    done = project.snakemake(*targets)
    assert done.status == 0, done.output[-4000:]
    return done


def fetched(folder):
    return read_ledgers(sorted((folder / "results/fetched").glob("*.csv")))


def write_list(folder, site, names):
    rows = "".join(f"{site.base}/{name},CC BY,{site.base}/about\n" for name in names)
    (folder / "urls.csv").write_text(f"URL,License,source\n{rows}", encoding="utf-8")


def label(folder, image, box=(4, 5, 20, 30)):
    (folder / "labels").mkdir(exist_ok=True)
    text = voc_xml(f"{image}.jpg", (64, 48), [("square", box)])
    (folder / f"labels/{image}.xml").write_text(text, encoding="utf-8")


def test_list_is_fetched_labelled_and_made_into_records(tmp_path, site):
    names = [f"{number:03}.jpg" for number in range(10)]
    write_list(tmp_path, site, [*names, "dead.jpg"])
    source = {"format": "voc", "urls": "urls.csv", "annotations": "labels", "split": "train"}
    (tmp_path / "labels").mkdir()
    # Nothing is labelled yet: the list alone, for labelling.
    data = {"sources": [{"format": "urls", "urls": "urls.csv", "split": "train"}], "shards": SHARDS}
    project = Project(tmp_path, data=data, fetch=ALLOWED)
    assert run(project, "fetch").finished == {"fetch": 1, "fetch_images": SHARDS}
    rows = fetched(tmp_path)
    assert sorted(site.asked) == sorted([*(f"/{name}" for name in names), "/dead.jpg"])
    assert [row.error for row in rows.values() if row.status == "failed"] == ["HTTP status 404"]
    for image, row in rows.items():
        label(tmp_path, image)
        assert (row.licence, row.source) == ("CC BY", f"{site.base}/about")

    # Labelled: what was fetched is taken from here.
    site.asked.clear()
    project.configure(data={"sources": [source], "shards": SHARDS}, fetch=ALLOWED)
    finished = run(project, "data").finished
    assert "fetch_images" not in finished
    assert site.asked == []
    card = json.loads((tmp_path / "results/dataset/card.json").read_text(encoding="utf-8"))
    assert {key: card["images"][key] for key in ("in", "kept", "rejected")} == {"in": 11, "kept": 10, "rejected": 1}
    with open(tmp_path / "results/dataset/repairs.csv", encoding="utf-8") as stream:
        (lost,) = [row for row in csv.DictReader(stream) if row["status"] == "rejected"]
    assert (lost["reason"], lost["file"], lost["found"]) == (
        "image_not_fetched",
        f"{site.base}/dead.jpg",
        "HTTP status 404",
    )
    examples = {
        example["image/filename"][0].decode(): example
        for path in (tmp_path / "results/records").glob("train*.tfrecord")
        for example in read_records(path)
    }
    assert len(examples) == 10
    for image, example in examples.items():
        assert example["image/encoded"] == [site.answers[f"/{image[:3]}.jpg"]]
        assert example["image/object/bbox/xmin"] == pytest.approx([4 / 64])
    assert project.plan("data").jobs == {}

    # A relabelled image is not fetched.
    one = next(iter(examples))
    label(tmp_path, one, (1, 2, 30, 40))
    assert run(project, "data").finished["make_boxes"] == 1
    assert site.asked == []

    # A new address is asked for, with the dead one of its shard.
    write_list(tmp_path, site, [*names, "dead.jpg", "010.jpg"])
    finished = run(project, "data").finished
    assert (finished["fetch_images"], finished["make_boxes"]) == (1, 1)
    assert "/010.jpg" in site.asked and set(site.asked) <= {"/010.jpg", "/dead.jpg"}
    assert len(fetched(tmp_path)) == 12

    # An image that is gone is asked for by the target `fetch`, and before anything else reads images of its shard.
    for damage, targets in [(Path.unlink, ["fetch"]), (lambda path: path.write_bytes(b"x"), ["data"])]:
        site.asked.clear()
        damage(tmp_path / fetched(tmp_path)[one].path)
        assert project.plan("data").jobs == {}
        if targets == ["data"]:
            label(tmp_path, one, (1, 2, 31, 41))
        finished = run(project, *targets).finished
        assert finished["fetch_images"] == 1
        assert f"/{one[:3]}.jpg" in site.asked and set(site.asked) <= {f"/{one[:3]}.jpg", "/dead.jpg"}
        assert project.plan("data").jobs == project.plan("fetch").jobs == {}

    # Another number of shards: nothing but the dead link is asked for.
    site.asked.clear()
    project.configure(data={"sources": [source], "shards": 1}, fetch=ALLOWED)
    assert run(project, "data").finished["fetch_images"] == 1
    assert site.asked == ["/dead.jpg"]


def test_coco_with_addresses(tmp_path, site):
    entries = [{"id": n, "file_name": f"{site.base}/{n:03}.jpg", "width": 64, "height": 48} for n in range(6)]
    boxes = [{"id": n, "image_id": n, "category_id": 3, "bbox": [2, 4, 16, 8], "iscrowd": 0} for n in range(6)]
    content = {"images": entries, "annotations": boxes, "categories": [{"id": 3, "name": "peach"}]}
    (tmp_path / "coco.json").write_text(json.dumps(content), encoding="utf-8")
    data = {"sources": [{"format": "coco", "annotations": "coco.json", "split": "train"}], "shards": 1}
    project = Project(tmp_path, data=data, fetch=ALLOWED)
    finished = run(project, "data").finished
    assert finished["fetch_images"] == 1
    assert sorted(site.asked) == [f"/{n:03}.jpg" for n in range(6)]
    examples = list(read_records(tmp_path / "results/records/train-00000-of-00001.tfrecord"))
    assert len(examples) == 6
    assert all(example["image/object/class/text"] == [b"peach"] for example in examples)
    assert all(example["image/object/bbox/ymax"] == pytest.approx([12 / 48]) for example in examples)


def test_too_many_dead_links_stop_the_run_and_lose_nothing(tmp_path, site):
    names = [f"{number:03}.jpg" for number in range(6)]
    dead = [f"dead{number}.jpg" for number in range(6)]
    write_list(tmp_path, site, [*names, *dead])
    data = {"sources": [{"format": "urls", "urls": "urls.csv", "split": "train"}], "shards": 1}
    project = Project(tmp_path, data=data, fetch=ALLOWED)
    refused = project.snakemake("fetch")
    assert refused.status != 0
    assert "6 of 12 images" in refused.output and "127.0.0.1: HTTP status 404 (6 times)" in refused.output
    assert not (tmp_path / "results/fetched/train-00000-of-00001.csv").exists()
    assert len(list((tmp_path / "results/images").glob("*.jpg"))) == 6
    site.asked.clear()
    project.configure(data=data, fetch={**ALLOWED, "max_failed": 0.5})
    run(project, "fetch")
    assert sorted(site.asked) == [f"/{name}" for name in dead]
    # On demand, what failed is asked for once more, and nothing else.
    site.asked.clear()
    site.answers["/dead0.jpg"] = site.answers["/000.jpg"]
    run(project, "fetch", "--forcerun", "fetch_images")
    assert sorted(site.asked) == [f"/{name}" for name in dead]
    (late,) = [row for row in fetched(tmp_path).values() if row.url.endswith("/dead0.jpg")]
    assert fetched(tmp_path)[late.same_as].url == f"{site.base}/000.jpg"
