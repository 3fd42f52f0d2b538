"""After a finished run: nothing runs again without cause, and after a change exactly what depends on it."""

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from PIL import Image

from helpers import ROOT, Project, draw_data, voc_xml
from odtl.inventory import read_shard_classes
from odtl.split import shard_names

SOURCE = {"format": "voc", "images": "images"}
CONFIG = {
    # One class is in a test image only: see write_typo.
    "data": {"sources": [SOURCE], "split": {"val_from_train": 0.25}, "shards": 2, "gaps": "report"},
    "training": {
        "image_size": 128,
        "batch_size": 4,
        "train_steps": 2,
        "warmup_steps": 1,
        "validation_interval": 2,
        "overrides": {"task": {"train_data": {"shuffle_buffer_size": 8}}, "trainer": {"summary_interval": 1}},
    },
    "experiments": {"detector": {"model": "demo", "learning_rate": 0.01}},
    "detect": {"score_threshold": 0.01, "max_images": 2},
    "export": {"formats": ["saved_model", "tflite_float32"], "latency_threads": []},
}
# What one image's change means for the data, and what a training is followed by.
CARD = {"write_card": 1, "write_check": 1}
DATA = {"make_boxes": 1, "write_records": 1, "write_split_tables": 1, "compare_copies": 1, **CARD}
# What an image that comes, goes or changes means besides: where it could be shown twice.
OTHER_IMAGE = {"hash_images": 1, "find_duplicates": 1, "check_leaks": 1}
CHECKS = {"check_saved_model": 1, "check_frozen_graph": 1, "check_tflite": 1}
AFTER_EXPORT = {"write_model_card": 1, "write_summary": 1}
AFTER_EVALUATION = {"plot_pr_curve": 1, "write_reference": 1, **CHECKS, "detect": 1, **AFTER_EXPORT}
BUILDS = {"export_graphs": 1, "convert_checkpoint": 1, "measure_latency": 1}
AFTER_TRAINING = {"plot_training": 1, "evaluate": 1, **BUILDS, **AFTER_EVALUATION}
TRAINING = {"write_experiment": 1, "train": 1, **AFTER_TRAINING}
# Boxes enough for a manifest, a boxes table and a record that Snakemake does not look into: over 1 MB each.
MANY = 30_000
CHECKSUM_LIMIT = 1_000_000


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A project that was run to the end."""
    folder = tmp_path_factory.mktemp("built")
    draw_data(folder / "images/train", 16)
    draw_data(folder / "images/test", 6, seed=1)
    write_typo(folder / "images/test/003.xml")
    noise = Image.frombytes("RGB", (800, 600), random.Random(0).randbytes(800 * 600 * 3))
    noise.save(folder / "images/train/noise.png")
    write_xml(folder / "images/train/noise.png", [("disc", (1, 1, 400, 300))])
    noise.save(folder / "images/test/crowd.jpg", quality=90)
    write_xml(folder / "images/test/crowd.jpg", [("square", (i % 790, i // 60, 800, 600)) for i in range(MANY)])
    project = Project(folder, **CONFIG)
    run = project.snakemake()
    assert run.status == 0, run.output
    return folder


@pytest.fixture
def project(built, tmp_path):
    """A copy of it, with all time stamps."""
    return copied(built, tmp_path / "copy")


def copied(source: Path, target: Path, *names: str) -> Project:
    """Copy a project, or only what is named of it, with all time stamps."""
    target.mkdir()
    chosen = [source / name for name in names] or sorted(source.iterdir())
    subprocess.run(["cp", "-a", *chosen, target], check=True)
    project = Project(target)
    project.config = CONFIG
    return project


def write_xml(image: Path, objects: list) -> None:
    with Image.open(image) as opened:
        text = voc_xml(image.name, opened.size, objects)
    image.with_suffix(".xml").write_text(text, encoding="utf-8")


def write_typo(xml: Path) -> None:
    """Call the first object of an XML by a name that no other image has."""
    edit(xml, lambda text: re.sub("<name>[a-z]*</name>", "<name>sqare</name>", text, count=1))


def edit(path: Path, change) -> None:
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, encoding="utf-8")


def move_box(project: Project, name: str) -> None:
    edit(
        project.folder / "images" / name,
        lambda text: re.sub(r"<xmax>(\d+)<", lambda m: f"<xmax>{int(m[1]) - 1}<", text, count=1),
    )


def rename_class(project: Project, name: str, label: str) -> None:
    edit(
        project.folder / "images" / name,
        lambda text: re.sub("<name>[a-z]*</name>", f"<name>{label}</name>", text, count=1),
    )


def planned(project: Project, **changes) -> dict[str, int]:
    """Return the jobs that would run, with other values for whole sections of the configuration."""
    if changes:
        project.configure(**{**project.config, **changes})
    plan = project.plan()
    assert plan.status == 0, plan.output
    assert plan.jobs or "Nothing to be done" in plan.output, plan.output
    return plan.jobs


def scatter_times(folder: Path, seed: int) -> None:
    """Give every file and folder, results among them, a time of its own within the last day, in no order."""
    generator = random.Random(seed)
    now = os.stat(folder).st_mtime
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink():
            moment = now - generator.randrange(86_400)
            os.utime(path, (moment, moment))


# Nothing without cause


def test_the_project_has_files_that_snakemake_does_not_look_into(built):
    large = {path for path in (built / "results").rglob("*") if path.is_file() and path.stat().st_size > CHECKSUM_LIMIT}
    kinds = {(path.parent.name, path.suffix) for path in large}
    assert kinds >= {("inventory", ".jsonl"), ("boxes", ".csv"), ("records", ".tfrecord"), ("export", ".pb")}
    records = {path.name.split("-")[0] for path in large if path.suffix == ".tfrecord"}
    assert records >= {"train", "test"}


def test_finished_project_has_nothing_to_do(project):
    assert planned(project) == {}


@pytest.mark.parametrize("seed", [1, 2])
def test_times_in_no_order_are_no_change(project, seed):
    scatter_times(project.folder, seed)
    assert planned(project) == {}


def test_touch_of_everything_is_no_change(project):
    for path in sorted(project.folder.rglob("*"), key=lambda path: path.name):
        if not path.is_symlink():
            path.touch()
    assert planned(project) == {}


def test_annotations_saved_again_with_the_same_meaning_are_no_change(project):
    for xml in (project.folder / "images").rglob("0*.xml"):
        edit(
            xml,
            lambda text: (
                text.replace("<path>/elsewhere/", "<path>C:\\photos\\")
                .replace("<annotation>", '<annotation verified="yes" z="1" a="2">')
                .replace("<folder>images</folder>", "<folder>other</folder>")
                .replace("><", ">\n\t<")
            ),
        )
    assert planned(project) == {}


def test_comment_order_of_keys_and_defaults_in_the_configuration_are_no_change(project):
    def reversed_keys(value):
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(value)}
        return [reversed_keys(item) for item in value] if isinstance(value, list) else value

    export = {**CONFIG["export"], "images": 200, "checkpoint": "best"}
    config = {**CONFIG, "export": export, "labels": {"aliases": {}, "classes": None}}
    text = yaml.safe_dump(reversed_keys(config), sort_keys=False)
    (project.folder / "my.yaml").write_text(f"# A comment.\n{text}# Another one.\n", encoding="utf-8")
    assert planned(project) == {}


def test_class_list_that_says_what_was_found_is_no_change(project):
    assert planned(project, labels={"classes": ["disc", "sqare", "square"], "aliases": {}}) == {}


def test_another_name_of_the_folder_is_no_change(project):
    project.folder = project.folder.rename(project.folder.with_name("another name"))
    assert planned(project) == {}


def test_another_place_of_the_pretrained_archives_is_no_change(project):
    assert planned(project, pretrained={"mirror": "elsewhere"}) == {}


def test_copy_of_data_and_results_without_time_stamps_is_no_change(project, tmp_path):
    target = tmp_path / "second"
    target.mkdir()
    for name in ["results", "my.yaml", "images"]:
        subprocess.run(["cp", "-r", project.folder / name, target], check=True)
    assert planned(Project(target)) == {}


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
@pytest.mark.parametrize("options", ["-a", "-r"])
def test_rsync_of_everything_is_no_change(project, tmp_path, options):
    subprocess.run(["rsync", options, f"{project.folder}/", tmp_path / "second"], check=True)
    assert planned(Project(tmp_path / "second")) == {}


def test_clone_of_data_and_results_is_no_change(project, tmp_path):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", project.folder]
    for arguments in (["init", "-q"], ["add", "images", "results", "my.yaml"], ["commit", "-qm", "All of it"]):
        subprocess.run([*git, *arguments], check=True)
    subprocess.run(["git", "clone", "-q", project.folder, tmp_path / "clone"], check=True)
    assert planned(Project(tmp_path / "clone")) == {}


def test_change_is_seen_in_a_copy_too(project, tmp_path):
    copy = copied(project.folder, tmp_path / "second", "results", "images", "my.yaml")
    move_box(copy, "test/000.xml")
    assert planned(copy) == {**DATA, "evaluate": 1, **AFTER_EVALUATION}


# Exactly what depends on it


def test_moved_box_of_a_training_image(project):
    move_box(project, "train/000.xml")
    assert planned(project) == {**DATA, **TRAINING}


def test_moved_box_with_an_old_time_stamp(project):
    xml = project.folder / "images/train/000.xml"
    before = xml.stat().st_mtime - 86_400
    move_box(project, "train/000.xml")
    os.utime(xml, (before, before))
    assert planned(project) == {**DATA, **TRAINING}


def test_relabelled_test_image_is_evaluated_and_not_trained_on(project):
    rename_class(project, "test/000.xml", "disc" if "<name>square" in read_first_name(project) else "square")
    assert planned(project) == {**DATA, "evaluate": 1, **AFTER_EVALUATION}


def read_first_name(project: Project) -> str:
    text = (project.folder / "images/test/000.xml").read_text(encoding="utf-8")
    return re.search("<name>[a-z]*", text)[0]


def test_change_in_a_file_that_snakemake_does_not_look_into(project):
    move_box(project, "test/crowd.xml")
    assert planned(project) == {**DATA, "evaluate": 1, **AFTER_EVALUATION}


def test_batch_size_trains_again(project):
    assert planned(project, training={**CONFIG["training"], "batch_size": 2}) == TRAINING


@pytest.mark.parametrize(
    ("setting", "jobs"),
    [
        ({"freeze": 3}, TRAINING),
        ({"ema": 0.99}, TRAINING),
        # What follows from the data from now on; the steps themselves stay as they are set.
        ({"validation_interval": None}, TRAINING),
        ({"early_stopping": {"patience": 3}}, {"train": 1, **AFTER_TRAINING}),
    ],
)
def test_schedule_trains_again_and_makes_no_data(project, setting, jobs):
    assert planned(project, training={**CONFIG["training"], **setting}) == jobs


def test_refusing_gaps_from_now_on_is_no_change(project):
    assert planned(project, data={**CONFIG["data"], "gaps": "refuse"}) == {}


def test_color_of_the_plots_draws_them_again(project):
    assert planned(project, plots={"colors": ["#000000"]}) == {"plot_training": 1, "plot_pr_curve": 1}


def test_score_threshold_detects_again(project):
    assert planned(project, detect={**CONFIG["detect"], "score_threshold": 0.5}) == {"detect": 1}


def test_other_images_to_detect_detect_again(project):
    assert planned(project, detect={**CONFIG["detect"], "max_images": 3}) == {"detect": 1}


@pytest.mark.parametrize(
    "settings", [{"class_thresholds": {"disc": 0.5}}, {"tile": 64}, {"every": 5}, {"drafts": False}, {"batch_size": 2}]
)
def test_how_is_detected_detects_again(project, settings):
    assert planned(project, detect={**CONFIG["detect"], **settings}) == {"detect": 1}


def test_a_changed_video_is_detected_again(project):
    """Its content counts, as that of images does; of what is not named, nothing."""
    films = project.folder / "films"
    films.mkdir()
    for name in ("a.mp4", "b.gif"):
        (films / name).write_bytes(b"content")
    detect = {**CONFIG["detect"], "images": ["films", "images/test"], "max_images": None}
    assert planned(project, detect=detect) == {"detect": 1}
    listing = project.folder / "results/inventory/detect.csv"
    before = listing.read_text(encoding="utf-8")
    assert [row.split(",")[0] for row in before.splitlines()[1:3]] == ['"films/a.mp4"', '"films/b.gif"']
    os.utime(films / "a.mp4")
    planned(project)
    assert listing.read_text(encoding="utf-8") == before
    (films / "a.mp4").write_bytes(b"another")
    assert planned(project) == {"detect": 1}
    after = listing.read_text(encoding="utf-8").splitlines()
    assert [old == new for old, new in zip(before.splitlines(), after, strict=True)][:3] == [True, False, True]


LENIENT = {**CONFIG["export"], "tolerances": {"frozen_graph": {"min_iou": 0.5}}}


def test_tolerance_of_a_format_compares_that_one_again(project):
    assert planned(project, export=LENIENT) == {"check_frozen_graph": 1, "detect": 1, **AFTER_EXPORT}


@pytest.mark.parametrize(
    ("setting", "jobs"),
    [
        (
            {"formats": ["saved_model", "tflite_float32", "tflite_int8"]},
            {"convert_checkpoint": 1, "check_tflite": 1, "measure_latency": 1, **AFTER_EXPORT},
        ),
        ({"formats": ["saved_model"]}, {"measure_latency": 1, **AFTER_EXPORT}),
        ({"images": 2}, {"write_reference": 1, **CHECKS, "detect": 1, **AFTER_EXPORT}),
        ({"latency_threads": [1]}, {"measure_latency": 1, **AFTER_EXPORT}),
        ({"checkpoint": "last"}, {**BUILDS, "write_reference": 1, **CHECKS, "detect": 1, **AFTER_EXPORT}),
    ],
)
def test_setting_of_the_export_makes_what_it_concerns(project, setting, jobs):
    assert planned(project, export={**CONFIG["export"], **setting}) == jobs


def test_what_the_next_training_keeps_is_no_reason_for_one(project):
    assert planned(project, training={**CONFIG["training"], "keep_checkpoints": 50}) == {}


def test_alias_reaches_the_shards_that_use_it(project):
    """The typo is in one test image: its class keeps its id, so that nothing else has to change."""
    labels = {"aliases": {"sqare": "square"}}
    assert planned(project, labels=labels) == {**DATA, "evaluate": 1, **AFTER_EVALUATION}


def test_class_that_vanishes_keeps_its_id(project):
    rename_class(project, "test/003.xml", "square")
    assert planned(project) == {**DATA, "evaluate": 1, **AFTER_EVALUATION}


@pytest.mark.parametrize("split", ["train", "test"])
def test_new_class_is_appended_and_trained_on(project, split):
    """Only the record of its own shard is written again; the model has one more class."""
    rename_class(project, f"{split}/000.xml", "ball")
    assert planned(project) == {**DATA, "write_label_map": 1, "write_export_labels": 1, **TRAINING}


def test_dry_run_does_not_give_out_ids(project):
    before = (project.folder / "results/dataset/label_map.pbtxt").read_bytes()
    rename_class(project, "train/000.xml", "ball")
    planned(project)
    assert (project.folder / "results/dataset/label_map.pbtxt").read_bytes() == before


def test_swapped_ids_reach_the_shards_that_have_them(project):
    using = read_shard_classes(project.folder / "results/inventory")
    swapped = sum("sqare" in classes or "square" in classes for classes in using.values())
    jobs = planned(project, labels={"classes": ["disc", "square", "sqare"], "aliases": {}})
    assert jobs == {"write_label_map": 1, "write_export_labels": 1, "write_records": swapped, **CARD, **TRAINING}


def test_removed_test_image_is_neither_scored_nor_detected_on(project):
    for name in ["000.jpg", "000.xml"]:
        (project.folder / "images/test" / name).unlink()
    assert planned(project) == {**DATA, **OTHER_IMAGE, "evaluate": 1, **AFTER_EVALUATION}


def test_two_changes_at_once_are_both_seen(project):
    """Snakemake does not look at the settings of what only waits for a job that is stale."""
    move_box(project, "test/000.xml")
    jobs = planned(project, export=LENIENT, plots={"colors": ["#000000"]})
    assert jobs == {**DATA, "evaluate": 1, **AFTER_EVALUATION, "plot_training": 1}


def test_decoding_images_makes_all_boxes_again(project):
    jobs = planned(project, data={**CONFIG["data"], "decode_images": True})
    expected = {"make_boxes": 6, "write_records": 6, "write_split_tables": 3, "compare_copies": 1, **CARD}
    assert jobs == {**expected, **TRAINING}


def test_reporting_leaks_only_evaluates_again_and_trains_no_more(project):
    jobs = planned(project, data={**CONFIG["data"], "leaks": "report"})
    assert jobs == {"check_leaks": 1, "evaluate": 1, **AFTER_EVALUATION}


def test_class_without_training_images_stops_a_run_before_its_training(tmp_path):
    draw_data(tmp_path / "images/train", 6)
    draw_data(tmp_path / "images/test", 2, seed=1)
    write_typo(tmp_path / "images/test/001.xml")
    config = {**CONFIG, "data": {**CONFIG["data"], "gaps": "refuse"}}
    run = Project(tmp_path, **config).snakemake("results/detector/checkpoint/ckpt.index")
    assert run.status != 0
    assert "labels: class 'sqare': found boxes in val or test, none in train. It cannot be learnt" in run.output
    assert not {"write_experiment", "train"} & run.finished.keys()


def test_leak_stops_a_run_before_its_training(tmp_path):
    draw_data(tmp_path / "images/train", 6)
    draw_data(tmp_path / "images/test", 2, seed=1)
    for ending in ("jpg", "xml"):
        shutil.copyfile(tmp_path / f"images/train/000.{ending}", tmp_path / f"images/test/copy.{ending}")
    config = {**CONFIG, "data": {**CONFIG["data"], "split": {"val_from_train": 0}}}
    run = Project(tmp_path, **config).snakemake("results/detector/checkpoint/ckpt.index")
    assert run.status != 0
    assert "1 training image(s) show the same as images of val or test (1 identical pair(s))" in run.output
    assert "cp results/dataset/groups.csv groups.csv" in run.output
    assert run.finished.get("write_experiment") == 1
    assert not (tmp_path / "results/detector/training").exists()


def test_number_of_shards_makes_all_of_them_again(project):
    jobs = planned(project, data={**CONFIG["data"], "shards": 3})
    expected = {"make_boxes": 9, "hash_images": 9, "write_records": 9, "write_split_tables": 3, **CARD}
    assert jobs == {**expected, "find_duplicates": 1, "check_leaks": 1, "compare_copies": 1, **TRAINING}


def test_added_experiment_runs_alone(project):
    two = {**CONFIG["experiments"], "two": {"model": "demo", "train_steps": 3}}
    assert planned(project, experiments=two) == {**TRAINING, "write_export_labels": 1, "compare_experiments": 1}


def test_removed_experiment_leaves_the_summary(project):
    two = {**CONFIG["experiments"], "two": {"model": "demo", "learning_rate": 0.01}}
    project.configure(**{**CONFIG, "experiments": two})
    shutil.copytree(project.folder / "results/detector", project.folder / "results/two")
    compared = project.snakemake("comparison")
    assert compared.finished == {"compare_experiments": 1, "comparison": 1}, compared.output
    touched = project.snakemake("--touch")
    assert touched.status == 0, touched.output
    assert planned(project) == {}
    assert planned(project, experiments=CONFIG["experiments"]) == {"write_summary": 1}


# The workflow's own code


@pytest.fixture
def workflow(tmp_path):
    """A copy of the workflow, all of it newer than any result."""
    root = tmp_path / "workflow copy"
    for name in ["workflow", "config", "profiles"]:
        shutil.copytree(ROOT / name, root / name, copy_function=shutil.copyfile)
    shutil.copyfile(ROOT / "Snakefile", root / "Snakefile")
    (root / "resources").symlink_to(ROOT / "resources")
    return root


def test_workflow_in_another_place_is_no_change(project, workflow):
    project.root = workflow
    assert planned(project) == {}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        # Example images are drawn in a training; its records are the same, so it keeps its model.
        ("odtl/drawing.py", {"train": 1, **AFTER_TRAINING, "write_check": 1}),
        (
            "odtl/label_map.py",
            {
                "fetch_pretrained": 1,
                "write_label_map": 1,
                "write_export_labels": 1,
                "write_records": 6,
                "write_split_tables": 3,
                **CARD,
                **TRAINING,
            },
        ),
        ("odtl/plots.py", {"plot_training": 1, "plot_pr_curve": 1}),
        ("odtl/summary.py", {"write_summary": 1}),
        ("odtl/compare.py", {**CHECKS, "detect": 1, **AFTER_EXPORT}),
        ("odtl/export/model_card.py", AFTER_EXPORT),
        ("odtl/tflite/metadata.py", {**BUILDS, **CHECKS, "write_export_labels": 1, "detect": 1, **AFTER_EXPORT}),
        ("odtl/progress.py", {"train": 1, **AFTER_TRAINING}),
        ("odtl/dataset.py", {"write_split_tables": 3, **CARD, **TRAINING}),
        ("write_card.py", {**CARD, **AFTER_EXPORT}),
        ("write_check.py", {"write_check": 1}),
        ("odtl/duplicates/copies.py", {"compare_copies": 1, **CARD, **AFTER_EXPORT}),
        ("leak_gate.py", {}),
        ("job.py", {}),
        ("odtl/generated_elsewhere.py", {}),
    ],
)
def test_code_reaches_the_stages_that_import_it(project, workflow, file, expected):
    project.root = workflow
    with open(workflow / "workflow/scripts" / file, "a", encoding="utf-8") as stream:
        stream.write("\n\ndef another():\n    return 1\n")
    assert planned(project) == expected


def test_comments_and_docstrings_in_the_code_are_no_change(project, workflow):
    project.root = workflow
    for path in (workflow / "workflow/scripts").rglob("*.py"):
        with open(path, "a", encoding="utf-8") as stream:
            stream.write("\n\n# A comment.\n")
    assert planned(project) == {}


# What is planned is what runs


def test_runs_do_what_was_planned_and_leave_nothing_to_do(project):
    project.configure(**{**CONFIG, "labels": {"aliases": {"sqare": "square"}}})
    assert planned(project) == {**DATA, "evaluate": 1, **AFTER_EVALUATION}
    # The image that the alias concerns, so that it is still one shard.
    move_box(project, "test/003.xml")
    expected = planned(project)
    assert expected == {**DATA, "evaluate": 1, **AFTER_EVALUATION}
    run = project.snakemake()
    assert run.status == 0, run.output
    assert run.finished == expected
    assert planned(project) == {}


# Nothing stale is used


def test_files_of_other_shards_are_not_read_and_can_be_removed(project):
    project.configure(**{**CONFIG, "data": {**CONFIG["data"], "shards": 1}})
    run = project.snakemake("data")
    assert run.status == 0, run.output
    results = project.folder / "results"
    with open(results / "dataset/test_labels.csv", encoding="utf-8") as stream:
        names = [line.split(",")[0] for line in stream]
    assert names.count("test/crowd.jpg") == MANY
    assert {path.stem for path in (results / "inventory").glob("*.jsonl")} == set(shard_names(1))
    run = project.snakemake("tidy")
    assert run.status == 0, run.output
    assert {path.stem for path in (results / "records").iterdir()} == set(shard_names(1))
    assert {path.stem for path in (results / "boxes").iterdir()} == set(shard_names(1))
    assert (results / "detector/checkpoint/ckpt.index").exists()
    assert project.plan("data").jobs == {}


def test_data_target_makes_all_of_the_data_and_nothing_else(tmp_path):
    draw_data(tmp_path / "images", 6)
    jobs = Project(tmp_path, **CONFIG).plan("data").jobs
    jobs.pop("data", None)
    expected = {"make_boxes": 6, "hash_images": 6, "write_records": 6, "write_split_tables": 3, "write_label_map": 1}
    assert jobs == {**expected, "find_duplicates": 1, "compare_copies": 1, "write_card": 1}
