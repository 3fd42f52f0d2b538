"""What the inventory and the DAG of a million images cost, without one image: a listing of a bucket, and one COCO file.

    python benchmarks/million.py [--images 1000000] [--per-shard 1500 500 5000] [--work build/million]

The bucket is a stand-in: it gives the listing that a server would, without a server. The images are never there. For
the runs after all is made, files without content stand for what the jobs would have made, and Snakemake's `--touch`
writes its records of them. What is measured is real otherwise: the project's own Snakefile, in processes of its own.

Seconds are of the processor, of all processes together; memory is the largest resident set that one of them had.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "workflow/scripts"
sys.path.insert(0, str(LIBRARY))

from odtl import buckets, manifest  # noqa: E402
from odtl.duplicates.fingerprints import THUMBNAIL_BYTES  # noqa: E402
from odtl.duplicates.hashes import COLUMNS  # noqa: E402
from odtl.fetching.ledger import FETCHED, Row, write_ledger  # noqa: E402
from odtl.split import SPLITS, shard_name  # noqa: E402

# State of the stand-in: how many objects there are, and which have been replaced.
BUCKET = "bucket.json"
PER_FOLDER = 10_000
PARTS = ("inventory", "plans", "made", "duplicates")
CLASSES = ("cat", "dog", "bird")
MADE = (
    "fetched/{}.json",
    "boxes/{}.csv",
    "boxes/{}.json",
    "repairs/{}.csv",
    "hashes/{}.csv",
    "hashes/{}.json",
    "records/{}.tfrecord",
    "records/{}.json",
)
MADE_ONCE = (
    *(f"{split}{ending}" for split in SPLITS for ending in ("_labels.csv", ".json")),
    *("duplicates.csv", "duplicates.json", "groups.csv", "copies.csv", "copies.json", "repairs.csv"),
    *("card.json", "card.txt"),
)


@dataclass(frozen=True)
class Cost:
    """What a command and its children took.

    cpu: seconds of the processor; wall: by the clock; memory: MB of the largest one's resident set.
    """

    cpu: float
    wall: float
    memory: float
    output: str


class StandIn:
    """Answers as `odtl.buckets.Client` does, for a bucket of images that are nowhere."""

    def __init__(self, *_: object, **__: object) -> None:
        self._bucket = json.loads(Path(BUCKET).read_text(encoding="utf-8"))

    def listing(self, _bucket: str, prefix: str) -> Iterator[buckets.Listed]:
        """Yield the objects in the order of their keys."""
        replaced = frozenset(self._bucket["replaced"])
        for index in range(self._bucket["images"]):
            etag = f"{(index * 0x9E3779B97F4A7C15 + (index in replaced)) % 2**128:032x}"
            yield buckets.Listed(f"{prefix}/{path_of(index)}", etag, 100_000 + index % 1000, 1_700_000_000 * 10**9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--per-shard", type=int, nargs="+", default=[1500, 500, 5000], help="images for each shard")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="what to measure; default: all")
    parser.add_argument("--work", type=Path, default=ROOT / "build/million")
    options = parser.parse_args()
    folder = options.work.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "trivial").mkdir(parents=True)
    measure_trivial(folder / "trivial")
    write_coco(folder / "labels.json", options.images)
    set_bucket(folder, options.images)
    print(f"\n{options.images:,} images; labels.json {megabytes(folder / 'labels.json'):.0f} MB", flush=True)
    for turn, per_shard in enumerate(options.per_shard):
        shards = max(1, round(options.images / per_shard))
        print(f"\n{shards} shards for each split, one for each {per_shard:,} images", flush=True)
        configure(folder, shards)
        if turn:
            shutil.rmtree(folder / "results")
        tell("inventory, the rest as it was" if turn else "first inventory", snakemake(folder, "--list-rules"))
        if "inventory" in options.only and not turn:
            measure_inventory(folder, options.images)
        if "plans" in options.only:
            measure_plans(folder)
        if "made" in options.only and not turn:
            measure_made(folder, shards, options.images)
        if "duplicates" in options.only and not turn:
            measure_duplicates(folder, shards)


def measure_trivial(folder: Path) -> None:
    """Print what Snakemake takes for a workflow of one rule, which is in all other figures, too."""
    (folder / "Snakefile").write_text('rule all:\n    input: "a.txt"\n', encoding="utf-8")
    write(folder / "a.txt")
    tell("a workflow of one rule, nothing to be done", nothing(snakemake(folder)))


def measure_inventory(folder: Path, images: int) -> None:
    """Print what it takes to read the workflow, and to bring the inventory up to date for it, without any DAG."""
    tell("the same, nothing changed", snakemake(folder, "--list-rules"))
    set_bucket(folder, images, replaced=[images // 2])
    tell("the same, one image replaced", snakemake(folder, "--list-rules"))
    move_box(folder / "labels.json")
    tell("the same, one box moved", snakemake(folder, "--list-rules"))
    print(f"  results/inventory {megabytes(folder / 'results/inventory'):.0f} MB", end="")
    print(f", .snakemake {megabytes(folder / '.snakemake'):.0f} MB", flush=True)


def measure_plans(folder: Path) -> None:
    """Print what it takes to find out what is to be done where nothing is made yet."""
    record = f"results/records/{next((folder / 'results/inventory').glob('*.jsonl')).stem}.tfrecord"
    for name, arguments in (
        ("dry run of `data`, manifests read", ["data"]),
        ("dry run of `data`", ["data"]),
        ("dry run of `all`", ["all"]),
        ("dry run of `data`, a tenth by --batch", ["data", "--batch", "data=1/10"]),
        ("dry run of one record", [record]),
    ):
        tell(name, snakemake(folder, *arguments, "--dry-run", "--quiet"), jobs=True)


def measure_made(folder: Path, shards: int, images: int) -> None:
    """Print what runs take after all of the data is made."""
    snakemake(folder, "results/dataset/label_map.json", "--quiet", "all")
    make_all(folder / "results", shards)
    tell(
        "(Snakemake's records: `--touch --forceall`)",
        # Else it looks at the inputs of all jobs that are ready each time that one has ended.
        snakemake(folder, "data", "--touch", "--forceall", "--quiet", "all", "--scheduler-subsample", "100"),
    )
    tell("`data`, nothing to be done", nothing(snakemake(folder, "data")))
    move_box(folder / "labels.json")
    tell("dry run of `data`, one box moved", snakemake(folder, "data", "--dry-run", "--quiet"), jobs=True)
    print(f"  .snakemake {megabytes(folder / '.snakemake'):.0f} MB", end="")
    print(f", results/provenance {megabytes(folder / 'results/provenance'):.0f} MB", flush=True)


def measure_duplicates(folder: Path, shards: int) -> None:
    """Print what the search for images that show the same takes, of which there are none."""
    generator, results = random.Random(1), folder / "results"
    names = [shard_name(split, index, shards) for split in SPLITS for index in range(shards)]
    manifests = [str(manifest.manifest_path(results / "inventory", name)) for name in names]
    hashes = [str(folder / f"hashes/{name}.csv") for name in names]
    (folder / "hashes").mkdir()
    for path, listed in zip(hashes, manifests, strict=True):
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(",".join(COLUMNS) + "\n")
            for line in manifest.iterate_manifest(listed):
                look = (generator.randbytes(size).hex() for size in (32, 8, 8, THUMBNAIL_BYTES))
                stream.write(",".join([line.id, *look]) + "\n")
    (folder / "search.json").write_text(json.dumps([hashes, manifests]), encoding="utf-8")
    search = "import json, sys; from odtl.duplicates.finding import find_duplicates; "
    search += "find_duplicates(*json.load(open('search.json')), None, 'pairs.csv', 'groups.csv', 'pairs.json')"
    tell("find_duplicates, random fingerprints", run([sys.executable, "-c", search], folder))


def path_of(index: int) -> str:
    """Return an image's path below the prefix."""
    return f"{index // PER_FOLDER:05d}/{index:08d}.jpg"


def write_coco(path: Path, images: int) -> None:
    """Write a COCO file with one to three boxes for each image."""
    generator, number = random.Random(0), 0
    with open(path, "w", encoding="utf-8") as stream:
        names = [{"id": place, "name": name} for place, name in enumerate(CLASSES, 1)]
        stream.write(f'{{"categories": {json.dumps(names)},\n"images": [\n')
        for index in range(images):
            end = ",\n" if index + 1 < images else "],\n"
            stream.write(f'{{"id": {index}, "file_name": "{path_of(index)}", "width": 640, "height": 480}}{end}')
        stream.write('"annotations": [\n')
        for index in range(images):
            for place in range(count := generator.randint(1, 3)):
                number += 1
                x, y, kind = generator.randrange(100, 320), generator.randrange(240), generator.randint(1, 3)
                end = ",\n" if index + 1 < images or place + 1 < count else "]}\n"
                box = f'"bbox": [{x}, {y}, 200, 160], "area": 32000, "iscrowd": 0'
                stream.write(f'{{"id": {number}, "image_id": {index}, "category_id": {kind}, {box}}}{end}')


def move_box(path: Path) -> None:
    """Move the first box by another number of the same length, where it stands."""
    mark = b'"bbox": ['
    with open(path, "r+b") as stream:
        offset, text = 0, b""
        while mark not in text:
            offset = stream.tell() - len(mark) if text else 0
            stream.seek(offset)
            text = stream.read(2**20)
        stream.seek(offset + text.index(mark) + len(mark))
        x = int(stream.read(3))
        stream.seek(-3, os.SEEK_CUR)
        stream.write(b"%d" % (100 + (x + 1) % 100))


def set_bucket(folder: Path, images: int, replaced: list[int] | tuple[int, ...] = ()) -> None:
    """Say what the stand-in has."""
    content = {"images": images, "replaced": list(replaced)}
    (folder / BUCKET).write_text(json.dumps(content), encoding="utf-8")


def configure(folder: Path, shards: int) -> None:
    """Write the configuration."""
    source = '{format: coco, images: "s3://bucket/images", annotations: labels.json, split: by_hash}'
    text = f"data:\n  sources:\n    - {source}\n  shards: {shards}\n"
    (folder / "my.yaml").write_text(text, encoding="utf-8")


def make_all(results: Path, shards: int) -> None:
    """Write files that stand for all that jobs make; ledgers name one file for all images of a shard."""
    for path in MADE_ONCE:
        write(results / "dataset" / path)
    write(results / "images/any.jpg", b"1")
    for shard in (shard_name(split, index, shards) for split in SPLITS for index in range(shards)):
        for pattern in MADE:
            write(results / pattern.format(shard))
        lines = manifest.iterate_manifest(manifest.manifest_path(results / "inventory", shard))
        rows = (
            Row(line.id, line.origin.url, FETCHED, line.origin.url, "results/images/any.jpg", "0" * 64, bytes=1)
            for line in lines
        )
        write_ledger(results / f"fetched/{shard}.csv", rows)


def write(path: Path, content: bytes = b"") -> None:
    """Write a file, without content if none is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def snakemake(folder: Path, *arguments: str) -> Cost:
    """Run Snakemake on the project's workflow, with the stand-in for the bucket."""
    command = [sys.executable, str(Path(__file__).resolve()), "--as-snakemake", *arguments, "--cores", "1"]
    if (folder / "my.yaml").exists():
        command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "my.yaml"]
    return run(command, folder)


def run(command: list[str], folder: Path) -> Cost:
    """Run a command in the folder."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as stream:
        environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
        process = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        stream.seek(0)
        output = stream.read().decode()
    if status:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output[-5000:]}")
    cpu, wall = usage.ru_utime + usage.ru_stime, time.perf_counter() - started
    return Cost(cpu, wall, usage.ru_maxrss * 1024 / 1e6, output)


def tell(name: str, cost: Cost, jobs: bool = False) -> None:
    """Print one figure; jobs: and how many jobs are to run."""
    told = re.findall(r"^To run: ([0-9,]+) jobs?", cost.output, re.MULTILINE)
    more = f"   {told[-1]} jobs" if jobs and told else ""
    print(f"  {name:44} {cost.cpu:7.1f} s   {cost.memory:6.0f} MB   ({cost.wall:.0f} s by the clock){more}", flush=True)


def nothing(cost: Cost) -> Cost:
    """Check that a run had nothing to do."""
    if "Nothing to be done" not in cost.output:
        raise RuntimeError(f"jobs ran where nothing was to be done:\n{cost.output[-5000:]}")
    return cost


def megabytes(path: Path) -> float:
    """Return what a file or folder takes on the disk, in MB of 10^6 bytes."""
    output = subprocess.run(["du", "-sk", path], capture_output=True, text=True, check=True).stdout
    return int(output.split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-snakemake"]:
        from snakemake.cli import main as snakemake_main

        buckets.Client = StandIn
        del sys.argv[1]
        snakemake_main(sys.argv[1:])
    else:
        main()
