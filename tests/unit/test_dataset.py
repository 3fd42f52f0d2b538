import csv
import json
from pathlib import Path

import pytest
import yaml

from odtl import dataset
from odtl.boxes import COLUMNS
from odtl.errors import InputError
from odtl.repairs import ledger_row, write_ledger

BOX = ("1", "2", "30.5", "20")


def row(folder, image, label="cat", split="train", sha256="0" * 64, box=BOX):
    path = folder / "images" / image
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    return [image, 40, 20, label, *(box if label else ("",) * 4), 0, 0, 0, split, image, str(path), sha256]


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


def manifest(*names):
    """Return the lines of some images, as far as the card looks at them."""
    return "".join(json.dumps({"id": f"{name}.jpg", "image": f"images/{name}.jpg"}) + "\n" for name in names)


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
    moved = [[*r[:13], f"{r[13]}x", r[14]] for r in rows]
    for path in {r[13] for r in moved}:
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
    Path(rows[-1][13]).unlink()
    with pytest.raises(InputError) as error:
        split_tables(tmp_path, write_shards(tmp_path, [*rows, stray], 2))
    assert [problem.field for problem in error.value.problems] == ["image", "split"]
    assert not (tmp_path / "train_labels.csv").exists()


def test_a_table_with_another_header_is_told(tmp_path):
    path = tmp_path / "train-00000-of-00001.csv"
    path.write_text("filename,width\n")
    with pytest.raises(InputError, match=r"00001\.csv: header: found filename,width"):
        split_tables(tmp_path, [path])


NO_FINDINGS = {
    "pairs": {"identical": 0, "near": 0, "mirror": 0},
    "leaks": {"images": 0, "pairs": {"identical": 0, "near": 0, "mirror": 0}, "examples": []},
    "between_val_and_test": 0,
    "copies": {"pairs": 0, "different": 0, "examples": []},
}


@pytest.fixture
def card_inputs(tmp_path, rows):
    test_rows = [row(tmp_path, "t.jpg", split="test")]
    for split, split_rows in (("train", rows), ("val", []), ("test", test_rows)):
        split_tables(tmp_path, write_shards(tmp_path, split_rows, 2, split), split)
    label_map = tmp_path / "label_map.pbtxt"
    label_map.write_text("".join(f"item {{ id: {n} name: '{c}' }}\n" for n, c in enumerate(["cat", "dog", "owl"], 1)))
    inventory = tmp_path / "all.jsonl"
    inventory.write_text(manifest("a", "b", "c", "d", "e", "x"))
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
        "findings": NO_FINDINGS,
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
    assert "\nduplicates: none\n" in text
    assert "Warning: The val split has no boxes" in text
    with open(card_inputs["repairs_csv"], newline="") as stream:
        assert [line["image"] for line in csv.DictReader(stream)] == ["a.jpg", "c.jpg", "x.jpg", "x.jpg"]


def test_card_tells_what_was_found_about_duplicates(card_inputs):
    leak = {"image": "c.jpg", "split": "train", "other": "t.jpg", "other_split": "test"}
    copy = {"image": "a.jpg", "boxes": 1, "other": "t.jpg", "other_boxes": 0}
    card_inputs["findings"] = {
        "pairs": {"identical": 2, "near": 0, "mirror": 1},
        "leaks": {"images": 3, "pairs": {"identical": 2, "near": 0, "mirror": 1}, "examples": [leak]},
        "between_val_and_test": 4,
        "copies": {"pairs": 2, "different": 1, "examples": [copy]},
    }
    text = dataset.write_card(**card_inputs)
    assert "\nduplicates: 2 identical, 1 mirror pair(s); 3 training image(s) are also in val or test\n" in text
    warnings = json.loads(card_inputs["card_json"].read_text())["warnings"][3:]
    assert warnings[0].startswith(
        "3 training image(s) show the same as images of val or test, such as c.jpg (train) and t.jpg (test):"
    )
    assert warnings[1].startswith("4 pair(s) of val and test images show the same")
    assert warnings[2].startswith(
        "1 image(s) are in the data twice with different boxes, such as a.jpg (1 box) and t.jpg (0 boxes)"
    )


def test_card_refuses_images_that_are_not_accounted_for(card_inputs):
    card_inputs["inventories"][0].write_text(manifest(*"abcdefg"))
    with pytest.raises(InputError, match="7 in the inventory, 4 in the boxes tables, 2 rejected"):
        dataset.write_card(**card_inputs)
    assert not card_inputs["card_json"].exists()
    assert not card_inputs["repairs_csv"].exists()


def test_card_of_a_clean_data_set(card_inputs):
    for ledger in card_inputs["ledgers"]:
        write_ledger(ledger, [])
    card_inputs["inventories"][0].write_text(manifest(*"abcd"))
    text = dataset.write_card(**card_inputs)
    assert "4 images: 4 kept, 0 repaired, 0 rejected" in text
    assert card_inputs["repairs_csv"].read_text().startswith("image,status,reason")


def test_card_fits_one_screen(card_inputs):
    summary = card_inputs["summary_jsons"][1]
    content = json.loads(summary.read_text())
    content["classes"] = {f"class number {number:03d}": number for number in range(1, 301)}
    summary.write_text(json.dumps(content))
    dataset.write_card(**card_inputs)
    card = json.loads(card_inputs["card_json"].read_text())
    assert len(card["classes"]) == 303
    card["reasons"] = {
        status: {f"some_long_reason_number_{number}": 100 - number for number in range(15)}
        for status in ("rejected", "repaired")
    }
    card["warnings"] += [f"Warning number {number} " + "of many words " * 12 for number in range(40)]
    lines = dataset.describe(card).splitlines()
    assert len(lines) <= 50 and max(map(len, lines)) <= 120
    assert "and 291 classes with more boxes for training: see card.json, check.html" in lines
    assert any(line.startswith("class number 001 ") for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "and 8 more reasons: see card.json" in text
    assert (
        "Warning: 300 classes ('class number 001', 'class number 002', 'class number 003' and 297 more) have no" in text
    )


def test_card_warns_of_classes_that_look_alike(card_inputs):
    summary = card_inputs["summary_jsons"][1]
    content = json.loads(summary.read_text())
    content["classes"] = {"r2d2": 410, "r2-d2": 1, "bb8": 100, "bb9": 1, "no": 50}
    summary.write_text(json.dumps(content))
    dataset.write_card(**card_inputs)
    warnings = json.loads(card_inputs["card_json"].read_text())["warnings"]
    (told,) = [text for text in warnings if "looks like" in text]
    assert told.startswith("Class 'r2-d2' (1 box) looks like 'r2d2' (410 boxes).")
    assert yaml.safe_load(told.split("configuration: ")[1]) == {"labels": {"aliases": {"r2-d2": "r2d2"}}}


def test_card_warns_of_names_that_are_one_elsewhere(card_inputs):
    names = ["a", "A", "\u00e9", "e\u0301", "b", "c"]
    # A box that is no number is written as NaN, which not every reader of JSON takes.
    card_inputs["inventories"][0].write_text(
        manifest(*names).replace("{", '{"boxes": [NaN], ') + '{"id": "B.jpg", "image": null}\n'
    )
    card_inputs["inventories"].append(card_inputs["inventories"][0].with_name("more.jsonl"))
    card_inputs["inventories"][1].write_text("")
    write_ledger(card_inputs["ledgers"][1], [ledger_row(name, "unlabelled") for name in ("B.jpg", "a.jpg")])
    dataset.write_card(**card_inputs)
    warnings = json.loads(card_inputs["card_json"].read_text())["warnings"]
    (told,) = [text for text in warnings if "differ only in case" in text]
    assert "'A.jpg' and 'a.jpg'" in told and "2 such names in all" in told
