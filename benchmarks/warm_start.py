"""Is a warm start as good as training in full, after 5 % of the training images were relabelled?

    ODTL_REAL_DATA=... ODTL_REAL_WEIGHTS=... python benchmarks/warm_start.py build/warm_start

Three runs of the workflow on the raccoons, in folders below the one that is named (which must not exist yet):
1. in `relabelled`, a full training with the labels of 5 % of the training images spoiled: half of them have their boxes
   shifted, the others have none;
2. there again, with the true labels: the warm start, with the default shares of steps and learning rate;
3. in `full`, a full training with the true labels: what a clean build gives.
Prints a table; ends with status 1 if the warm start did not happen, took more than a quarter of the steps, or has an
AP50 more than 0.02 below that of the full training.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SPOILED_SHARE = 0.05
MAX_LOSS = 0.02
MAX_STEPS_SHARE = 0.25


def spoil(rows: list[dict[str, str]], seed: int) -> list[dict[str, str]]:
    """Return a table's rows with the labels of some images spoiled: boxes shifted by half their size, or left out."""
    images = sorted({row["filename"] for row in rows})
    chosen = random.Random(seed).sample(images, round(SPOILED_SHARE * len(images)))
    shifted, emptied = chosen[::2], chosen[1::2]
    return [shift(row) if row["filename"] in shifted else row for row in rows if row["filename"] not in emptied]


def shift(row: dict[str, str]) -> dict[str, str]:
    """Move a box by half its width and height towards the side with more room, and cut it at the image's edge."""
    moved = dict(row)
    for low, high, size in (("xmin", "xmax", "width"), ("ymin", "ymax", "height")):
        start, end, length = int(row[low]), int(row[high]), int(row[size])
        by = (end - start) // 2 if length - end > start else -((end - start) // 2)
        moved |= {low: str(max(0, start + by)), high: str(min(length, end + by))}
    return moved


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the table of the training images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def configuration(raccoon: Path, weights: Path, seed: int) -> dict:
    """Return what differs from config/config.yaml."""
    tables = {"train": "train_labels.csv", "test": str(raccoon / "data/test_labels.csv")}
    return {
        "data": {
            "sources": [{"format": "csv", "images": str(raccoon / "images"), "annotations": tables}],
            # The usual split has some photographs on both sides.
            "leaks": "report",
            "split": {"val_from_train": 0},
        },
        "pretrained": {"mirror": str(weights)},
        "training": {
            "learning_rate": 0.05,
            "augmentation": {"scale_min": 0.5, "scale_max": 2.0},
            "seed": seed,
            "warm_start": {"when": "small_change"},
        },
        "experiments": {"detector": {"model": "retinanet_mobilenetv2_035_256"}},
    }


def run(folder: Path, config: dict, rows: list[dict[str, str]]) -> dict:
    """Run the workflow in `folder` with these training labels; return what was measured."""
    write_table(folder / "train_labels.csv", rows)
    (folder / "my.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["results/detector/evaluation/metrics.json", "--cores", "all", "--resources", "gpu=1"]
    subprocess.run([*command, "--configfile", "my.yaml"], cwd=folder, check=True)
    results = folder / "results/detector"
    metrics = json.loads((results / "evaluation/metrics.json").read_text(encoding="utf-8"))
    training = json.loads((results / "checkpoint/training.json").read_text(encoding="utf-8"))
    names = ("steps", "seconds", "started_from")
    return {**{name: metrics[name] for name in ("AP50", "AP")}, **{name: training[name] for name in names}}


def describe(name: str, found: dict) -> str:
    """Return a row of the table."""
    return f"| {name} | {found['steps']} | {found['seconds']:.0f} | {found['AP50']:.3f} | {found['AP']:.3f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the runs; must not exist yet")
    parser.add_argument("--seed", type=int, default=1, help="of the spoiled labels and of the trainings")
    options = parser.parse_args()
    raccoon = Path(os.environ["ODTL_REAL_DATA"]).resolve() / "raccoon"
    config = configuration(raccoon, Path(os.environ["ODTL_REAL_WEIGHTS"]).resolve(), options.seed)
    options.folder.mkdir(parents=True)
    with open(raccoon / "data/train_labels.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))

    spoiled = run(options.folder / "relabelled", config, spoil(rows, options.seed))
    warm = run(options.folder / "relabelled", config, rows)
    full = run(options.folder / "full", config, rows)

    print("| | steps | seconds | AP50 | AP |\n|---|---|---|---|---|")
    print(describe("full, spoiled labels", spoiled))
    print(describe("warm start, true labels", warm))
    print(describe("full, true labels", full))
    cheap = warm["started_from"] == "last model" and warm["steps"] <= MAX_STEPS_SHARE * full["steps"]
    return 0 if cheap and warm["AP50"] >= full["AP50"] - MAX_LOSS else 1


if __name__ == "__main__":
    sys.exit(main())
