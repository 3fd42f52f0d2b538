"""The process in which one format is timed: python -m odtl.export.timing MODEL THREADS HEIGHT WIDTH < pixels

Prints the median of the milliseconds that a detection took.
"""

import os
import statistics
import sys
import time

import numpy as np

from odtl.export.latency import MOST_RUNS, SECONDS, WARM_UP


def main() -> None:
    model, threads, height, width = sys.argv[1], *map(int, sys.argv[2:5])
    image = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(1, height, width, 3)
    limit_threads(threads)
    print(median_milliseconds(_detector(model, threads), image))


def limit_threads(count: int) -> None:
    """Keep this process on so many processors; libraries make no more threads than there are of them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:count]))


def median_milliseconds(run, image: np.ndarray) -> float:
    """Return the median time of a call, after some that do not count."""
    for _ in range(WARM_UP):
        run(image)
    taken: list[float] = []
    while len(taken) < MOST_RUNS and (len(taken) < 3 or sum(taken) < 1000 * SECONDS):
        began = time.perf_counter()
        run(image)
        taken.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(taken), 3)


def _detector(model: str, threads: int):
    if model.endswith(".tflite"):
        from odtl.tflite.running import run_tflite

        return run_tflite(model, threads)
    if model.endswith(".onnx"):
        from odtl.onnx import run_onnx

        return run_onnx(model, threads)[0]
    import tensorflow as tf

    from odtl.detector import Detector

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return Detector.load(model).detect


if __name__ == "__main__":
    main()
