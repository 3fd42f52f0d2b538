"""Processes that work off pieces of the sources give what one process gives, and end with the main one."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from helpers import voc_xml
from odtl import inventory
from odtl.inventory import scanning, workers

SPLIT = {"fractions": {"train": 0.8, "val": 0.1, "test": 0.1}, "val_from_train": 0, "group": None, "seed": ""}
LABELS = {"classes": None, "aliases": {"b": "a"}}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Some pairs, an annotation without image, and a broken one; and processes whatever the number of files."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("d")
    for index in range(30):
        with open(f"d/{index}.jpg", "w", encoding="utf-8") as stream:
            stream.write(str(index))
        with open(f"d/{index}.xml", "w", encoding="utf-8") as stream:
            label = "b" if index % 2 else "c"
            stream.write(voc_xml(f"{index}.jpg", (64, 48), [(label, (1, 2, 30, 40))]) if index else "<broken")
    with open("d/alone.xml", "w", encoding="utf-8") as stream:
        stream.write(voc_xml("alone.jpg", (64, 48), []))
    monkeypatch.setattr(scanning, "_SMALL", 1)
    monkeypatch.setattr(scanning, "_PIECES", 8)
    source = {"name": None, "format": "voc", "images": "d", "annotations": None, "split": "by_hash"}
    return {"sources": [source], "split": SPLIT, "shards": 2}


def test_processes_give_what_one_process_gives(data, monkeypatch):
    alone = inventory.scan(data, LABELS, None)
    monkeypatch.setattr(workers, "FEW", 0)
    together = inventory.scan(data, LABELS, "cache")
    assert together == alone and together.size == 31 and together.classes == ("a", "c")
    assert inventory.scan(data, LABELS, "cache") == alone


def test_process_that_dies_is_told(data, monkeypatch):
    monkeypatch.setattr(workers, "FEW", 0)
    monkeypatch.setattr(workers, "_SERVE", "import sys; sys.stdin.buffer.read(8); sys.exit(3)")
    with pytest.raises(RuntimeError, match="ended with status 3"):
        inventory.scan(data, LABELS, None)


def test_processes_end_when_the_main_one_is_killed(tmp_path):
    code = (
        "import sys, time; from odtl.inventory import workers; print(workers._start().pid, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(workers._LIBRARY)}
    main = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, cwd=tmp_path)
    worker = int(main.stdout.readline())
    assert _runs(worker)
    main.send_signal(signal.SIGKILL)
    main.wait()
    main.stdout.close()
    deadline = time.monotonic() + 20
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(process: int) -> bool:
    """Say whether a process runs: one that has ended may stay listed until somebody asks for its status."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_digest_is_of_the_bytes(data):
    lines = "".join(inventory.scan(data, LABELS, None).manifests.values())
    assert hashlib.sha256(b"7").hexdigest() in lines
