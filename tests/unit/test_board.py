"""TensorBoard on what was trained: what it is shown, and that nothing of it outlives the run it stands beside."""

import importlib.util
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from tensorboard.compat.proto import event_pb2, graph_pb2, types_pb2

from helpers import ROOT
from odtl import board
from odtl.graph_events import write_graph
from odtl.records import read_frames

WATCH = ROOT / "workflow/scripts/watch.py"
needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("pkg_resources") is None, reason="setuptools is newer than in requirements/run.lock"
)


def write_frozen_graph(path):
    """Write a graph with weights, a small constant, and a function with weights of its own."""
    graph = graph_pb2.GraphDef()
    for name, content in (("weights", bytes(4000)), ("axis", bytes(4))):
        node = graph.node.add(name=name, op="Const")
        tensor = node.attr["value"].tensor
        tensor.dtype, tensor.tensor_content = types_pb2.DT_FLOAT, content
        tensor.tensor_shape.dim.add(size=len(content) // 4)
    graph.library.function.add().node_def.append(graph.node[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(graph.SerializeToString())


@pytest.fixture
def results(tmp_path):
    """Results of two experiments: one is being trained, the other has been exported."""
    results = tmp_path / "results"
    for run in ("train", "validation"):
        (results / "first/training/events" / run).mkdir(parents=True)
        (results / f"first/training/events/{run}/events.out.tfevents.1").write_bytes(b"")
    write_frozen_graph(results / "second/export/frozen_inference_graph.pb")
    (results / "dataset").mkdir()
    return results


def test_all_experiments_are_shown_and_nothing_else(results, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    board.link(results, folder)
    board.link(results, folder)
    found = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*") if path.is_dir())
    assert found == ["first/train", "first/validation", "second/graph"]
    assert (folder / "first/train").resolve() == (results / "first/training/events/train").resolve()


def test_graph_keeps_its_shape_and_loses_its_weights(results, tmp_path):
    write_graph(results / "second/export/frozen_inference_graph.pb", tmp_path / "graph")
    (file,) = (tmp_path / "graph").iterdir()
    version, event = (event_pb2.Event.FromString(message) for message in read_frames(file))
    assert version.file_version == "brain.Event:2"
    graph = graph_pb2.GraphDef.FromString(event.graph_def)
    weights, axis = (node.attr["value"].tensor for node in graph.node)
    assert weights.tensor_content.startswith(b"<40") and weights.tensor_content.endswith(b" bytes>")
    assert (weights.dtype, weights.tensor_shape.dim[0].size) == (types_pb2.DT_FLOAT, 1000)
    assert axis.tensor_content == bytes(4)
    assert graph.library.function[0].node_def[0].attr["value"].tensor == weights


def test_nothing_trained_yet_is_told(tmp_path):
    done = subprocess.run([sys.executable, WATCH], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Nothing has been trained here yet. `make watch` trains" in done.stderr


def serving(process):
    """Return the address that a process says it serves at."""
    line = process.stdout.readline()
    assert line.startswith("TensorBoard: http://127.0.0.1:"), line
    return line.split()[1]


def runs_at(address, patience=60):
    """Return the runs that are served, once there are any."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{address}data/runs", timeout=20) as answer:
            if runs := json.load(answer):
                return runs
        time.sleep(0.5)
    raise TimeoutError


@needs_tensorboard
def test_it_serves_beside_a_command_and_ends_with_it(results):
    wait = "import sys; sys.stdin.read(); sys.exit(3)"
    command = [sys.executable, WATCH, "--port", "0", sys.executable, "-c", wait]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=results.parent, start_new_session=True, **pipes) as process:
        try:
            assert "second/graph" in runs_at(serving(process))
            process.stdin.close()
            assert process.wait(60) == 3
            assert not living(process.pid)
        finally:
            if process.poll() is None:
                process.kill()


def living(session, patience=10):
    """Return the processes of a session that are left after a while."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and (found := _of_session(session)):
        time.sleep(0.2)
    return found


def _of_session(session):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == session and "State:\tZ" not in (folder / "status").read_text():
                found.append(int(folder.name))
        except (ProcessLookupError, FileNotFoundError):
            continue
    return found
