"""A small project in a temporary folder, and Snakemake run on it."""

import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).parents[1]
# A training that is evaluated twice. A model that has learnt no more is sure of nothing but of what it knew before.
SIX_STEPS = {
    "image_size": 128,
    "batch_size": 4,
    "train_steps": 6,
    "warmup_steps": 2,
    "validation_interval": 3,
    "overrides": {"task": {"model": {"detection_generator": {"pre_nms_score_threshold": 0.0}}}},
}


def voc_xml(filename: str, size: tuple[int, int], objects: list[tuple[str, tuple[int, int, int, int]]]) -> str:
    """Return a VOC XML as LabelImg writes it; size is (width, height), a box (xmin, ymin, xmax, ymax)."""
    parts = [
        f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult><bndbox>"
        f"<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, box in objects
    ]
    return (
        f"<annotation><folder>images</folder><filename>{filename}</filename><path>/elsewhere/{filename}</path>"
        f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>{''.join(parts)}</annotation>"
    )


def draw_data(folder: Path, count: int, size: tuple[int, int] = (64, 48), seed: int = 0) -> None:
    """Draw `count` images with one or two boxes each, squares and discs, and label them with a VOC XML beside each."""
    generator = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = Image.new("RGB", size, tuple(generator.randrange(60, 120) for _ in range(3)))
        draw, objects = ImageDraw.Draw(image), []
        for name in generator.sample(["square", "disc"], generator.choice([1, 2])):
            side = generator.randrange(size[1] // 4, size[1] // 2)
            x, y = generator.randrange(size[0] - side), generator.randrange(size[1] - side)
            shape = draw.rectangle if name == "square" else draw.ellipse
            shape((x, y, x + side - 1, y + side - 1), fill="red" if name == "square" else "yellow")
            objects.append((name, (x, y, x + side, y + side)))
        image.save(folder / f"{index:03}.jpg", quality=90)
        (folder / f"{index:03}.xml").write_text(voc_xml(f"{index:03}.jpg", size, objects), encoding="utf-8")


def scene(seed: int, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Draw soft blobs on a gradient: as many tones as a photograph has, and no two scenes alike."""
    generator = random.Random(seed)
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        x, y, r = generator.randrange(size[0]), generator.randrange(size[1]), generator.randrange(20, 120)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(generator.randrange(256) for _ in range(3)))
    return image.filter(ImageFilter.GaussianBlur(4))


@dataclass(frozen=True)
class Run:
    """How a Snakemake call ended."""

    status: int
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """The "Job stats" table: rule to number of jobs, without `all` and the total; empty for nothing to be done."""
        table = re.search(r"^Job stats:\n.*?\n[-\s]+\n(.*?)\n\n", self.output, flags=re.MULTILINE | re.DOTALL)
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {name: int(count) for name, count in rows if name not in ("all", "total")}

    @property
    def finished(self) -> dict[str, int]:
        """Rule to number of jobs that really ran to their end, without `all`."""
        return dict(Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (?!all\))(\w+)\)", self.output, re.MULTILINE)))


class Project:
    """A working folder with a `my.yaml`; the workflow itself is this repository's, or a copy of it in `root`.

    prefix: the words of a command that runs Snakemake somewhere else, for example in another namespace.
    """

    # How many at once, and the ids of those that there seem to be; None: as it is.
    gpus = 1
    devices: str | None = None

    def __init__(self, folder: Path, root: Path = ROOT, prefix: Sequence[str] = (), **config) -> None:
        self.folder = folder
        self.root = root
        self.prefix = prefix
        self.config = config
        if config:
            self.configure(**config)

    def configure(self, **config) -> None:
        """Write `my.yaml`."""
        self.config = config
        (self.folder / "my.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def snakemake(self, *arguments: str, timeout: float = 600) -> Run:
        """Run Snakemake in the folder and wait for it."""
        with self.start(*arguments, stdout=subprocess.PIPE, text=True) as process:
            try:
                output, _ = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return Run(process.returncode, output)

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        """Start Snakemake in the folder; options: as for `subprocess.Popen`."""
        command = [*self.prefix, sys.executable, "-m", "snakemake", "--snakefile", str(self.root / "Snakefile")]
        # --resources and --configfile take every word that follows: targets go before them.
        command += [*arguments, "--cores", "2", "--resources", f"gpu={self.gpus}", "--configfile", "my.yaml"]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        if self.devices is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.devices
        return subprocess.Popen(command, cwd=self.folder, env=environment, stderr=subprocess.STDOUT, **options)

    def plan(self, *arguments: str) -> Run:
        """Return what would run."""
        return self.snakemake("--dry-run", *arguments)
