"""The page of the data check says what the tables say, needs nothing beside it, and is safe whatever names are."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from helpers import scene, voc_xml
from odtl import dataset, label_map
from odtl.boxes import COLUMNS as BOX_COLUMNS
from odtl.check.gathering import EACH, SIZE_BINS, Box, Shown, look_up, measure, pick_repairs, rarest_class
from odtl.check.histogram import bar_chart
from odtl.check.page import Tables, write_page
from odtl.check.thumbnails import SIDE, thumbnail
from odtl.duplicates.copies import compare_copies
from odtl.duplicates.finding import find_duplicates
from odtl.duplicates.hashes import hash_images
from odtl.duplicates.telling import read_findings
from odtl.files import write_csv
from odtl.inventory import scan, write
from odtl.making_boxes import make_boxes
from odtl.repairs import ledger_row, write_ledger
from odtl.split import SPLITS, shard_names

HOSTILE = "<script>alert(1)</script>"
QUOTED = "\"><img src=x onerror=alert(1)> & 'b'"


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def add(folder: Path, name: str, image: Image.Image | None, objects: list, **options) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if image is not None:
        image.save(path, **options)
    escaped = [(label.replace("&", "&amp;").replace("<", "&lt;"), box) for label, box in objects]
    path.with_suffix(".xml").write_text(voc_xml("x.png", (640, 480), escaped), encoding="utf-8")


def check(folder: Path) -> Page:
    """Take the images in a folder through the data stages; return the page, which is `check.html` there."""
    config = {
        "sources": [{"format": "voc", "images": str(folder / "images")}],
        "split": {"fractions": {"train": 1, "val": 0, "test": 0}, "val_from_train": 0},
        "shards": 1,
    }
    inventory = scan(config, {"classes": None, "aliases": {}}, None)
    write(inventory, folder)
    shards = shard_names(1)
    files = {kind: [folder / f"{shard}.{kind}" for shard in shards] for kind in ("jsonl", "boxes", "repairs", "hashes")}
    for manifest, boxes, repairs, hashes in zip(*files.values(), strict=True):
        make_boxes(manifest, boxes, repairs)
        hash_images(manifest, hashes, f"{hashes}.json")
    find_duplicates(
        *(files["hashes"], files["jsonl"], None),
        *(folder / name for name in ("duplicates.csv", "groups.csv", "duplicates.json")),
    )
    compare_copies(folder / "duplicates.csv", files["boxes"], folder / "copies.csv", folder / "copies.json")
    for split, boxes in zip(SPLITS, files["boxes"], strict=True):
        dataset.write_split_tables([boxes], folder / f"{split}.csv", folder / f"{split}.json", split)
    ids = {name: n for n, name in enumerate(inventory.classes, 1)}
    (folder / "map.pbtxt").write_text(label_map.format(ids), encoding="utf-8")
    dataset.write_card(
        [folder / f"{split}.json" for split in SPLITS],
        files["jsonl"],
        files["repairs"],
        folder / "map.pbtxt",
        read_findings(folder / "duplicates.json", folder / "copies.json"),
        folder / "repairs.csv",
        folder / "card.json",
    )
    tables = Tables(
        *(folder / name for name in ("card.json", "repairs.csv", "duplicates.csv", "copies.csv", "map.pbtxt")),
        files["boxes"],
        files["jsonl"],
    )
    write_page(tables, folder / "check.html")
    return Page((folder / "check.html").read_text(encoding="utf-8"))


@pytest.fixture
def page(tmp_path):
    images = tmp_path / "images"
    add(images, "train/a.png", scene(1), [("cat", (10, 10, 110, 110)), ("dog", (200, 200, 206, 205))])
    add(images, "train/b.png", scene(2), [("cat", (-20, 10, 90, 300))])
    add(images, "train/cut.png", scene(3), [("cat", (1, 1, 50, 50))])
    cut = images / "train/cut.png"
    cut.write_bytes(cut.read_bytes()[:5000])
    add(images, "train/no object.png", scene(6), [])
    scene(4).save(images / "train/unlabelled.png")
    add(images, "test/a.png", scene(1), [("cat", (10, 10, 110, 110))])
    add(images, "val/c.png", scene(5), [("cat", (0, 0, 640, 480))])
    return check(tmp_path)


def test_page_tells_what_the_card_tells(page):
    assert "7 images" in page.text
    assert "4 kept" in page.text
    assert "1 repaired" in page.text
    assert "2 rejected" in page.text
    assert "1 training images also in val or test" in page.text
    assert re.search(r"train 3 1 3 2 val 1 0 1 1 test 1 0 1 1", page.text)
    assert re.search(r"cat 2 1 1 4 dog 1 0 0 1", page.text)
    assert "box_clipped repaired 1" in page.text
    assert "Class 'dog' has no boxes in val and test: its AP there is unknown." in page.text


def test_worst_cases_are_shown_with_what_was_found_and_done(page):
    titles = [text for text in page.words if text.strip()]
    for title in (
        "Leaks between the splits",
        "The same file with different boxes",
        "Left out",
        "Most repaired",
        "Smallest boxes",
        "Most boxes",
        "The class with the fewest boxes: dog",
    ):
        assert title in titles
    assert re.search(r"box_clipped, \w+ 1: ", page.text)
    assert "dog: 6 x 5 pixels" in page.text
    assert "cannot be shown" in page.text
    assert [image["alt"] for image in page.all("img")][:2] == ["test/a.png", "train/a.png"]


def test_page_needs_nothing_beside_it_and_no_script(page):
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert not re.search(r"https?:", " ".join(str(attributes) for _, attributes in page.elements))
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    for image in page.all("img"):
        with Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))) as opened:
            assert max(opened.size) == SIDE


def test_hostile_labels_and_names_are_text(tmp_path):
    images = tmp_path / "images"
    name = "<b onload=alert(1)>&'\".png"
    add(images, f"train/{name}", scene(1), [(HOSTILE, (10, 10, 110, 110)), (QUOTED, (-5, 10, 50, 90))])
    add(images, f"test/{name}", scene(1), [(HOSTILE, (10, 10, 110, 110))])
    (images / f"train/{HOSTILE.replace('/', '_')}.png").write_text("<html>")
    page = check(tmp_path)
    assert HOSTILE in page.text
    assert QUOTED in page.text
    assert f"train/{name}" in page.text
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "b onload"})
    assert not [attributes for _, attributes in page.elements if any(key.startswith("on") for key in attributes)]
    assert {image["alt"] for image in page.all("img")} == {f"train/{name}", f"test/{name}"}


def test_page_is_bounded_whatever_the_number_of_images(tmp_path):
    images = tmp_path / "images"
    for index in range(40):
        boxes = [("cat", (n, n, n + 20, n + 30)) for n in range(index % 7)] + [("dog", (-5, 5, 40 + index, 60))]
        picture = scene(index, (160, 120)).resize((640, 480))
        for split in ("train", "test"):
            add(images, f"{split}/{index}.jpg", picture, boxes if split == "test" else boxes[:1], quality=70)
    page = check(tmp_path)
    assert len(page.all("img")) <= 60
    assert (tmp_path / "check.html").stat().st_size < 4_000_000


def test_empty_splits_make_a_page(tmp_path):
    add(tmp_path / "images", "train/a.png", scene(1), [])
    page = check(tmp_path)
    assert "The val split has no boxes" in page.text
    assert not page.all("img")


# What is worth a look


def box_table(path: Path, rows: list[tuple]) -> list[Path]:
    """Write a boxes table; a row is id, width, height, class, edges: "" and no edges where it holds no object."""
    lines = []
    for image, width, height, label, *edges in rows:
        cells = {"filename": image, "width": width, "height": height, "class": label, "image": f"{image}.png"}
        cells |= dict(zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=False)) | {"split": "train"}
        lines.append(cells)
    write_csv(path, BOX_COLUMNS, lines)
    return [path]


def test_sizes_are_shares_of_the_image(tmp_path):
    rows = [
        ("a", 100, 100, "cat", 0, 0, 1, 1),
        ("a", 100, 100, "cat", 0, 0, 2, 2),
        ("b", 100, 100, "dog", 0, 0, 100, 100),
        ("c", 100, 100, ""),
        ("d", 200, 50, "cat", 10, 10, 60, 30),
    ]
    sizes = measure(box_table(tmp_path / "t.csv", rows), "dog")
    assert SIZE_BINS == (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0)
    assert sizes.histogram == [1, 1, 0, 0, 0, 1, 0, 1]
    assert [(area, image) for area, image, _ in sizes.smallest] == [(1, "a"), (1000, "d"), (10000, "b")]
    assert sizes.most == [(2, "a"), (1, "b"), (1, "d")]
    assert sizes.rare == ["b"]
    shown = look_up({"a", "c", "x"}, [tmp_path / "t.csv"])
    assert shown["c"] == Shown("c", "c.png", "train", 100, 100)
    assert shown["a"].boxes == (Box("cat", (0, 0, 1, 1)), Box("cat", (0, 0, 2, 2)))
    assert shown.keys() == {"a", "c"}


def test_smallest_are_those_of_many(tmp_path):
    rows = [(f"{n:03}", 100, 100, "cat", 0, 0, 50 - n % 40, 10) for n in range(200)]
    sizes = measure(box_table(tmp_path / "t.csv", rows), None)
    assert [area for area, *_ in sizes.smallest] == [110, 110, 110, 110, 110, 120, 120, 120]
    assert len(sizes.smallest) == EACH


def test_rarest_class_has_boxes_and_is_one_of_several():
    assert rarest_class({"a": {"train": 3, "val": 1}, "b": {"train": 1, "val": 1}, "c": {"train": 0, "val": 0}}) == "b"
    assert rarest_class({"a": {"train": 3}, "c": {"train": 0}}) is None


def test_each_reason_is_shown_before_any_twice(tmp_path):
    rows = [ledger_row(f"clip{n}", "box_clipped") for n in range(20)]
    rows += [ledger_row("worst", "box_clipped")] * 3
    rows += [ledger_row("exif", "exif_turned"), ledger_row("gone", "unlabelled"), ledger_row("cut", "image_damaged")]
    write_ledger(tmp_path / "l.csv", sorted(rows, key=lambda row: row.image))
    rejected, repaired = pick_repairs(tmp_path / "l.csv")
    assert list(rejected) == ["cut", "gone"]
    assert list(repaired) == ["worst", "exif", "clip0", "clip1", "clip10", "clip11", "clip12", "clip13"]
    assert len(repaired["worst"]) == 3


def test_small_box_is_enlarged(tmp_path):
    image = Image.new("RGB", (1000, 800), "white")
    image.paste("red", (500, 400, 510, 410))
    image.save(tmp_path / "a.png")
    box = Box("dot", (500, 400, 510, 410))
    shown = Shown("a", str(tmp_path / "a.png"), "train", 1000, 800, (box,), 1)

    def red(picture: str) -> int:
        with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as opened:
            return sum(r > 180 and g < 90 and b < 90 for r, g, b in opened.get_flattened_data())

    whole, part = thumbnail(shown, {"dot": 1}), thumbnail(shown, {"dot": 1}, box)
    assert red(whole) < 40
    # A window of 60 pixels on 480: the dot has 80 pixels each way, less the box's line.
    assert 4000 < red(part) < 6400


def test_picture_that_cannot_be_read_is_none(tmp_path):
    (tmp_path / "a.png").write_text("<html>")
    assert thumbnail(Shown("a", str(tmp_path / "a.png"), "train"), {}) is None
    assert thumbnail(Shown("a", str(tmp_path / "missing.png"), "train"), {}) is None
    assert thumbnail(Shown("a", None, "train"), {}) is None


def test_bars_are_as_long_as_their_counts():
    text = bar_chart(["a", "<b>", "c", "d"], [100, 50, 0, 1], 'a "title"')
    assert re.findall(r'<rect [^>]*width="([\d.]+)"', text) == ["236.0", "118.0", "0.0", "2.4"]
    assert "&lt;b&gt;" in text
    assert 'aria-label="a &#34;title&#34;"' in text
    assert json.dumps(bar_chart([], [], "none"))
