import csv
import json
from pathlib import Path

import pytest

from odtl import dataset
from odtl.boxes import COLUMNS
from odtl.errors import InputError
from odtl.repairs import ledger_row, write_ledger

BOX = ("1", "2", "30.5", "20")


def row(folder, image, label="cat", split="train", sha256="0" * 64, box=BOX):
    path = folder / "images" / image
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    return [image, 40, 20, label, *(box if label else ("",) * 4), 0, 0, split, image, str(path), sha256]


def write_shards(folder, rows, shards, split="train"):
    paths = []
    for index in range(shards):
        paths.append(folder / f"{split}-{index:05d}-of-{shards:05d}.csv")
        with open(paths[-1], "w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(sorted((r for r in rows if sum(map(ord, r[0])) % shards == index), key=lambda r: r[0]))
    return paths


@pytest.fixture
def rows(tmp_path):
    return [
        row(tmp_path, "b,1.jpg"),
        row(tmp_path, "b,1.jpg", "dog"),
        row(tmp_path, "b,1.jpg"),
        row(tmp_path, "a/empty.jpg", ""),
        row(tmp_path, "c.jpg", "dog"),
    ]


def split_tables(folder, paths, split="train"):
    labels, summary = folder / f"{split}_labels.csv", folder / f"{split}.json"
    returned = dataset.write_split_tables(paths, labels, summary, split)
    assert json.loads(summary.read_text()) == returned
    return labels.read_text(), returned


def test_split_tables(tmp_path, rows):
    labels, summary = split_tables(tmp_path, write_shards(tmp_path, rows, 2))
    assert labels == (
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        '"b,1.jpg",40,20,cat,1,2,30.5,20\n'
        '"b,1.jpg",40,20,dog,1,2,30.5,20\n'
        '"b,1.jpg",40,20,cat,1,2,30.5,20\n'
        "c.jpg,40,20,dog,1,2,30.5,20\n"
    )
    assert len(summary.pop("digest")) == 64
    assert summary == {
        "split": "train",
        "images": 3,
        "negatives": 1,
        "boxes": 4,
        "classes": {"cat": 2, "dog": 2},
        "max_boxes": 3,
        "image_bytes": 15,
    }


@pytest.mark.parametrize("open_files", [2, 200])
def test_split_tables_do_not_depend_on_the_number_of_shards(tmp_path, rows, monkeypatch, open_files):
    monkeypatch.setattr(dataset, "_MAX_OPEN_FILES", open_files)
    results = [split_tables(tmp_path, write_shards(tmp_path, rows, shards)) for shards in (1, 3, 7)]
    assert results[0] == results[1] == results[2]


def test_digest_changes_with_what_the_records_are_made_of_and_only_then(tmp_path, rows):
    def digest(changed):
        return split_tables(tmp_path, write_shards(tmp_path, changed, 2))[1]["digest"]

    base = digest(rows)
    moved = [[*r[:12], f"{r[12]}x", r[13]] for r in rows]
    for path in {r[12] for r in moved}:
        Path(path).write_bytes(b"12345")
    assert digest(moved) == base
    assert digest([*rows[:-1], row(tmp_path, "c.jpg", "cat")]) != base
    assert digest([*rows[:-1], row(tmp_path, "c.jpg", "dog", box=("0", *BOX[1:]))]) != base
    assert digest([*rows[:-1], row(tmp_path, "c.jpg", "dog", sha256="1" * 64)]) != base
    assert digest(rows[:-1]) != base


def test_an_empty_split_has_valid_empty_tables(tmp_path):
    labels, summary = split_tables(tmp_path, write_shards(tmp_path, [], 2, "val"), "val")
    assert labels == "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    assert (summary["images"], summary["boxes"], summary["classes"]) == (0, 0, {})


def test_missing_images_and_rows_of_another_split_are_all_told(tmp_path, rows):
    stray = row(tmp_path, "d.jpg", split="test")
    Path(rows[-1][12]).unlink()
    with pytest.raises(InputError) as error:
        split_tables(tmp_path, write_shards(tmp_path, [*rows, stray], 2))
    assert [problem.field for problem in error.value.problems] == ["image", "split"]
    assert not (tmp_path / "train_labels.csv").exists()


def test_a_table_with_another_header_is_told(tmp_path):
    path = tmp_path / "train-00000-of-00001.csv"
    path.write_text("filename,width\n")
    with pytest.raises(InputError, match=r"00001\.csv: header: found filename,width"):
        split_tables(tmp_path, [path])


@pytest.fixture
def card_inputs(tmp_path, rows):
    test_rows = [row(tmp_path, "t.jpg", split="test")]
    for split, split_rows in (("train", rows), ("val", []), ("test", test_rows)):
        split_tables(tmp_path, write_shards(tmp_path, split_rows, 2, split), split)
    label_map = tmp_path / "label_map.pbtxt"
    label_map.write_text("".join(f"item {{ id: {n} name: '{c}' }}\n" for n, c in enumerate(["cat", "dog", "owl"], 1)))
    inventory = tmp_path / "all.jsonl"
    inventory.write_text("{}\n" * 6)
    ledgers = [tmp_path / "ledger-0.csv", tmp_path / "ledger-1.csv"]
    write_ledger(
        ledgers[0],
        [
            ledger_row("c.jpg", "box_clipped", file="c.xml", field="object 1", found="xmax 41", done="clipped"),
            ledger_row("x.jpg", "size_wrong", file="x.xml", field="size", found="1 x 1", done="taken"),
            ledger_row("x.jpg", "all_boxes_unusable", file="x.xml", field="object", found="all", done="left out"),
        ],
    )
    write_ledger(ledgers[1], [ledger_row("a.jpg", "unlabelled", file="a.jpg", found="no annotation", done="not used")])
    return {
        "summary_jsons": [tmp_path / f"{split}.json" for split in ("test", "train", "val")],
        "inventories": [inventory],
        "ledgers": ledgers,
        "label_map_file": label_map,
        "repairs_csv": tmp_path / "repairs.csv",
        "card_json": tmp_path / "card.json",
    }


def test_card_accounts_for_every_image(card_inputs):
    text = dataset.write_card(**card_inputs)
    card = json.loads(card_inputs["card_json"].read_text())
    assert card["images"] == {"in": 6, "kept": 3, "repaired": 1, "rejected": 2}
    assert card["reasons"] == {
        "rejected": {"all_boxes_unusable": 1, "unlabelled": 1},
        "repaired": {"box_clipped": 1, "size_wrong": 1},
    }
    assert list(card["splits"]) == ["train", "val", "test"]
    assert card["classes"] == {
        "cat": {"train": 2, "val": 0, "test": 1},
        "dog": {"train": 2, "val": 0, "test": 0},
        "owl": {"train": 0, "val": 0, "test": 0},
    }
    assert card["warnings"] == [
        "The val split has no boxes: no best model can be chosen.",
        "Class 'dog' has no boxes in test: its AP there is unknown.",
        "Class 'owl' has no boxes at all: it cannot be learnt.",
    ]
    assert "6 images: 3 kept, 1 repaired, 2 rejected" in text
    assert "Warning: The val split has no boxes" in text
    with open(card_inputs["repairs_csv"], newline="") as stream:
        assert [line["image"] for line in csv.DictReader(stream)] == ["a.jpg", "c.jpg", "x.jpg", "x.jpg"]


def test_card_refuses_images_that_are_not_accounted_for(card_inputs):
    card_inputs["inventories"][0].write_text("{}\n" * 7)
    with pytest.raises(InputError, match="7 in the inventory, 4 in the boxes tables, 2 rejected"):
        dataset.write_card(**card_inputs)
    assert not card_inputs["card_json"].exists()
    assert not card_inputs["repairs_csv"].exists()


def test_strict_tells_every_row_of_the_ledger(card_inputs):
    with pytest.raises(InputError) as error:
        dataset.write_card(**card_inputs, strict=True)
    assert [(problem.file, problem.found) for problem in error.value.problems] == [
        ("a.jpg", "no annotation"),
        ("c.xml", "xmax 41"),
        ("x.xml", "1 x 1"),
        ("x.xml", "all"),
    ]
    assert not card_inputs["card_json"].exists()


def test_strict_is_content_with_a_clean_data_set(card_inputs):
    for ledger in card_inputs["ledgers"]:
        write_ledger(ledger, [])
    card_inputs["inventories"][0].write_text("{}\n" * 4)
    text = dataset.write_card(**card_inputs, strict=True)
    assert "4 images: 4 kept, 0 repaired, 0 rejected" in text
    assert card_inputs["repairs_csv"].read_text().startswith("image,status,reason")
