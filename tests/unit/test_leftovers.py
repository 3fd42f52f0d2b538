"""What no stage reads any more goes if it can be made again, and is named if it cannot."""

import pytest

from odtl.leftovers import tidy

SHARDS = ["train-00000-of-00001", "test-00000-of-00001"]


@pytest.fixture
def results(tmp_path):
    for name in [
        "boxes/train-00000-of-00001.csv",
        "boxes/train-00001-of-00002.csv",
        "boxes/notes.csv",
        "records/train-00001-of-00002.tfrecord",
        "records/train-00001-of-00002.json",
        "one/experiment.yaml",
        "one/training/ckpt-1.index",
        "two/experiment.yaml",
        "mine/train-00001-of-00002.csv",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1234", encoding="utf-8")
    return tmp_path


def files(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_only_files_of_other_shards_are_removed(results):
    before = files(results)
    text = tidy(results, SHARDS, ["one"])
    assert before - files(results) == {
        "boxes/train-00001-of-00002.csv",
        "records/train-00001-of-00002.tfrecord",
        "records/train-00001-of-00002.json",
    }
    assert "Removed: 3 file(s)" in text


def test_other_experiments_are_named_and_left_alone(results):
    text = tidy(results, SHARDS, ["two"])
    assert f"{results.as_posix()}/one" in text
    assert f"{results.as_posix()}/two" not in text
    assert (results / "one/training/ckpt-1.index").exists()


def test_nothing_to_do_is_said_too(tmp_path):
    assert tidy(tmp_path, SHARDS, []) == "Removed: 0 file(s) of shards that are no more, 0.0 MB."
