"""The data stages, run after each edit by Snakemake itself, make what a run in a fresh folder makes.

A run takes seconds: `ODTL_PROPERTY_RUNS` sets how many data sets are lived through, each for some five runs.

What "clean" means for the label map: it is append-only, so its ids depend on the classes that there have been, in their
order. The fresh folder of each comparison starts with the label map as it was in the other folder just before its run,
and with nothing else. Since every run is compared, from an empty folder on, this is by induction the label map that a
replay of the whole history gives: a run that lost, moved or forgot an id would differ in its own comparison. That known
ids stay is asserted besides, without any comparison.
"""

import os
import re
import shutil
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from edits import Edits, copy, picks, remove
from helpers import Project, Run
from odtl.label_map import read_label_map
from odtl.split import parse_shard_name, shard_names

RUNS = os.environ.get("ODTL_PROPERTY_RUNS")
DATA_FOLDERS = ("inventory", "hashes", "boxes", "repairs", "dataset", "records")
LABEL_MAP = "results/dataset/label_map.pbtxt"


class Workflow(Edits):
    """One folder in which the workflow runs on what was there, against a fresh folder for each run."""

    addresses = False

    def __init__(self) -> None:
        super().__init__()
        self.clean = self.home.with_name("clean")
        self.unusual: dict = {}

    @initialize(pauses=st.lists(st.sampled_from(("none", "none", "at once")), min_size=1, max_size=4))
    def set_pauses(self, pauses):
        # Snakemake takes longer to start than a file is young: there is nothing to wait for.
        self.pauses = (*pauses, "at once")

    def wait(self) -> None:
        time.sleep(0)

    def check(self) -> bool:
        known = label_map(self.home)
        self.make_clean_folder()
        run = self.run(self.home)
        fresh = self.run(self.clean)
        outputs = f"{run.output}\n\nClean:\n{fresh.output}"
        assert (run.status, message(run)) == (fresh.status, message(fresh)), outputs
        if run.status != 0:
            assert "  - " in message(run)[0], outputs
            self.unusual = {}
            return False
        made, expected = data_files(self.home, self.shards), data_files(self.clean, self.shards)
        both = {name: (made.get(name), expected.get(name)) for name in made | expected}
        differing = {name: pair for name, pair in both.items() if pair[0] != pair[1]}
        assert not differing, differing
        assert not (strangers := unknown_files(self.home, self.shards)), strangers
        if self.classes is None and known:
            assert known.items() <= label_map(self.home).items()
        return True

    def run(self, folder: Path, *options: str) -> Run:
        return self.project(folder).snakemake("data", *options)

    def project(self, folder: Path) -> Project:
        return Project(folder, data={**self.data_config(), **self.unusual}, labels=self.labels_config())

    def make_clean_folder(self) -> None:
        remove(self.clean)
        self.clean.mkdir()
        for folder in ("d", "e", "t", "x", "pool"):
            if (self.home / folder).is_dir():
                copy(self.home / folder, self.clean / folder)
        if (self.home / LABEL_MAP).is_file():
            (self.clean / LABEL_MAP).parent.mkdir(parents=True)
            shutil.copyfile(self.home / LABEL_MAP, self.clean / LABEL_MAP)

    @rule(strict=st.booleans())
    def set_strict(self, strict):
        self.strict = strict

    @rule(
        setting=st.sampled_from(
            (
                {"shards": 0},
                {"shrads": 2},
                {"sources": [{"format": "voc", "images": "nowhere"}]},
                {"split": {"fractions": {"train": 0.5, "val": 0.2, "test": 0.2}, "group": "("}},
            )
        )
    )
    def set_what_is_refused(self, setting):
        self.unusual = setting

    @rule()
    def lose_every_annotation(self):
        for path in self.files(".xml", ".csv"):
            remove(path)

    @rule()
    def lose_every_object(self):
        for path in self.files(".xml"):
            if path.is_file():
                path.write_text(re.sub("<object>.*</object>", "", path.read_text()))

    @rule(pick=picks)
    def lose_a_result(self, pick):
        results = [self.home / "results/dataset/card.txt", *self.home.glob("results/records/*.tfrecord")]
        results = sorted(path for path in results if path.exists())
        if results:
            remove(results[pick % len(results)])

    @rule()
    def lose_the_label_map_and_all_that_follows(self):
        for folder in ("dataset", "records"):
            remove(self.home / "results" / folder)

    @rule()
    def touch_results(self):
        for path in sorted((self.home / "results").rglob("*")):
            os.utime(path)

    @rule(keep_times=st.booleans())
    def copy_project_elsewhere(self, keep_times):
        other = self.home.with_name("other" if self.home.name == "project" else "project")
        copy(self.home, other)
        remove(self.home)
        self.home = other
        if not keep_times:
            for path in sorted(other.rglob("*"), reverse=True):
                if path.exists():
                    os.utime(path)

    @rule()
    def forget_what_was_read(self):
        remove(self.home / ".snakemake/odtl")


def data_files(folder: Path, shards: int) -> dict[str, bytes]:
    """Return the data files, without those of gone shards: what a run makes from this number of shards."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in result_files(folder)
        if path.stem in shard_names(shards) or not is_shard(path)
    }


def unknown_files(folder: Path, shards: int) -> list[str]:
    """Return files that are neither of this state nor left from shards that are no more; a manifest is never left."""
    current = data_files(folder, shards)
    left = {path.relative_to(folder).as_posix(): path for path in result_files(folder)}.items() - current.items()
    return [name for name, path in left if name not in current and path.parent.name == "inventory"]


def result_files(folder: Path) -> list[Path]:
    return sorted(path for name in DATA_FOLDERS for path in (folder / "results" / name).rglob("*") if path.is_file())


def is_shard(path: Path) -> bool:
    try:
        return bool(parse_shard_name(path.stem))
    except ValueError:
        return False


def label_map(folder: Path) -> dict[str, int]:
    return read_label_map(folder / LABEL_MAP) if (folder / LABEL_MAP).is_file() else {}


def message(run: Run) -> list[str]:
    """Return what a failed run says is wrong: the logs of its failed jobs, or why no job was started."""
    if run.status == 0:
        return []
    # What jobs print themselves is mixed with what others print.
    logs = re.findall(r"^Logfile [^\n]*:\n=+\n(.*?)\n=+$", run.output, re.MULTILINE | re.DOTALL)
    refusal = re.findall(r"^WorkflowError[^\n]*:\n(.*)\Z", run.output, re.MULTILINE | re.DOTALL)
    return sorted(logs or refusal)


def test_incremental_run_equals_clean_run():
    run_state_machine_as_test(
        Workflow,
        settings=settings(
            max_examples=int(RUNS or 1),
            stateful_step_count=10,
            derandomize=RUNS is None,
            # A shorter list of edits is not worth an hour.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            report_multiple_bugs=False,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
