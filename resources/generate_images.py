"""Draw the embedded demo's images, or the set its pretrained detector is trained on, with VOC XML beside them.

    python resources/generate_images.py --set demo --output resources/demo
    python resources/generate_images.py --set pretrain --output pretrain_images

Image number i of a folder depends on the seed, the set, the folder and i alone, so a longer run begins with the images
of a shorter one.
"""

import argparse
import io
import os
import zlib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from image_generator.objects import DEMO_CLASSES, PRETRAIN_CLASSES, Specimen
from image_generator.scenes import Difficulty, Scene, draw_scene
from image_generator.voc import annotation_xml
from PIL import Image

EMPTY_EVERY = 20  # one image in so many shows no object


@dataclass(frozen=True)
class ImageSet:
    """What a set is made of.

    largest_file: bytes an image may take; its JPEG quality is lowered until it fits.
    zoom:         of the images' sides. The demo's are no larger than the detector's input: the repository holds more.
    """

    classes: Mapping[str, Specimen]
    train: int
    test: int
    largest_file: int
    zoom: float = 1.0
    difficulty: Difficulty = field(default_factory=Difficulty)


SETS = {
    # Easier than the other: it must be learnt in minutes, from few images, by a very small detector.
    "demo": ImageSet(
        DEMO_CLASSES, train=330, test=60, largest_file=9_500, zoom=0.8, difficulty=Difficulty(0.36, 2, 0.2)
    ),
    "pretrain": ImageSet(PRETRAIN_CLASSES, train=5000, test=300, largest_file=20_000),
}


def main(arguments: list[str] | None = None) -> None:
    """Write the set that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, required=True, help="which classes to draw")
    parser.add_argument("--output", type=Path, required=True, help="folder that gets train/ and test/")
    parser.add_argument("--count", type=int, help="number of training images (default: the set's own)")
    parser.add_argument("--test-count", type=int, help="number of test images (default: the set's own)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    write_set(options.set, options.output, options.count, options.test_count, options.seed, options.workers)


def write_set(
    name: str, output: Path, count: int | None = None, test: int | None = None, seed: int = 1, workers: int = 1
) -> None:
    """Write `count` training and `test` test images of a set below `output`; None is as many as the set has.

    Fails where `output`/train or `output`/test exist already: a mixture of two runs would be a data set nobody drew.
    """
    for folder in ("train", "test"):
        (output / folder).mkdir(parents=True)
    jobs = [("train", i) for i in range(SETS[name].train if count is None else count)]
    jobs += [("test", i) for i in range(SETS[name].test if test is None else test)]
    write = partial(write_image, name, output, seed)
    if workers == 1:
        for job in jobs:
            write(job)
        return
    with ProcessPoolExecutor(workers) as pool:
        for _ in pool.map(write, jobs, chunksize=8):
            pass


def write_image(name: str, output: Path, seed: int, job: tuple[str, int]) -> None:
    """Write one image and its annotation; job: (folder, index)."""
    folder, index = job
    scene = make_scene(name, seed, folder, index)
    height, width = scene.pixels.shape[:2]
    path = f"{folder}/{index + 1:04d}.jpg"
    objects = [(thing.label, thing.box, thing.cut) for thing in scene.objects]
    (output / path).write_bytes(encode(scene.pixels, SETS[name].largest_file))
    (output / path).with_suffix(".xml").write_text(annotation_xml(path, width, height, objects), encoding="utf-8")


def make_scene(name: str, seed: int, folder: str, index: int) -> Scene:
    """Return one image of a set, always the same for the same arguments."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{name}/{folder}".encode()), index])
    images = SETS[name]
    return draw_scene(rng, images.classes, index % EMPTY_EVERY == EMPTY_EVERY // 2, images.zoom, images.difficulty)


def encode(pixels: np.ndarray, largest_file: int) -> bytes:
    """Return (H, W, 3) uint8 pixels as a JPEG of at most `largest_file` bytes if quality 50 to 90 can be so small."""
    for quality in range(90, 49, -5):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality, optimize=True)
        if stream.tell() <= largest_file:
            break
    return stream.getvalue()


if __name__ == "__main__":
    main()
