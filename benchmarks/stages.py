"""What each stage of the data takes for each image, in seconds of the processor and bytes on the disk.

    python benchmarks/stages.py [--images 1000] [--work build/stages]

JPEGs of about 100 KB (640 x 480), each with a LabelImg XML with one to three boxes. The library's functions are called
in one process, as the jobs call them: what a job takes beside them, Python's start above all, is not in it. All figures
are scaled to 100,000 images. Looking for duplicates is left out: it takes the more for each image the more there are.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from scale import ROOT, configure, make_pairs, make_photos

sys.path.insert(0, str(ROOT / "workflow/scripts"))

from odtl import inventory, manifest
from odtl.conversion import coco, voc
from odtl.dataset import merged, write_split_tables
from odtl.duplicates.hashes import hash_images
from odtl.making_boxes import make_boxes
from odtl.records import write_records
from odtl.repairs import COLUMNS

OF = 100_000
SPLIT = {"fractions": {"train": 1.0}}
LABELS = {"classes": None, "aliases": {}}
IDS = {"bird": 1, "cat": 2, "dog": 3}
SHARD = "train-00000-of-00001"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--work", type=Path, default=ROOT / "build/stages")
    options = parser.parse_args()
    folder = options.work.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    make_pairs(folder / "data", options.images, photo=make_photos())
    (folder / "label_map.pbtxt").write_text(
        "".join(f"item {{ id: {number} name: '{name}' }}\n" for name, number in IDS.items()), encoding="utf-8"
    )
    configure(folder, options.images)
    measure(folder, options.images)
    shutil.rmtree(folder)


def measure(folder: Path, images: int) -> None:
    """Print a line for each stage."""
    (source,) = yaml.safe_load((folder / "my.yaml").read_text(encoding="utf-8"))["data"]["sources"]
    places = {key: str(folder / source[key]) for key in ("images", "annotations")}
    data = {"sources": [{**source, **places}], "split": SPLIT, "shards": 1}
    lines = manifest.manifest_path(folder / "inventory", SHARD)
    boxes, repairs, record = folder / "boxes.csv", folder / "repairs.csv", folder / "record.tfrecord"

    def row(name: str, call: Callable[[], object], *made: Path) -> None:
        started = time.process_time()
        call()
        cpu = (time.process_time() - started) / images * OF
        size = sum(path.stat().st_size for path in made) / images
        print(f"{name:32} {cpu:7.1f} s of CPU for {OF:,} images   {size:9.0f} bytes for each image", flush=True)

    inventory.refresh(data, LABELS, folder / "cache", folder / "inventory")
    shutil.rmtree(folder / "inventory")
    shutil.rmtree(folder / "cache")
    row("inventory", lambda: inventory.refresh(data, LABELS, folder / "cache", folder / "inventory"), lines)
    hashes = folder / "hashes.csv"
    digest = manifest.image_digest(manifest.read_manifest(lines))
    row("hash_images", lambda: hash_images(lines, hashes, folder / "hashes.json", digest, {}), hashes)
    # The table is named as its shard is.
    row("make_boxes", lambda: make_boxes(lines, boxes, repairs, folder / "boxes.json"), boxes, repairs)
    row("make_boxes, decode_images", lambda: make_boxes(lines, boxes, repairs, folder / "boxes.json", decode=True))
    row("write_records", lambda: write_records(boxes, IDS, record, folder / "record.json"), record)
    labels = folder / "labels.csv"
    row("write_split_tables", lambda: write_split_tables([boxes], labels, folder / "train.json", "train"), labels)
    row("write_card: reading the ledgers", lambda: sum(1 for _ in merged([repairs], COLUMNS)))
    row("write_card: reading the manifests", lambda: manifest.read_manifest(lines))
    label_map, table = folder / "label_map.pbtxt", folder / "coco.json"
    row("convert_coco", lambda: coco.convert([boxes], [], label_map, table, folder / "coco", True), table)
    row("convert_voc", lambda: voc.convert([boxes], folder / "voc", True))


if __name__ == "__main__":
    main()
