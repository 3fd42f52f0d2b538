"""How good detectors become on real photographs: fine-tuned and from scratch, narrow and wide, with more augmentation.

    ODTL_REAL_DATA=... ODTL_REAL_WEIGHTS=... python benchmarks/quality.py build/quality [raccoon/fine_tuned ...]

Runs the workflow on each data set, in a folder of its own below the one that is named, as far as `training.json`, one
training after another; what is there is not done again, so that it can be cut short and called anew. Then it
prints a table, writes `quality.json`, and draws the curves of AP over the steps into `curves.svg`.

The images that are held out stand in the validation split and are evaluated on while training goes on, which
gives the curves. Nothing is chosen by them: no training stops early, and what counts is the AP of the last weights.

Averaging weights does not change what is trained. So a run of `ema` tells of plain weights, too: those of its last
checkpoint are evaluated beside the averaged ones, and are a run of `fine_tuned` with the same seed.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import yaml
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow/scripts"))
FACTORY = "retinanet_mobile_coco"
NARROW, WIDE = "retinanet_mobilenetv2_035_256", "mobilenetv2_100_folded"
# Experiment -> what differs from TRAINING and from the narrow model, pretrained.
EXPERIMENTS = {
    "fine_tuned": {},
    "from_scratch": {"pretrained": False},
    "width_100": {"model": WIDE},
    "color": {"augmentation": {"color": 0.3}},
    "aspect": {"augmentation": {"aspect": 1.5}},
    "mosaic": {"augmentation": {"mosaic": 0.5}},
    "ema": {"ema": 0.998},
    # About as much time of the processor as 600 steps of the narrow one take: what is frozen costs no gradients.
    "frozen": {"freeze": 9, "train_steps": 1200, "warmup_steps": 100, "validation_interval": 150},
    "width_100_frozen": {
        "model": WIDE,
        "freeze": 11,
        "train_steps": 500,
        "warmup_steps": 40,
        "validation_interval": 100,
    },
    "width_100_frozen_coarse": {
        "model": WIDE,
        "freeze": 11,
        "overrides": {"task": {"model": {"min_level": 4}}},
    },
    "adam": {
        "learning_rate": 0.001,
        "overrides": {"trainer": {"optimizer_config": {"optimizer": {"type": "adam", "adam": {"clipnorm": 10.0}}}}},
    },
}
EVALUATIONS = 8
COLORS = {"fine_tuned": "#0072B2", "from_scratch": "#D55E00"}


def sources(data: Path) -> dict[str, dict]:
    """Return data set -> the settings under `data` and `labels`; the images that are held out are called val."""
    raccoon, starwars = data / "raccoon", data / "averdones_starwars"
    tables = {"train": str(raccoon / "data/train_labels.csv"), "val": str(raccoon / "data/test_labels.csv")}
    return {
        "raccoon": {
            "data": {"sources": [{"format": "csv", "images": str(raccoon / "images"), "annotations": tables}]},
        },
        "starwars": {
            "data": {
                "sources": [
                    {
                        "format": "voc",
                        "images": str(starwars / "images"),
                        "annotations": str(starwars / "annotations/xmls"),
                        "split": "by_hash",
                    }
                ],
                "split": {"fractions": {"train": 0.8, "val": 0.2, "test": 0}},
            },
            "labels": {"aliases": {"r2-d2": "r2d2"}},
        },
    }


def configuration(settings: dict, weights: Path, steps: int, seeds: int) -> dict:
    """Return what differs from config/config.yaml."""
    experiments = {name: {"model": NARROW, "seeds": seeds, **own} for name, own in EXPERIMENTS.items()}
    return {
        **settings,
        # Some photographs are on both sides of the usual split of the raccoons.
        "data": {**settings["data"], "leaks": "report"},
        "pretrained": {"mirror": str(weights), "zoo": [str(ROOT / "benchmarks/zoo.yaml")]},
        "training": {
            "batch_size": 8,
            "train_steps": steps,
            "learning_rate": 0.05,
            "warmup_steps": 50,
            "validation_interval": -(-steps // EVALUATIONS),
            "early_stopping": {"patience": None},
            "augmentation": {"scale_min": 0.5, "scale_max": 2.0},
        },
        "experiments": experiments,
    }


def run(folder: Path, config: dict, trainings: list[str]) -> None:
    """Train, in `folder`; what is there and up to date stays."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "my.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    options = ["--configfile", "my.yaml", "--cores", "all", "--resources", "gpu=1"]
    for name in trainings:
        subprocess.run([*command, f"results/{name}/checkpoint/training.json", *options], cwd=folder, check=True)


def collect(folder: Path) -> list[dict]:
    """Return a row for each training that has finished below `folder`, in order of data set and name."""
    rows = []
    for path in sorted(folder.glob("*/results/*/checkpoint/training.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        curve = [{name: entry[name] for name in ("step", "AP", "AP50")} for entry in summary["validation"]]
        data, training = path.parts[-5], path.parts[-3]
        rows.append(
            {
                "data": data,
                "training": training,
                "experiment": training.partition("-seed-")[0],
                "steps": summary["steps"],
                "seconds": summary["seconds"],
                "curve": curve,
            }
        )
        if re.fullmatch("ema(-seed-.*)?", training):
            name = training.replace("ema", "fine_tuned (plain weights of ema)")
            plain = {"training": name, "experiment": "plain weights", "curve": [plain_of(path)]}
            rows.append({**rows[-1], **plain})
    return rows


def plain_of(path: Path) -> dict:
    """Return the row of the plain weights of a run that averages them, given its row's training.json."""
    from odtl.evaluation import evaluate

    summary, results = json.loads(path.read_text(encoding="utf-8")), path.parents[2]
    scores = path.with_name("plain.json")
    if not scores.exists():
        others = [path.with_name(f"plain-{name}") for name in ("per_class.csv", "pr_curve.csv", "detections.json")]
        names = dict(zip(("per_class_csv", "pr_curve_csv", "detections_json"), others, strict=True))
        evaluate(
            path.parents[1] / "experiment.yaml",
            FACTORY,
            path.parents[1] / f"training/checkpoints/ckpt-{summary['steps']}",
            sorted((results / "records").glob("val-*.tfrecord")),
            results / "dataset/label_map.pbtxt",
            metrics_json=scores,
            **names,
        )
    metrics = json.loads(scores.read_text(encoding="utf-8"))
    return {"step": summary["steps"], "AP": metrics["AP"], "AP50": metrics["AP50"]}


def table(rows: list[dict]) -> str:
    """Return the last weights' figures as a table in Markdown, with the median where there are several seeds."""
    lines = ["| data | training | steps | seconds | AP50 | AP |", "|---|---|---|---|---|---|"]
    for row in rows:
        last = row["curve"][-1]
        figures = f"{row['seconds']:.0f} | {last['AP50']:.3f} | {last['AP']:.3f}"
        lines.append(f"| {row['data']} | {row['training']} | {row['steps']} | {figures} |")
    for data, name in sorted({(row["data"], row["experiment"]) for row in rows}):
        ends = [row["curve"][-1] for row in rows if (row["data"], row["experiment"]) == (data, name)]
        if len(ends) > 1:
            medians = [f"{statistics.median(end[figure] for end in ends):.3f}" for figure in ("AP50", "AP")]
            lines.append(f"| {data} | {name}, median of {len(ends)} seeds | | | {' | '.join(medians)} |")
    return "\n".join(lines)


def draw(rows: list[dict], path: Path) -> None:
    """Draw AP over the steps, fine-tuned against from scratch, a panel for each data set."""
    rows = [row for row in rows if row["experiment"] in COLORS]
    names = sorted({row["data"] for row in rows})
    figure = Figure(figsize=(4.2 * max(1, len(names)), 3.4), layout="constrained")
    for axes, data in zip(figure.subplots(1, max(1, len(names)), sharey=True, squeeze=False)[0], names, strict=False):
        seen = set()
        for row in (row for row in rows if row["data"] == data):
            steps, figures = zip(*((entry["step"], max(entry["AP"], 0)) for entry in row["curve"]), strict=True)
            name = row["experiment"].replace("_", " ")
            label = None if name in seen else name
            axes.plot([0, *steps], [0, *figures], color=COLORS[row["experiment"]], label=label, linewidth=2)
            seen.add(name)
        axes.set(title=data, xlabel="training step", xlim=(0, None))
        axes.grid(color="#DDDDDD")
        axes.legend(frameon=False, loc="upper left")
        axes.set_ylabel("AP on the images held out")
        # The panels share it, and the next one may reach higher.
        axes.set_ylim(0, 1.05 * max([0.1, *(entry["AP"] for row in rows for entry in row["curve"])]))
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the runs")
    parser.add_argument("trainings", nargs="*", help="such as raccoon/fine_tuned; none: collect")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3, help="further ones are fine_tuned-seed-2, ...")
    options = parser.parse_args()
    if options.trainings:
        weights = Path(os.environ["ODTL_REAL_WEIGHTS"]).resolve()
        for data, settings in sources(Path(os.environ["ODTL_REAL_DATA"]).resolve()).items():
            names = [name for each, _, name in (full.partition("/") for full in options.trainings) if each == data]
            run(options.folder / data, configuration(settings, weights, options.steps, options.seeds), names)
    rows = collect(options.folder)
    (options.folder / "quality.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    draw(rows, options.folder / "curves.svg")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
