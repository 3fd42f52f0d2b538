"""The whole chain with images in one bucket and results in another; a second run, changes, another working folder."""

import json
import os

import pytest

pytest.importorskip("moto")
pytest.importorskip("snakemake_storage_plugin_s3")

from bucket_server import ENVIRONMENT, serving_buckets
from helpers import SIX_STEPS, Project, draw_data

STORED = ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://results/run"]
STORED.append("--keep-storage-local-copies")
TRAINING = {**SIX_STEPS, "learning_rate": 0.01}
DATA = {"sources": [{"format": "voc", "images": "s3://data/photos"}], "split": {"val_from_train": 0.2}}


@pytest.fixture
def server(tmp_path):
    with serving_buckets("data", "results") as server:
        draw_data(tmp_path / "drawn/train", 18)
        draw_data(tmp_path / "drawn/test", 6, seed=1)
        server.upload(tmp_path / "drawn", "data", "photos")
        yield server


def run(project, *arguments):
    # What takes every word that follows goes before.
    done = project.snakemake(*arguments, *STORED, timeout=1500)
    assert done.status == 0, done.output[-4000:]
    assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in done.output
    return done


def make(tmp_path, **config):
    folder = tmp_path / "project"
    folder.mkdir(parents=True)
    return Project(folder, **config)


def test_chain_with_all_in_buckets(tmp_path, server):
    project = make(
        tmp_path,
        data={**DATA, "shards": 1},
        training=TRAINING,
        detect={"score_threshold": 0.001, "max_images": 3},
        export={"formats": ["saved_model"], "latency_threads": []},
    )
    finished = run(project).finished
    assert finished["fetch_images"] == 3 and finished["train"] == 1
    # Each image once, by the job of its shard.
    asked = server.got(".jpg")
    assert len([path for path in asked if path.startswith("/data/")]) == 24
    stored = {key.removeprefix("run/results/") for key in server.keys("results", "run/results/")}
    for name in [
        "summary.txt",
        "dataset/label_map.pbtxt",
        "records/test-00000-of-00001.tfrecord",
        "detector/checkpoint/ckpt.index",
        "detector/evaluation/metrics.json",
        "detector/export/saved_model/1/saved_model.pb",
        "detector/detections/detections.csv",
        "logs/train/detector.log",
    ]:
        assert name in stored, name
        assert (project.folder / "results" / name).stat().st_size > 0, name
    metrics = server.client.get_object(Bucket="results", Key="run/results/detector/evaluation/metrics.json")
    assert json.load(metrics["Body"])["images"] == 6
    again = run(project)
    assert "Nothing to be done" in again.output
    secrets = [ENVIRONMENT["AWS_SECRET_ACCESS_KEY"].encode(), ENVIRONMENT["AWS_ACCESS_KEY_ID"].encode()]
    for path in project.folder.rglob("*"):
        if path.is_file() and path.stat().st_size < 10**6:
            assert not any(secret in path.read_bytes() for secret in secrets), path


def test_changes_in_the_bucket_make_one_shard_stale(tmp_path, server):
    project = make(tmp_path, data=DATA)
    run(project, "data")
    assert "Nothing to be done" in run(project, "data").output
    # Another etag: the image of one shard is fetched, and only that shard is made again.
    server.put("data", "photos/train/003.jpg", (tmp_path / "drawn/train/003.jpg").read_bytes() + b"\n")
    server.asked.clear()
    finished = run(project, "data").finished
    assert (finished["fetch_images"], finished["make_boxes"], finished["write_records"]) == (1, 1, 1)
    assert [path for path in server.got(".jpg") if path.startswith("/data/")] == ["/data/photos/train/003.jpg"]
    # What is removed from the bucket is made again.
    server.client.delete_object(Bucket="results", Key="run/results/dataset/card.txt")
    assert "write_card" in run(project, "data").finished

    # In another working folder what the bucket has is taken, and images are fetched for what is to be made.
    other = make(tmp_path / "elsewhere", data=DATA)
    assert not run(other, "results/records/train-00000-of-00002.tfrecord").finished
    server.client.delete_object(Bucket="results", Key="run/results/records/train-00000-of-00002.tfrecord")
    server.asked.clear()
    finished = run(other, "results/records/train-00000-of-00002.tfrecord").finished
    # There is no record here of what the boxes were made from: what is newer makes them anew.
    assert finished == {"fetch_images": 1, "make_boxes": 1, "write_records": 1}
    assert any(path.startswith("/data/photos/train/") for path in server.got(".jpg"))

    # Without the bucket's options, nothing would get there.
    refused = other.snakemake("data", "-n")
    assert refused.status != 0 and "--default-storage-provider" in refused.output


def test_folder_of_results_is_not_mixed_with_a_bucket(tmp_path, server):
    project = make(tmp_path, data=DATA)
    (project.folder / "results").mkdir()
    refused = project.snakemake("-n", *STORED)
    assert refused.status != 0 and "results is a folder" in refused.output
    os.rmdir(project.folder / "results")
    refused = project.snakemake("-n", *STORED[:-1])
    assert refused.status != 0 and "--keep-storage-local-copies" in refused.output
