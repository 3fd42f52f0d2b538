"""How fast annotations are read and checked, against parsers that merely parse the same bytes.

    python benchmarks/parsing.py [--images 100000] [--repeat 5] [--work build/parsing]

Writes annotations of so many images with one to three objects each: VOC as LabelImg writes them, YOLO, and one COCO
file. Then, in one process, on one core and in turn: what the inventory does with a fresh file - open and read it, parse
it, check each value, and pack it as it is kept - and the yardstick: open and read the same files, and merely parse them
(`lxml` with its default parser, `orjson`; for YOLO: split the bytes into lines and columns). The files are in memory
(page cache) by then. Medians of several rounds, in seconds of the processor.

A second figure adds what the later stages check, on the same core: labels against a fixed list of classes, and each box
and size against an image of 640 x 480 pixels.
"""

import argparse
import gc
import json
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
from lxml import etree

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "benchmarks")]

from scale import OBJECT, XML  # noqa: E402

from odtl.cleaning import clean  # noqa: E402
from odtl.images import ImageInfo  # noqa: E402
from odtl.inventory import reading  # noqa: E402
from odtl.inventory.classes import Classifier  # noqa: E402
from odtl.inventory.scanning import collector_paused  # noqa: E402
from odtl.manifest import Line, LineAnnotation  # noqa: E402

LABELS = ("cup", "leaf", "plate")
WIDTH, HEIGHT = 640, 480
INFO = ImageInfo("JPEG", WIDTH, HEIGHT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--formats", nargs="*", default=["voc", "coco", "yolo"])
    parser.add_argument("--work", type=Path, default=ROOT / "build/parsing")
    options = parser.parse_args()
    work = options.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    voc, yolo, coco = make(work, options.images)
    measured = {
        "voc": (lambda: per_image("voc", voc), lambda: parse_xml(voc)),
        "coco": (lambda: table("coco", coco), lambda: parse_json(coco)),
        "yolo": (lambda: per_image("yolo", yolo), lambda: split_lines(yolo)),
    }
    options.boxes = len(json.loads(Path(coco).read_bytes())["annotations"])
    for name in options.formats:
        measure(name, options, *measured[name])
    shutil.rmtree(work)


def make(work: Path, count: int) -> tuple[list[str], list[str], str]:
    """Write the annotations of `count` images; return the VOC files, the YOLO files and the COCO file."""
    chance = random.Random(1)
    images, annotations, voc, yolo = [], [], [], []
    for index in range(count):
        folder = f"{index // 1000:03d}"
        if index % 1000 == 0:
            for kind in ("voc", "yolo"):
                (work / kind / folder).mkdir(parents=True)
        name = f"IMG_{index:06d}"
        images.append({"id": index, "file_name": f"{folder}/{name}.jpg", "width": WIDTH, "height": HEIGHT})
        objects, lines = [], []
        for _ in range(chance.randint(1, 3)):
            label = chance.randrange(len(LABELS))
            x, y = chance.randrange(WIDTH - 100), chance.randrange(HEIGHT - 100)
            width, height = chance.randint(5, 100), chance.randint(5, 100)
            objects.append(OBJECT.format(label=LABELS[label], box=(x, y, x + width, y + height)))
            center = ((x + width / 2) / WIDTH, (y + height / 2) / HEIGHT)
            lines.append(f"{label} {center[0]:.6f} {center[1]:.6f} {width / WIDTH:.6f} {height / HEIGHT:.6f}\n")
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": label + 1,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
        xml = XML.format(name=name, width=WIDTH, height=HEIGHT, objects="".join(objects))
        for kind, ending, text, files in (("voc", "xml", xml, voc), ("yolo", "txt", "".join(lines), yolo)):
            path = work / kind / folder / f"{name}.{ending}"
            path.write_text(text, encoding="utf-8")
            files.append(str(path))
    categories = [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(LABELS, 1)]
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    coco = work / "coco.json"
    coco.write_text(json.dumps(content), encoding="utf-8")
    return voc, yolo, str(coco)


def measure(name: str, options: argparse.Namespace, ours: Callable[[], int], yardstick: Callable[[], int]) -> None:
    """Print how long both take, in turn."""
    times: tuple[list[float], ...] = ([], [], [])
    for turn in range(options.repeat + 1):
        for kept, run in zip(times, (ours, lambda: check(name, ours()), yardstick), strict=True):
            gc.collect()
            with collector_paused():
                begun = time.process_time()
                done = run()
                if turn:
                    # The first round fills the page cache.
                    kept.append(time.process_time() - begun)
            assert (done if isinstance(done, int) else len(done)) == options.images
            del done
    *mine, plain = map(statistics.median, times)
    for what, seconds, rounds in zip(("read and packed", "and checked"), mine, times, strict=False):
        spread = sorted(one / other for one, other in zip(rounds, times[-1], strict=True))
        print(
            f"{name}, {what}: {options.images / seconds:,.0f} images/s, {options.boxes / seconds:,.0f} boxes/s "
            f"({seconds:.2f} s), {seconds / plain:.2f} x merely parsing ({plain:.2f} s); "
            f"single rounds {spread[0]:.2f} to {spread[-1]:.2f} x",
            flush=True,
        )


def per_image(kind: str, files: Sequence[str]) -> list[list]:
    """Read one file per image, as the inventory's workers do; when it changed is known from the listing."""
    read = reading.READERS[kind]
    return [read(path, None) for path in files]


def table(kind: str, file: str) -> list[list]:
    """Read one file about many images, as the inventory does."""
    held = reading.read_table(kind, file)
    assert not held["problems"] and not held["loose"]
    return list(held["annotations"].values())


def check(kind: str, annotations: Sequence[list]) -> int:
    """Check labels and boxes as the inventory and the boxes stage do; return the number of images without a repair."""
    classify, sound = Classifier({"classes": LABELS}), 0
    for packed in annotations:
        _, width, height, boxes, labels, difficult, truncated, extra = packed
        if kind == "yolo":
            labels = tuple(LABELS[int(number)] for number in labels)
        line = {"file": "a", "labels": labels, "classes": tuple(map(classify, labels))}
        problems = tuple(classify.problems(line))
        flags = {name: extra[name] for name in ("normalised", "upward") if name in extra}
        annotation = LineAnnotation("a", width, height, boxes, labels, line["classes"], difficult, truncated, **flags)
        rows, repairs = clean(Line("a.jpg", "a.jpg", "", "a.jpg", annotation, problems), INFO)
        sound += len(rows) == len(boxes) and not repairs
    return sound


def parse_xml(files: Sequence[str]) -> int:
    """Merely parse XML."""
    return sum(etree.fromstring(content(path)) is not None for path in files)


def parse_json(file: str) -> int:
    """Merely parse JSON."""
    return len(orjson.loads(content(file))["images"])


def split_lines(files: Sequence[str]) -> int:
    """Merely split lines into columns."""
    return sum(all(line.split() for line in content(path).splitlines()) for path in files)


def content(path: str) -> bytes:
    """Return a file's bytes."""
    with open(path, "rb", buffering=0) as stream:
        return stream.read(os.fstat(stream.fileno()).st_size)


if __name__ == "__main__":
    main()
