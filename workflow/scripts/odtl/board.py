"""TensorBoard on all trainings there are, and on those that come while it runs.

It serves from this process and its data server ends with it, however it ends: nothing is left behind to be ended.
"""

import contextlib
import io
import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from odtl.errors import InputError, Problem
from odtl.graph_events import write_graph

EVENTS = "training/events"
GRAPH = "export/frozen_inference_graph.pb"
# How often new trainings and graphs are looked for; TensorBoard itself looks for new events as often.
SECONDS_BETWEEN_LOOKS = 5
# It keeps ten images of a name by default, at random.
SAMPLES = "images=100"


@contextlib.contextmanager
def serve(results: str | os.PathLike, host: str = "127.0.0.1", port: int | None = None) -> Iterator[str]:
    """Serve all events and frozen graphs under `results` while the block runs; yield the address.

    port: None: 6006, or the next one that is free. Raises InputError where the port cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="odtl-tensorboard-") as folder, _kept_linked(Path(results), Path(folder)):
        yield _launch(folder, host, port)


def trained(results: str | os.PathLike) -> list[Path]:
    """Return the folders of the experiments under `results` that have something to show, in order of name."""
    return sorted({path.parents[1] for pattern in (EVENTS, GRAPH) for path in Path(results).glob(f"*/{pattern}")})


def link(results: Path, folder: Path) -> None:
    """Bring a folder up to date: one of its own for each experiment, with links to its events, and its graph as events.

    TensorBoard looks through all that is in a folder every few seconds: results hold too much besides.
    """
    for experiment in trained(results):
        place = folder / experiment.relative_to(results)
        place.mkdir(parents=True, exist_ok=True)
        events, graph = experiment / EVENTS, experiment / GRAPH
        for run in events.iterdir() if events.is_dir() else ():
            with contextlib.suppress(FileExistsError):
                (place / run.name).symlink_to(run.resolve())
        # It may be gone at any time, when it is made anew.
        with contextlib.suppress(FileNotFoundError):
            mark = f"graph-{graph.stat().st_mtime_ns}"
            if not (place / mark).exists():
                write_graph(graph, place / "graph")
                (place / mark).touch()


@contextlib.contextmanager
def _kept_linked(results: Path, folder: Path) -> Iterator[None]:
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            # What is half there is looked at again.
            with contextlib.suppress(OSError):
                link(results, folder)

    link(results, folder)
    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _launch(folder: str, host: str, port: int | None) -> str:
    """Start TensorBoard in this process and return its address."""
    program, get_plugins = _tensorboard()
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    board = program.TensorBoard(get_plugins())
    options = ["--logdir", folder, "--host", host, "--samples_per_plugin", SAMPLES, "--reload_interval"]
    options += [str(SECONDS_BETWEEN_LOOKS), *(["--port", str(port)] if port is not None else [])]
    board.configure(argv=["tensorboard", *options])
    try:
        # Of its data server, it says at each start that it is new.
        with contextlib.redirect_stderr(io.StringIO()):
            return board.launch()
    except program.TensorBoardServerException as error:
        found = f"{host}, port {'6006 and those that follow' if port is None else port}"
        raise InputError(Problem("TensorBoard", "address", found, f"{error.msg} Give another port.")) from error


def _tensorboard():
    try:
        with warnings.catch_warnings():
            # It imports a module of setuptools that is on its way out.
            warnings.simplefilter("ignore")
            from tensorboard import program
            from tensorboard.default import get_plugins
    except ModuleNotFoundError as error:
        cure = "Install what requirements/run.lock names: a later setuptools lacks what TensorBoard needs."
        raise InputError(Problem("TensorBoard", "module", f"no {error.name}", cure)) from error
    return program, get_plugins
