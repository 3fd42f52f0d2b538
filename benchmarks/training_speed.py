"""Is training at least as fast as official.vision's own train.py, on the same records and experiment.yaml?

    ODTL_REAL_DATA=... ODTL_REAL_WEIGHTS=... python benchmarks/training_speed.py build/training_speed [--megapixels 12]

The workflow makes records and experiment.yaml of the raccoons in the folder that is named. Then both train from them in
turns, each in a process of its own. The time of a step is told from those after the first epoch, without what lies
between them, such as writing checkpoints. The start is from the start of the process to the end of the first step, and
for ours once more as the rule has it, from when Snakemake starts the job. On a machine with other work, seconds of the
clock say little; seconds of the processor say more. Prints a table of medians over the rounds, and of the ratios within
each; ends with status 1 if ours is slower or takes more memory.

The raccoons are small pictures from the web, a fifth of a megapixel on the mean; `--megapixels` enlarges them first to
what cameras write today. Their boxes follow: the workflow sees that the tables are of smaller ones.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml
from PIL import Image
from tensorflow.python.summary.summary_iterator import summary_iterator

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "workflow/scripts"
MODEL, FACTORY = "retinanet_mobilenetv2_035_256", "retinanet_mobile_coco"
# Steps of the first epoch: 160 images in batches of 8. Ours decodes images in them that it keeps from then on.
FIRST_EPOCH = 20

# Both train by calling this, a few steps at a time.
WATCH = """
import json, os, sys, time
import orbit
call = orbit.StandardTrainer.train
# train.py is given other arguments.
marks = sys.argv[1]
def train(self, steps):
    clock, processor = time.time(), time.process_time()
    found = call(self, steps)
    entry = dict(steps=int(steps), at=time.time(), seconds=time.time() - clock, cpu=time.process_time() - processor)
    entry["cpu_so_far"] = time.process_time()
    with open(marks, "a") as file:
        file.write(json.dumps(entry) + "\\n")
    return found
orbit.StandardTrainer.train = train
"""
OURS = f"""
sys.path.insert(0, {str(LIBRARY)!r})
from odtl.training import train
state = sys.argv[2]
os.makedirs(state)
train("experiment.yaml", {FACTORY!r}, state + "/state", state + "/ckpt", "benchmark", state + "/training.json")
"""
THEIRS = f"""
import runpy
state = sys.argv[2]
sys.argv = ["train", "--experiment={FACTORY}", "--config_file=experiment.yaml", "--mode=train", "--model_dir=" + state]
runpy.run_module("official.vision.train", run_name="__main__")
"""
ROWS = {
    "seconds per step": "step",
    "seconds of the processor per step": "step_cpu",
    "seconds to the first step": "start",
    "seconds of the processor to the first step": "start_cpu",
    "seconds from the start of the rule to the first step": "rule",
    "peak memory, MB": "memory",
}


def enlarge(images: Path, megapixels: float, folder: Path) -> Path:
    """Write the JPEGs of a folder into another one, with so many pixels each, and return that."""
    folder.mkdir()
    for path in sorted(images.glob("*.jpg")):
        with Image.open(path) as image:
            factor = (1e6 * megapixels / (image.width * image.height)) ** 0.5
            size = round(image.width * factor), round(image.height * factor)
            image.convert("RGB").resize(size).save(folder / path.name, quality=90)
    return folder


def configuration(raccoon: Path, images: Path, weights: Path, steps: int) -> dict:
    """Return what differs from config/config.yaml."""
    tables = {split: str(raccoon / f"data/{split}_labels.csv") for split in ("train", "test")}
    return {
        "data": {
            "sources": [{"format": "csv", "images": str(images), "annotations": tables}],
            # The usual split has some photographs on both sides.
            "leaks": "report",
            "split": {"val_from_train": 0},
        },
        "pretrained": {"mirror": str(weights)},
        "training": {
            "train_steps": steps,
            "batch_size": 8,
            "learning_rate": 0.05,
            "warmup_steps": steps // 10,
            "augmentation": {"scale_min": 0.5, "scale_max": 2.0},
        },
        "experiments": {"detector": {"model": MODEL}},
    }


def snakemake(configfile: str) -> list[str]:
    """Return a command that targets are added to, behind `--`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", configfile]
    return [*command, "--cores", "all", "--resources", "gpu=1", "--quiet", "all"]


def prepare(folder: Path, config: dict) -> None:
    """Make the records and experiment.yaml of a configuration in `folder`."""
    (folder / "my.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = snakemake("my.yaml")
    subprocess.run([*command, "--", "results/detector/experiment.yaml"], cwd=folder, check=True)
    text = (folder / "results/detector/experiment.yaml").read_text(encoding="utf-8")
    records = yaml.safe_load(text)["task"]["train_data"]["input_path"]
    subprocess.run([*command, "--", *records], cwd=folder, check=True)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")


def run(folder: Path, name: str, program: str) -> dict[str, float]:
    """Train once in a process of its own; return the figures that ROWS names."""
    marks = folder / f"{name}.jsonl"
    began = time.time()
    with open(folder / f"{name}.log", "w", encoding="utf-8") as log:
        command = [sys.executable, "-c", WATCH + program, str(marks), str(folder / name)]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed: see {folder / name}.log")
    entries = [json.loads(line) for line in marks.read_text(encoding="utf-8").splitlines()]
    done, steady = 0, []
    for entry in entries:
        if done >= FIRST_EPOCH:
            steady.append(entry)
        done += entry["steps"]
    steps = sum(entry["steps"] for entry in steady)
    found = {
        key: sum(entry[name] for entry in steady) / steps for key, name in (("step", "seconds"), ("step_cpu", "cpu"))
    }
    first = entries[0]
    # train.py does several steps before anyone can look.
    others = first["steps"] - 1
    found["start"] = first["at"] - began - others * found["step"]
    found["start_cpu"] = first["cpu_so_far"] - others * found["step_cpu"]
    return {**found, "memory": usage.ru_maxrss / 1024, "rule": found["start"]}


def start_of_rule(folder: Path) -> float:
    """Train as the rule does; return the seconds from the start of its job to the end of the first step."""
    for made in ("checkpoint", "training"):
        shutil.rmtree(folder / "results/detector" / made, ignore_errors=True)
    target = "results/detector/checkpoint/training.json"
    subprocess.run([*snakemake("my.yaml"), "--", target], cwd=folder, check=True, capture_output=True)
    for path in (folder / ".snakemake/metadata").rglob("*"):
        record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if record.get("rule") == "train":
            break
    events = sorted((folder / "results/detector/training/events/train").glob("events*"))
    first = min(event.wall_time for file in events for event in summary_iterator(str(file)) if event.step == 1)
    return first - record["starttime"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the runs; must not exist yet")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--megapixels", type=float, help="of each photograph; as it is if not given")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True)
    data, weights = (Path(os.environ[name]).resolve() for name in ("ODTL_REAL_DATA", "ODTL_REAL_WEIGHTS"))
    raccoon, images = data / "raccoon", data / "raccoon/images"
    if options.megapixels:
        images = enlarge(images, options.megapixels, folder / "images")
    prepare(folder, configuration(raccoon, images, weights, options.steps))

    ours, theirs = [], []
    for number in range(options.rounds):
        pair = [(ours, "ours", OURS), (theirs, "theirs", THEIRS)]
        # In turns, and each first in every other round.
        for found, name, program in pair[:: -1 if number % 2 else 1]:
            found.append(run(folder, f"{name}-{number}", program))
            if name == "ours":
                found[-1]["rule"] = start_of_rule(folder)
            print(name, {key: round(value, 3) for key, value in found[-1].items()}, file=sys.stderr)

    print("| | train.py | ours | ratio (rounds) |\n|---|---|---|---|")
    worse = False
    for title, key in ROWS.items():
        ratios = [mine[key] / other[key] for mine, other in zip(ours, theirs, strict=True)]
        medians = [statistics.median(entry[key] for entry in side) for side in (theirs, ours)]
        middle = statistics.median(ratios)
        worse |= middle > 1
        digits = 0 if key == "memory" else 2
        values = " | ".join(f"{value:.{digits}f}" for value in medians)
        print(f"| {title} | {values} | {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |")
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
