"""How large is each model of the zoo, and how long does it take for one image on the CPU?

    python benchmarks/model_times.py                        # all models, into workflow/model_times.json
    python benchmarks/model_times.py demo --zoo mine.yaml   # some, of a further table, too; printed only

Each model is built at its own input size, with 91 classes as for COCO, and its forward pass and the post-processing are
timed on one image of noise (reading and scaling of images is not: it is the same for all). The weights are fresh, so
that suppression of overlapping boxes has little to do; it takes under a tenth of a millisecond per class.

What is told is CPU time, summed over the cores, of the fastest run: what else a machine has to do stretches the time on
the clock, but hardly this. Machines differ still: the smallest model is timed again beside each other one, and what
counts is the ratio. `parameters` are those that training changes.
"""

import argparse
import gc
import json
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

import tensorflow as tf  # noqa: E402

from odtl import checkpoints, serving, zoo  # noqa: E402
from odtl.experiment import RECIPE  # noqa: E402
from odtl.files import write_json  # noqa: E402
from odtl.overriding import factory_config, override_config  # noqa: E402
from odtl.preprocessing import preprocessing_of  # noqa: E402

TIMES = ROOT / "workflow/model_times.json"
REFERENCE = "demo"
CLASSES = 91
SECONDS = 2.0
MIN_RUNS, MAX_RUNS = 3, 50


def build(entry: zoo.Model):
    """Return (a function that detects on one image of noise, the number of parameters)."""
    config = factory_config(entry.factory)
    override_config(config, RECIPE, "recipe")
    override_config(config, entry.settings, entry.name)
    config.task.model.num_classes = CLASSES
    model = checkpoints.build_model(config)
    preprocessing = preprocessing_of(config)
    image = tf.random.stateless_uniform((*preprocessing.input_size, 3), (1, 2), 0, 256, tf.int32)
    prepared, image_info = serving.prepare(tf.cast(image, tf.uint8), preprocessing)
    detect = tf.function(lambda: serving.detect_prepared(model, prepared[None], image_info[None]))
    detect()
    return detect, sum(int(tf.size(weight)) for weight in model.trainable_weights)


def fastest(detect, seconds: float = SECONDS) -> float:
    """Return the least CPU time of a run, in seconds, of as many as fit into a time."""
    times = []
    while len(times) < MIN_RUNS or (sum(times) < seconds and len(times) < MAX_RUNS):
        began = time.process_time()
        detect()["num_detections"].numpy()
        times.append(time.process_time() - began)
    return min(times)


def measure(models: dict[str, zoo.Model], names: list[str]) -> dict[str, dict]:
    """Return for each model its `parameters`, `milliseconds`, and `times` as long as the reference takes."""
    reference, _ = build(models[REFERENCE])
    measured = {}
    for name in names:
        detect, parameters = build(models[name])
        beside, seconds = fastest(reference, SECONDS / 4), fastest(detect)
        times = 1.0 if name == REFERENCE else seconds / beside
        measured[name] = {
            "parameters": parameters,
            "milliseconds": round(1000 * seconds, 1),
            "times": round(times, 2),
        }
        print(f"{name}: {json.dumps(measured[name])}", flush=True)
        del detect
        gc.collect()
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="names in the zoo; all if none is given")
    parser.add_argument("--zoo", action="append", default=[], help="a further table of models")
    arguments = parser.parse_args()
    models = zoo.load([ROOT / "workflow/zoo.yaml", *arguments.zoo])
    if unknown := sorted(set(arguments.models) - set(models)):
        parser.error(f"not in the zoo: {', '.join(unknown)}")
    measured = measure(models, arguments.models or list(models))
    if not arguments.models and not arguments.zoo:
        about = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "tensorflow": tf.__version__,
            "reference": REFERENCE,
        }
        write_json(TIMES, {**about, "models": measured})
        print(f"written: {TIMES}")


if __name__ == "__main__":
    main()
