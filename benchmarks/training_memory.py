"""Does training take less than 4 GB, whatever the number of images?

    python benchmarks/training_memory.py build/training_memory --images 100000

Writes records of one noisy JPEG of about 100 KB, each time with another id (10 GB for 100,000 images; free space is
looked for first, and the records are deleted at the end), trains on them for some steps in a process of its own, and
prints its peak memory. Ends with status 1 if that is 4 GB or more.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "workflow/scripts"
sys.path.insert(0, str(LIBRARY))

from odtl.experiment import build_experiment, write_experiment  # noqa: E402
from odtl.tf_example import frame, serialize  # noqa: E402

LIMIT = 4 * 1024**3
WIDTH, HEIGHT = 640, 480
IMAGES_PER_FILE = 5000
FACTORY = "retinanet_mobile_coco"
SETTINGS = {
    "task": {
        "model": {
            "backbone": {"type": "mobilenet", "mobilenet": {"model_id": "MobileNetV2", "filter_size_scale": 0.35}},
            "decoder": {"type": "fpn", "fpn": {"num_filters": 64, "use_separable_conv": True}},
            "head": {"num_convs": 4, "num_filters": 64, "use_separable_conv": True},
        }
    }
}
PROGRAM = f"""
import sys
sys.path.insert(0, {str(LIBRARY)!r})
from odtl.training import train
train("experiment.yaml", {FACTORY!r}, "state", "ckpt", "benchmark", "training.json")
"""


def photograph() -> bytes:
    """Return a JPEG of about 100 KB."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT))).astype(np.int16)
    pixels = np.clip(pixels + generator.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=83)
    return encoded.getvalue()


def write_records(folder: Path, images: int, encoded: bytes) -> list[str]:
    """Write the images, some thousand to a file; return the files' names."""
    paths = []
    for start in range(0, images, IMAGES_PER_FILE):
        path = folder / f"{start:07}.tfrecord"
        with open(path, "wb") as file:
            for number in range(start, min(images, start + IMAGES_PER_FILE)):
                edges = {"xmin": [0.2], "ymin": [0.2], "xmax": [0.6], "ymax": [0.7]}
                features = {
                    "image/height": [HEIGHT],
                    "image/width": [WIDTH],
                    "image/source_id": [str(number + 1).encode()],
                    "image/encoded": [encoded],
                    "image/format": [b"jpeg"],
                    **{f"image/object/bbox/{edge}": value for edge, value in edges.items()},
                    "image/object/class/label": [1],
                }
                file.write(frame(serialize(features)))
        paths.append(str(path))
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for records and training; must not exist yet")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    encoded = photograph()
    folder = options.folder.resolve()
    folder.mkdir(parents=True)
    needed = options.images * (len(encoded) + 1000)
    if shutil.disk_usage(folder).free < needed + 2 * 1024**3:
        raise SystemExit(f"{needed / 1e9:.0f} GB and some room are needed in {folder}")
    try:
        paths = write_records(folder, options.images, encoded)
        summary = {"images": options.images, "max_boxes": 1, "image_bytes": options.images * len(encoded)}
        schedule = {
            "train_steps": options.steps,
            "batch_size": 8,
            "learning_rate": 0.01,
            "warmup_steps": 5,
            "validation_interval": options.steps,
            "checkpoint_interval": options.steps,
            "image_size": 256,
            "augmentation": {"hflip": True, "scale_min": 0.5, "scale_max": 2.0},
            "seed": 1,
        }
        nothing = {"images": 0, "max_boxes": 0, "image_bytes": 0}
        experiment = build_experiment(FACTORY, SETTINGS, schedule, 1, paths, [], summary, nothing)
        write_experiment(experiment, folder / "experiment.yaml")
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        for path in folder.glob("*.tfrecord"):
            path.unlink()
    if status:
        raise SystemExit("The training failed")
    peak = usage.ru_maxrss * 1024
    print(f"{options.images} images of {len(encoded) / 1000:.0f} KB: at most {peak / 1e9:.2f} GB of memory")
    return int(peak >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
