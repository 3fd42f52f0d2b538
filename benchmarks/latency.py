"""What do the exports cost on top of the network itself, and what do batches give?

    python benchmarks/latency.py results/detector            # an experiment's folder, with its export

The yardstick is the bare network: backbone, decoder and head of the Keras model on an image that is prepared already,
in a `tf.function`. Beside it, in the same run and in turn: non-maximum suppression on its own (with what makes boxes of
the head's outputs), the SavedModel, the frozen graph and, where it is there, the float32 TFLite with XNNPACK, each from
uint8 pixels to boxes. What counts are ratios, each the median over rounds of the ratio within a round; milliseconds are
medians, too. `on_top` is what pre- and post-processing add to the network: export, less suppression, by the network.

An image of the model's own size is measured, and a larger one, since scaling takes longer the larger an image is.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import yaml  # noqa: E402
from official.vision.ops.anchor import Anchor  # noqa: E402
from PIL import Image  # noqa: E402

from odtl import checkpoints, serving  # noqa: E402
from odtl.detector import FROZEN_GRAPH, SAVED_MODEL, Detector  # noqa: E402
from odtl.preprocessing import preprocessing_of  # noqa: E402

TFLITE = "detector_float32.tflite"
ALLOWED = 0.15
BATCHES = (1, 2, 4, 8, 16)
Run = Callable[[], object]


def parts(model, config, preprocessing, image: np.ndarray) -> dict[str, Run]:
    """Return the bare network and the suppression, as they are part of an export, on one image."""
    prepared, image_info = serving.prepare_batch(tf.constant(image[None]), preprocessing)
    settings = config.task.model
    anchors = Anchor(
        settings.min_level,
        settings.max_level,
        settings.anchor.num_scales,
        settings.anchor.aspect_ratios,
        settings.anchor.anchor_size,
        preprocessing.padded_size,
    ).multilevel_boxes
    anchors = {level: boxes[None] for level, boxes in anchors.items()}

    @tf.function
    def network(batch):
        features = model.backbone(batch)
        return model.head(model.decoder(features) if model.decoder else features)

    @tf.function
    def suppression(scores, boxes, attributes):
        return model.detection_generator(boxes, scores, anchors, image_info[:, 1, :], attributes)

    outputs = network(prepared)
    return {"network": lambda: network(prepared), "suppression": lambda: suppression(*outputs)}


def in_turn(runs: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each run in each round; one after another in a round, so that all meet the same machine."""
    for run in runs.values():
        run(), run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return times


def summary(times: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return for each run its `milliseconds`, `times` the network's, and for exports the share `on_top`."""
    told = {}
    for name, values in times.items():
        entry = {"milliseconds": round(1000 * statistics.median(values), 2), "times": _ratio(values, times["network"])}
        if name not in ("network", "suppression"):
            rest = [value - nms for value, nms in zip(values, times["suppression"], strict=True)]
            entry["on_top"] = round(_ratio(rest, times["network"]) - 1, 3)
        told[name] = entry
    return told


def _ratio(values: list[float], others: list[float]) -> float:
    return round(statistics.median(value / other for value, other in zip(values, others, strict=True)), 3)


def throughput(detector: Detector, image: np.ndarray, rounds: int) -> dict[int, dict[str, float]]:
    """Return for each size of batch `images_per_second`, and `times` what single images give in the same round."""
    runs = {str(size): partial(detector.run, np.stack([image] * size)) for size in BATCHES}
    times = in_turn(runs, rounds)
    rates = {size: [size / value for value in times[str(size)]] for size in BATCHES}
    return {
        size: {"images_per_second": round(statistics.median(each), 1), "times": _ratio(each, rates[BATCHES[0]])}
        for size, each in rates.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", type=Path, help="its folder in the results")
    parser.add_argument("--factory", default="retinanet_mobile_coco", help="official.vision's name for its kind")
    parser.add_argument("--image", type=Path, default=ROOT / "resources/demo/test/0001.jpg")
    parser.add_argument("--large", type=int, nargs=2, default=(1280, 960), help="width and height of the larger image")
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    folder, export = arguments.experiment, arguments.experiment / "export"
    model, config = checkpoints.load_model(folder / "experiment.yaml", arguments.factory, folder / "checkpoint/ckpt")
    preprocessing = preprocessing_of(config)
    detectors = {name: Detector.load(export / name) for name in (SAVED_MODEL, FROZEN_GRAPH)}
    if (export / TFLITE).exists():
        detectors["TFLite float32"] = Detector.load(export / TFLITE)
    height, width = preprocessing.input_size
    picture = Image.open(arguments.image).convert("RGB")
    told: dict[str, object] = {"threads": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    for size in ((width, height), tuple(arguments.large)):
        image = np.asarray(picture.resize(size))
        runs = parts(model, config, preprocessing, image)
        runs |= {name: partial(detector.run, image[None]) for name, detector in detectors.items()}
        told[f"{size[0]} x {size[1]}"] = summary(in_turn(runs, arguments.rounds))
    own = np.asarray(picture.resize((width, height)))
    told["batches"] = throughput(detectors[FROZEN_GRAPH], own, max(5, arguments.rounds // 4))
    print(yaml.safe_dump(json.loads(json.dumps(told)), sort_keys=False), end="")
    over = {
        name: entry["on_top"] for name, entry in told[f"{width} x {height}"].items() if entry.get("on_top", 0) > ALLOWED
    }
    sys.exit(f"More than {ALLOWED:.0%} on top of the network: {over}" if over else 0)


if __name__ == "__main__":
    main()
