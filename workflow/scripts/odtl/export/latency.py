"""How long each format takes for one image, on this machine's CPU.

Each is measured in a process of its own, one after the other, on a given number of processors. What else the machine
does at that time disturbs it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from odtl.errors import InputError, Problem
from odtl.export.formats import PATHS
from odtl.export.reference import encoded_images
from odtl.files import write_json
from odtl.images import upright_rgb

# Of one format and number of threads, so that slow models end, too.
SECONDS = 10.0
MOST_RUNS = 50
# The first ones make what later ones use.
WARM_UP = 2
# Loading takes seconds; a process that hangs must end.
TIMEOUT = 600


def measure_latency(
    candidates: Mapping[str, str | os.PathLike],
    records: Sequence[str | os.PathLike],
    threads: Sequence[int],
    path: str | os.PathLike,
) -> None:
    """Write the median time that each format takes for one image, pre- and post-processing included, as JSON.

    candidates: format -> the folder that holds it. records: TFRecord files, whose first image is taken.
    threads: the numbers of threads to measure with; an empty list measures nothing.
    """
    image = next((np.asarray(upright_rgb(encoded)) for encoded in encoded_images(records, 1)), None)
    found = {}
    if image is not None:
        for name, folder in candidates.items():
            model = Path(folder) / PATHS[name]
            found[name] = {str(count): _in_process(model, image, count) for count in threads}
    size = None if image is None else [image.shape[1], image.shape[0]]
    write_json(path, {"processor": processor(), "image_size": size, "milliseconds": found})


def processor() -> str:
    """Return the name of this machine's processor and how many there are of it."""
    name = "unknown processor"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} processors"


def _in_process(model: Path, image: np.ndarray, threads: int) -> float:
    command = [sys.executable, "-m", "odtl.export.timing", str(model), str(threads), *map(str, image.shape[:2])]
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, input=image.tobytes(), capture_output=True, env=environment, timeout=TIMEOUT)
    if done.returncode:
        found = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise InputError(Problem(str(model), "latency", found[0], "The process that measured it has failed."))
    return json.loads(done.stdout.decode().splitlines()[-1])
