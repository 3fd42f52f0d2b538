"""What a run costs beside Snakemake's own no-op, at 1,000, 10,000 and 100,000 small pairs of image and annotation.

    python benchmarks/scale.py [--pairs 1000 10000 100000] [--photos 10000] [--work build/scale]

All figures of one table are of one run on one machine, medians of several calls, taken in turn with the yardsticks:
Snakemake's no-op on a workflow of one rule, `cat` of all files, `cp` of the photographs.
"""

import argparse
import io
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image, ImageFilter

ROOT = Path(__file__).parents[1]
PAIRS_PER_SHARD = 1500
TRIVIAL = 'rule all:\n    input: "a.txt"\n\n\nrule a:\n    output: "a.txt"\n    shell: "echo a > {output}"\n'
XML = """<annotation>
\t<folder>images</folder>
\t<filename>{name}.jpg</filename>
\t<path>/home/me/images/{name}.jpg</path>
\t<source>
\t\t<database>Unknown</database>
\t</source>
\t<size>
\t\t<width>{width}</width>
\t\t<height>{height}</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
{objects}</annotation>
"""
OBJECT = """\t<object>
\t\t<name>{label}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>{box[0]}</xmin>
\t\t\t<ymin>{box[1]}</ymin>
\t\t\t<xmax>{box[2]}</xmax>
\t\t\t<ymax>{box[3]}</ymax>
\t\t</bndbox>
\t</object>
"""


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds of a command, and the most memory (bytes, PSS) that it and its children had at once."""

    seconds: float
    memory: int
    output: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--photos", type=int, default=10_000, help="JPEGs of about 100 KB; 0: none")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--work", type=Path, default=ROOT / "build/scale")
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    trivial = make_trivial(options.work.resolve() / "trivial")
    for count in options.pairs:
        measure_pairs(options.work.resolve() / f"pairs-{count}", count, trivial, options.repeat)
    if options.photos:
        measure_photos(options.work.resolve() / "photos", options.photos)


def measure_pairs(folder: Path, count: int, trivial: Path, repeat: int) -> None:
    """Print what a no-op, a relabelled image and a first look cost."""
    make_pairs(folder / "data", count, photo=None)
    configure(folder, count)
    reading = [read_all(folder / "data") for _ in range(repeat)]
    first = [dry_run(folder, forget=True) for _ in range(repeat)]
    built = snakemake(folder, "data")
    noops, ours, relabels = [], [], []
    for turn in range(repeat):
        noops.append(snakemake(trivial))
        ours.append(nothing(snakemake(folder, "data")))
        relabels.append(relabel(folder, turn))
        snakemake(folder, "data")
    touched = []
    for _ in range(repeat):
        touch_all(folder / "data")
        touched.append(nothing(snakemake(folder, "data")))
    noop, cat = median(noops), median(reading)
    print(f"\n{count:,} pairs; Snakemake's own no-op {noop:.2f} s, reading all files once {cat:.2f} s", flush=True)
    row("nothing to be done", median(ours), f"{median(ours) / noop:.1f} x the trivial no-op")
    row("one image relabelled, to its fresh record", median(relabels), f"{median(relabels) / noop:.1f} x the same")
    for name, costs in (("first inventory (dry run)", first), ("run after touching every file", touched)):
        row(name, median(costs), f"{(median(costs) - noop) / cat:.1f} x reading, plus a trivial no-op")
    row("first build of all tables and records", built.seconds, f"{built.memory / 2**20:.0f} MB at most")
    print(f"  memory: no-op {most(ours):.0f} MB, relabelled {most(relabels):.0f} MB, inventory {most(first):.0f} MB")


def measure_photos(folder: Path, count: int) -> None:
    """Print what boxes and records of images of usual size cost."""
    make_pairs(folder / "data", count, photo=make_photos())
    configure(folder, count)
    copying = []
    for _ in range(2):
        copying.append(run(["cp", "-r", str(folder / "data"), str(folder / "copy")], folder))
        shutil.rmtree(folder / "copy")
    dry_run(folder, forget=True)
    built = snakemake(folder, "data")
    copied = median(copying)
    print(f"\n{count:,} JPEGs of about 100 KB; copying them {copied:.2f} s")
    row("boxes, tables and records", built.seconds, f"{built.seconds / copied:.1f} x copying")
    print(f"  memory: {built.memory / 2**20:.0f} MB at most, all processes together")


def make_trivial(folder: Path) -> Path:
    """Make Snakemake's own no-op: one rule, done."""
    folder.mkdir(parents=True)
    (folder / "Snakefile").write_text(TRIVIAL, encoding="utf-8")
    snakemake(folder)
    return folder


def make_photos() -> list[bytes]:
    """Return a few JPEGs of about 100 KB."""
    generator, photos = np.random.default_rng(0), []
    for _ in range(8):
        noise = Image.fromarray(generator.integers(0, 255, (480, 640, 3), dtype=np.uint8))
        photos.append(jpeg(noise.filter(ImageFilter.GaussianBlur(1.6)), 92))
    return photos


def jpeg(image: Image.Image, quality: int) -> bytes:
    """Return an image as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def make_pairs(folder: Path, count: int, photo: list[bytes] | None) -> None:
    """Write pairs of a JPEG, each with other bytes, and a LabelImg XML."""
    generator = random.Random(0)
    pictures = photo or [jpeg(Image.effect_noise((64, 48), 40).convert("RGB"), 85)]
    width, height = Image.open(io.BytesIO(pictures[0])).size
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for index in range(count):
        name, picture = f"{index:07d}", pictures[index % len(pictures)]
        # A comment segment behind the start marker makes each file's bytes its own.
        comment = b"\xff\xfe\x00\x0a" + f"{index:08d}".encode()
        (folder / f"images/{name}.jpg").write_bytes(picture[:2] + comment + picture[2:])
        (folder / f"annotations/{name}.xml").write_text(annotation(name, (width, height), generator), encoding="utf-8")


def annotation(name: str, size: tuple[int, int], generator: random.Random) -> str:
    """Return an XML with one to three boxes."""
    objects = []
    for _ in range(generator.randint(1, 3)):
        x, y = generator.randrange(size[0] // 2), generator.randrange(size[1] // 2)
        box = (x, y, x + size[0] // 3, y + size[1] // 3)
        objects.append(OBJECT.format(label=generator.choice(["cat", "dog", "bird"]), box=box))
    return XML.format(name=name, width=size[0], height=size[1], objects="".join(objects))


def configure(folder: Path, count: int) -> None:
    """Write the configuration."""
    source = "{format: voc, images: data/images, annotations: data/annotations, split: by_hash}"
    shards = max(1, round(count / PAIRS_PER_SHARD))
    text = f"data:\n  sources:\n    - {source}\n  shards: {shards}\n"
    (folder / "my.yaml").write_text(text, encoding="utf-8")


def snakemake(folder: Path, *arguments: str) -> Cost:
    """Run Snakemake: on the project's workflow where there is a configuration for it."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2"]
    if (folder / "my.yaml").exists():
        command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "my.yaml"]
    return run(command, folder)


def dry_run(folder: Path, forget: bool) -> Cost:
    """Look at the data as for the first time, and plan."""
    if forget:
        shutil.rmtree(folder / ".snakemake", ignore_errors=True)
        shutil.rmtree(folder / "results", ignore_errors=True)
    return snakemake(folder, "data", "--dry-run", "--quiet", "all")


def relabel(folder: Path, index: int) -> Cost:
    """Move a box and make the record that holds it."""
    path = folder / f"data/annotations/{index:07d}.xml"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"<xmin>\d+", "<xmin>1", text, count=1), encoding="utf-8")
    return snakemake(folder, f"results/records/{shard_of(folder, f'{index:07d}.jpg')}.tfrecord")


def shard_of(folder: Path, image_id: str) -> str:
    """Return the shard that an image is in."""
    for path in (folder / "results/inventory").glob("*.jsonl"):
        if any(json.loads(line)["id"] == image_id for line in path.read_text(encoding="utf-8").splitlines()):
            return path.stem
    raise KeyError(image_id)


def touch_all(folder: Path) -> None:
    """Give every file new time stamps."""
    now = time.time()
    for path in folder.rglob("*.*"):
        os.utime(path, (now, now))


def read_all(folder: Path) -> Cost:
    """Read every file once, as fast as the system's own tools do."""
    return run(["sh", "-c", f"find '{folder}' -type f -print0 | xargs -0 cat > /dev/null"], folder)


def nothing(cost: Cost) -> Cost:
    """Check that a run had nothing to do."""
    if "Nothing to be done" not in cost.output:
        raise RuntimeError(f"jobs ran where nothing was to be done:\n{cost.output}")
    return cost


def run(command: list[str], folder: Path) -> Cost:
    """Run a command to its end."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peak = [0]
    watcher = threading.Thread(target=watch, args=(process.pid, peak), daemon=True)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}:\n{output}")
    return Cost(seconds, peak[0], output)


def watch(pid: int, peak: list[int]) -> None:
    """Follow the memory of a process and its children, five times a second."""
    try:
        main = psutil.Process(pid)
        while main.status() != psutil.STATUS_ZOMBIE:
            peak[0] = max(peak[0], sum(map(memory_of, [main, *main.children(recursive=True)])))
            time.sleep(0.2)
    except psutil.NoSuchProcess:
        return


def memory_of(process: psutil.Process) -> int:
    """Return a process's memory, with its part of what it shares; 0 if it has ended."""
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


def median(costs: list[Cost]) -> float:
    """Return the median time."""
    return statistics.median(cost.seconds for cost in costs)


def most(costs: list[Cost]) -> float:
    """Return the most memory, in MB."""
    return max(cost.memory for cost in costs) / 2**20


def row(name: str, seconds: float, ratio: str) -> None:
    """Print one figure."""
    print(f"  {name:45} {seconds:7.2f} s   {ratio}", flush=True)


if __name__ == "__main__":
    main()
