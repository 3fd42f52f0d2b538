"""Killed at random moments, in every stage, again and again: the next plain run ends with the right result.

ODTL_KILLS=long takes at least fifty kills and checks that every stage was hit; ODTL_KILLS_SEED chooses other moments.
"""

import json
import os
import random
import time
from collections import Counter
from pathlib import Path

from PIL import Image

from helpers import Project, draw_data
from killing import DATA, KILLS, SCAN, TARGETS, Watched, check_like_clean, check_whole, unfinished
from odtl.files import sha256_of
from odtl.label_map import read_label_map

LONG = os.environ.get("ODTL_KILLS") == "long"
SEED = int(os.environ.get("ODTL_KILLS_SEED", "1"))
LABEL_STAGES = [
    SCAN,
    "make_boxes",
    "write_split_tables",
    "write_label_map",
    "write_card",
    "write_records",
    "write_check",
]
# They follow the images alone.
IMAGE_STAGES = ["hash_images", "find_duplicates"]
MODEL_STAGES = [
    *("fetch_pretrained", "write_experiment", "train", "evaluate", "export_graphs", "write_reference"),
    *("check_frozen_graph", "write_model_card", "detect", "write_summary"),
]
RESULT_OF = {
    "evaluate": "detector/evaluation/metrics.json",
    "export_graphs": "detector/candidates/frozen_graph.json",
    "write_reference": "detector/candidates/reference/summary.json",
    "check_frozen_graph": "detector/export/parity/frozen_graph.json",
    "write_model_card": "detector/export/metadata.json",
    "detect": "detector/detections/detections.csv",
    "write_summary": "summary.txt",
}
# How many kills each stage gets.
DATA_KILLS = {
    **dict.fromkeys(LABEL_STAGES, 7 if LONG else 1),
    **dict.fromkeys(IMAGE_STAGES, 4 if LONG else 1),
}
MODEL_KILLS = {
    **dict.fromkeys(MODEL_STAGES, 2 if LONG else 0),
    "train": 6 if LONG else 1,
    "export_graphs": 3 if LONG else 0,
    "check_frozen_graph": 3 if LONG else 0,
}
# How long a stage takes, in seconds, until that has been measured.
SECONDS = {SCAN: 2.0, "write_experiment": 6.0, "train": 15.0, "evaluate": 8.0, "export_graphs": 8.0, "detect": 6.0}
TRAINING = {
    "image_size": 128,
    "batch_size": 4,
    "train_steps": 20,
    "warmup_steps": 2,
    "validation_interval": 5,
    "learning_rate": 0.01,
}


def test_data_stages_are_right_after_any_number_of_kills(tmp_path, record_property):
    generator = random.Random(SEED)
    folder = tmp_path / "killed"
    draw_data(folder / "images", 60)
    project = Project(folder, data=DATA)
    first = Watched(project, *TARGETS)
    assert first.process.wait() == 0, first.output
    ids = {}

    def before_run(number: int, stage: str) -> None:
        new_class = number % 8 == 0 or stage == "write_label_map"
        relabel(folder / "images", generator, f"class{number}" if new_class else None)
        if stage in IMAGE_STAGES:
            repaint(folder / "images", generator)

    def after_kill() -> None:
        check_whole(folder / "results")
        now = read_label_map(path) if (path := folder / "results/dataset/label_map.pbtxt").exists() else {}
        assert {name: now.get(name) for name in ids} == ids, "an id once given stays"
        ids.update(now)

    hits = kill_again_and_again(project, TARGETS, DATA_KILLS, generator, first.seconds, before_run, after_kill)
    record_property("hits", str(hits))
    run = project.snakemake(*TARGETS)
    assert run.status == 0, run.output
    after_kill()

    check_like_clean(folder, tmp_path / "clean")


def test_model_stages_are_right_after_any_number_of_kills(tmp_path, record_property):
    generator = random.Random(SEED)
    draw_data(tmp_path / "images", 24)
    project = Project(
        tmp_path,
        data={**DATA, "shards": 1},
        training=TRAINING,
        detect={"score_threshold": 0.01, "max_images": 3},
        export={"formats": ["saved_model"], "latency_threads": []},
    )
    run = project.snakemake("results/dataset/card.txt")
    assert run.status == 0, run.output

    def before_run(_number: int, stage: str) -> None:
        # Stages that run at the same time may be over before it is their turn: their results are removed, to be made
        # again, and those that follow, for Snakemake does not ask for what nothing needs any more.
        if stage in RESULT_OF:
            for file in list(RESULT_OF.values())[list(RESULT_OF).index(stage) :]:
                (tmp_path / "results" / file).unlink(missing_ok=True)

    hits = kill_again_and_again(
        project, [], MODEL_KILLS, generator, {}, before_run, lambda: check_whole(tmp_path / "results")
    )
    record_property("hits", str(hits))
    run = project.snakemake()
    assert run.status == 0, run.output
    check_model(tmp_path / "results/detector")
    check_whole(tmp_path / "results")
    again = project.snakemake()
    assert "Nothing to be done" in again.output
    assert not unfinished(tmp_path)


def kill_again_and_again(project, targets, wanted, generator, measured, before_run, after_kill) -> Counter:
    """Run and kill until each stage has had its share; return how many kills hit which stages.

    wanted: stage to number of kills, in the order in which they are given. measured: seconds that each stage takes.
    """
    hits = Counter()
    number = taken = 0
    for stage, kills in wanted.items():
        done = tries = 0
        while done < kills:
            tries += 1
            assert tries <= 5 * kills + 10, f"{stage} is over before it can be killed; hits: {dict(hits)}"
            number += 1
            how = KILLS[number % len(KILLS)]
            before_run(number, stage)
            run = Watched(project, *targets)
            if run.wait_for(stage):
                time.sleep(generator.uniform(0, 0.8 * measured.get(stage, SECONDS.get(stage, 0.4))))
            ended = run.process.poll()
            assert ended in (None, 0), run.output
            hit = run.kill(how)
            measured.update(run.seconds)
            print(f"kill {number} ({how}), meant for {stage}: hit {hit or 'nothing'}", flush=True)
            hits.update(hit.split())
            taken += bool(hit)
            done += stage in hit.split()
            after_kill()
    print(f"{taken} kills at work: {dict(hits)}")
    assert not LONG or set(wanted) <= set(hits)
    return hits


def relabel(folder: Path, generator: random.Random, new_class: str | None) -> None:
    """Move the first box of an annotation by a pixel, or give it a class that was never seen."""
    xml = generator.choice(sorted(folder.glob("*.xml")))
    text = xml.read_text(encoding="utf-8")
    if new_class:
        before, _, after = text.partition("<name>")
        text = f"{before}<name>{new_class}{after[after.index('<') :]}"
    else:
        value = int(text.split("<xmax>")[1].split("</xmax>")[0])
        text = text.replace(f"<xmax>{value}<", f"<xmax>{value - 1 if value > 30 else value + 1}<", 1)
    xml.write_text(text, encoding="utf-8")


def repaint(folder: Path, generator: random.Random) -> None:
    """Save an image anew with a pixel of another colour."""
    path = generator.choice(sorted(folder.glob("*.jpg")))
    with Image.open(path) as image:
        image.putpixel((0, 0), tuple(generator.randrange(256) for _ in range(3)))
        image.save(path, quality=95)


def check_model(experiment: Path) -> None:
    """Check that training, evaluation, export and detections are complete and belong together."""
    training = json.loads((experiment / "checkpoint/training.json").read_text(encoding="utf-8"))
    assert training["steps"] == TRAINING["train_steps"]
    assert [point["step"] for point in training["validation"]] == [5, 10, 15, 20]
    assert training["exported"]["step"] in (5, 10, 15, 20)
    metadata = json.loads((experiment / "export/metadata.json").read_text(encoding="utf-8"))
    for name, entry in metadata["files"].items():
        assert sha256_of(experiment / "export" / name) == entry["sha256"], name
    for name in metadata["formats"]:
        parity = json.loads((experiment / f"export/parity/{name}.json").read_text(encoding="utf-8"))
        assert parity["checkpoint"]["sha256"] == metadata["checkpoint_sha256"]
    assert json.loads((experiment / "evaluation/metrics.json").read_text(encoding="utf-8"))["images"] > 0
    assert len(list((experiment / "detections/images").rglob("*.jpg"))) == 3
