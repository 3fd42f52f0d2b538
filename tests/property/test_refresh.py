"""The inventory, brought up to date after each edit, is what a scan that has never seen the data set writes.

Runs in one process and many times over. `ODTL_PROPERTY_EXAMPLES` sets how many data sets are lived through.
"""

import contextlib
import hashlib
import os
import threading
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from clock import NS, Clock
from edits import LOOKS, Edits, boxes, copy, edges, picks, put, remove
from helpers import voc_xml
from odtl import file_cache, inventory, listing
from odtl.annotations import voc
from odtl.errors import InputError
from odtl.inventory import refreshing, scanning

EXAMPLES = os.environ.get("ODTL_PROPERTY_EXAMPLES")
STEPS = 30
CACHE, RESULTS = ".snakemake/odtl/inventory", "results/inventory"


class Killed(BaseException):
    """Stands for the signal that ends a run."""


class Inventory(Edits):
    """One folder whose inventory is refreshed from what was there, against one refreshed from nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(Path(self.scratch.name), 0)
        self.few, self.small = refreshing._FEW, scanning._SMALL

    @initialize(
        tick=st.sampled_from((0.0, 1.0, 1.0)),
        pauses=st.lists(st.sampled_from(("none", "at once", "settled", "settled")), min_size=1, max_size=6),
    )
    def set_time(self, tick, pauses):
        self.clock = Clock(Path(self.scratch.name), tick)
        self.pauses = pauses

    @initialize(few=st.sampled_from((1, 3, 100)), small=st.sampled_from((0, 2000)))
    def set_what_counts_as_few(self, few, small):
        self.few, self.small = few, small

    def wait(self) -> None:
        self.clock.leap(1.5 * file_cache.YOUNG_NS / NS + 1)

    def check(self) -> bool:
        before = contents(self.home / RESULTS)
        stamps = {name: stamp(self.home / RESULTS / name) for name in before}
        found = self.refresh_what_is_there()
        remove(self.home / "clean")
        expected = self.refresh("clean/cache", "clean/inventory")
        assert found == expected
        if isinstance(found, str):
            return False
        after = contents(self.home / RESULTS)
        assert after == contents(self.home / "clean/inventory")
        assert found == {Path(n).stem: hashlib.sha256(t).hexdigest() for n, t in after.items() if n.endswith("l")}
        same = [name for name in after if before.get(name) == after[name]]
        assert {name: stamps[name] for name in same} == {name: stamp(self.home / RESULTS / name) for name in same}
        with contextlib.chdir(self.home), self.clock.in_force():
            assert listing.list_inputs("d", None, ".snakemake/odtl/detect") == listing.list_inputs("d")
        return True

    def refresh_what_is_there(self) -> dict[str, str] | str:
        """Refresh by ways that a data set takes only where it is large."""
        small, few = mock.patch.object(scanning, "_SMALL", self.small), mock.patch.object(refreshing, "_FEW", self.few)
        with small, few:
            return self.refresh(CACHE, RESULTS)

    def refresh(self, cache: str, results: str) -> dict[str, str] | str:
        """Return each shard's digest, or why the data set is refused."""
        with contextlib.chdir(self.home), self.clock.in_force():
            try:
                return inventory.refresh(self.data_config(), self.labels_config(), cache, results, lambda text: None)
            except InputError as error:
                return str(error)

    @rule(after=st.integers(0, 12))
    def kill_while_writing(self, after):
        replace, left = os.replace, list(range(after))

        def replace_or_die(*arguments, **options):
            if not left:
                raise Killed
            left.pop()
            replace(*arguments, **options)

        with mock.patch.object(os, "replace", replace_or_die), contextlib.suppress(Killed):
            self.refresh_what_is_there()

    @rule(pick=picks, objects=st.lists(boxes, max_size=2), late=st.booleans())
    def change_while_reading(self, pick, objects, late):
        path, read, once = self.xml(pick), voc.read, threading.Lock()

        def read_and_change(*arguments):
            content = read(*arguments) if late else None
            if once.acquire(blocking=False):
                put(path, voc_xml("changed.jpg", (64, 48), objects).encode())
            return content or read(*arguments)

        if path:
            with mock.patch.object(voc, "read", read_and_change):
                self.refresh_what_is_there()

    @rule(pick=picks, colours=st.permutations(LOOKS[:3]), edge=edges, way=st.sampled_from(("in place", "replaced")))
    def change_twice_within_a_tick_with_a_run_between(self, pick, colours, edge, way):
        self.replace_pixels(pick, colours[0], way)
        self.move_box(pick, 0, 10, way)
        self.check()
        self.replace_pixels(pick, colours[1], way)
        self.move_box(pick, 0, edge, way)

    @rule(pick=picks, how=st.sampled_from(("removed", "cut off", "changed")))
    def damage_a_manifest(self, pick, how):
        manifests = sorted((self.home / RESULTS).glob("*"))
        if manifests:
            self.damage(manifests[pick % len(manifests)], how)

    @rule(pick=picks, how=st.sampled_from(("removed", "cut off", "changed")))
    def damage_a_cache(self, pick, how):
        caches = sorted(path for path in (self.home / ".snakemake").rglob("*") if path.is_file())
        if caches:
            self.damage(caches[pick % len(caches)], how)

    def damage(self, path: Path, how: str) -> None:
        # Nobody edits what a run wrote in the same tick of the clock.
        self.wait()
        content = path.read_bytes()
        if how == "removed":
            path.unlink()
        elif how == "cut off":
            path.write_bytes(content[: len(content) // 2])
        else:
            put(path, b"?" * len(content), "in place, kept time")

    @rule(what=st.sampled_from((".snakemake", "results")))
    def save(self, what):
        if (self.home / what).is_dir():
            copy(self.home / what, self.home / "saved" / what)

    @rule(what=st.sampled_from((".snakemake", "results")))
    def go_back_to_saved(self, what):
        if (self.home / "saved" / what).is_dir():
            self.wait()
            copy(self.home / "saved" / what, self.home / what)

    @rule()
    def copy_project_elsewhere(self):
        other = self.home.with_name("other" if self.home.name == "project" else "project")
        copy(self.home, other)
        remove(self.home)
        self.home = other


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*")} if folder.is_dir() else {}


def stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    # Nothing here outlives a loss of power.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_incremental_equals_clean():
    """Neither side remembers anything in memory: what carries over is in the files of the cache and the results."""
    run_state_machine_as_test(
        Inventory,
        settings=settings(
            max_examples=int(EXAMPLES or 40),
            stateful_step_count=STEPS,
            # A failing edit is found again; what is merged does not depend on luck.
            derandomize=EXAMPLES is None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_settled_files_come_from_the_cache():
    """What the test above compares would be vacuous if everything were read each time."""
    machine = Inventory()
    machine.start([("d", stem, ".jpg", "red", []) for stem in "abc"])

    def read_files() -> int:
        with mock.patch.object(voc, "read", wraps=voc.read) as read:
            machine.refresh_what_is_there()
        return read.call_count

    assert [read_files(), read_files()] == [3, 3], "young files are not read again"
    machine.wait()
    assert [read_files(), read_files()] == [3, 0]
    machine.write_xml(machine.home / "d/a.xml", "a.jpg", [("cup", (10, 11, 30, 31))])
    assert [read_files(), read_files()] == [1, 1]
    machine.wait()
    assert [read_files(), read_files()] == [1, 0]
    machine.teardown()
