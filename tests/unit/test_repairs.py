"""The ledger reads back as written, adds up, and explains every reason."""

import re
from pathlib import Path

import pytest

from odtl import repairs
from odtl.boxes import COLUMNS as BOX_COLUMNS
from odtl.repairs import LedgerRow, ledger_row, read_ledger, summarise, write_ledger

ROWS = [
    ledger_row("b.jpg", "box_clipped", file="b.xml", field="box 1", before="-1,0,5,5", after="0,0,5,5"),
    ledger_row("b.jpg", "box_clipped", file="b.xml", field="box 2"),
    ledger_row("c,\n.jpg", "unlabelled", file='c"d.jpg', found="no annotation"),
    ledger_row("d.jpg", "box_clipped", file="d.xml", field="box 1"),
    ledger_row("d.jpg", "all_boxes_unusable", file="d.xml"),
]


@pytest.fixture
def tables(tmp_path):
    def _tables(rows, used):
        write_ledger(tmp_path / "repairs.csv", rows)
        header = ",".join(BOX_COLUMNS)
        lines = [header, *(f"{name},9,9,cup,1,2,3,4" for name in used), ""]
        (tmp_path / "boxes.csv").write_text("\n".join(lines), encoding="utf-8")
        return [tmp_path / "repairs.csv"], [tmp_path / "boxes.csv"]

    return _tables


def test_ledger_reads_back(tmp_path):
    path = tmp_path / "new" / "repairs.csv"
    write_ledger(path, ROWS)
    assert read_ledger(path) == ROWS
    assert path.read_text(encoding="utf-8").startswith(
        "image,status,reason,file,field,found,done,before,after\nb.jpg,repaired,"
    )


def test_empty_ledger_has_a_header(tmp_path):
    write_ledger(tmp_path / "repairs.csv", [])
    assert (tmp_path / "repairs.csv").read_text(encoding="utf-8") == ",".join(repairs.COLUMNS) + "\n"
    assert read_ledger(tmp_path / "repairs.csv") == []


def test_status_follows_from_the_reason():
    assert ledger_row("a", "image_missing") == LedgerRow("a", "rejected", "image_missing")
    with pytest.raises(KeyError):
        ledger_row("a", "made_up")


def test_summary_adds_up(tables):
    summary = summarise(*tables(ROWS, ["a.jpg", "b.jpg", "b.jpg", "e.jpg"]))
    assert (summary.images, summary.kept, summary.repaired, summary.rejected) == (5, 2, 1, 2)
    assert summary.by_reason == (
        ("all_boxes_unusable", "rejected", 1, 1, "d.xml"),
        ("unlabelled", "rejected", 1, 1, 'c"d.jpg'),
        ("box_clipped", "repaired", 3, 2, "b.xml: box 1"),
    )
    assert str(summary).splitlines() == [
        "5 images in = 2 kept + 1 repaired + 2 rejected",
        "  rejected all_boxes_unusable: 1 image(s), for example d.xml",
        '  rejected unlabelled: 1 image(s), for example c"d.jpg',
        "  repaired box_clipped: 2 image(s), 3 times, for example b.xml: box 1",
    ]


def test_nothing_in_is_a_summary_too(tables):
    assert str(summarise(*tables([], []))) == "0 images in = 0 kept + 0 repaired + 0 rejected"


@pytest.mark.parametrize("used", [["a.jpg"], ["b.jpg", "d.jpg"]])
def test_ledger_and_boxes_that_contradict_each_other_are_found(tables, used):
    with pytest.raises(ValueError, match="contradict"):
        summarise(*tables(ROWS, used))


def test_merged_ledger_is_sorted_by_image(tmp_path):
    write_ledger(tmp_path / "1.csv", ROWS[2:])
    write_ledger(tmp_path / "2.csv", ROWS[:2])
    repairs.merge_ledgers([tmp_path / "1.csv", tmp_path / "2.csv"], tmp_path / "all.csv")
    assert read_ledger(tmp_path / "all.csv") == ROWS


def test_every_reason_is_documented():
    text = (Path(__file__).parents[2] / "docs/repairs.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, flags=re.MULTILINE))
    assert documented == repairs.STATUS_OF
