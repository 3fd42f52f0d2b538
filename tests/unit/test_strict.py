"""`data.strict`: what refuses a training, and what does not."""

import json

import pytest

from odtl.duplicates.copies import COLUMNS
from odtl.errors import InputError
from odtl.files import write_csv
from odtl.repairs import ledger_row, write_ledger
from odtl.strict import check_strict


@pytest.fixture
def data(tmp_path):
    """A data set of which nothing is to be told: ledgers, copies and manifests."""
    ledgers = [tmp_path / "repairs-0.csv", tmp_path / "repairs-1.csv"]
    for ledger in ledgers:
        write_ledger(ledger, [])
    write_copies(tmp_path / "copies.csv", 1)
    manifest = tmp_path / "manifest.jsonl"
    write_manifest(manifest, "a.jpg", "b.jpg")
    return ledgers, tmp_path / "copies.csv", [manifest]


def write_copies(path, same: int) -> None:
    sides = {"split": "train", "other": "b.jpg", "other_split": "train", "boxes": 1, "other_boxes": 2}
    write_csv(path, COLUMNS, [{"image": "a.jpg", "same_boxes": same, **sides}])


def write_manifest(path, *names: str) -> None:
    path.write_text("".join(json.dumps({"id": name, "image": f"d/{name}"}) + "\n" for name in names))


def told(data) -> list[tuple[str, str, str]]:
    with pytest.raises(InputError) as error:
        check_strict(*data)
    assert f"{len(error.value.problems)} thing(s) had to be repaired or rejected, or cannot be told" in str(error.value)
    return [(problem.file, problem.field, problem.found) for problem in error.value.problems]


def test_identical_images_with_the_same_boxes_are_no_obstacle(data):
    check_strict(*data)


def test_every_row_of_the_ledgers_is_told(data):
    size = ledger_row("x.jpg", "size_wrong", file="x.xml", field="size", found="1 x 1", done="taken")
    unlabelled = ledger_row("a.jpg", "unlabelled", file="a.jpg", found="no annotation", done="not used")
    write_ledger(data[0][0], [size])
    write_ledger(data[0][1], [unlabelled])
    assert told(data) == [("a.jpg", "image", "no annotation"), ("x.xml", "size", "1 x 1")]


def test_identical_images_with_different_boxes_are_told(data):
    write_copies(data[1], 0)
    assert told(data) == [("a.jpg", "boxes", "the same file as b.jpg, with other boxes (1 and 2)")]


def test_names_that_are_one_elsewhere_are_told(data):
    write_manifest(data[2][0], "a.jpg", "A.JPG", "b.jpg")
    assert told(data) == [("A.JPG", "file name", "a name that differs from a.jpg only in case or accents")]
