"""A detector that is a rule, not a model, and what it can be shown."""

import csv

import cv2
import numpy as np
import pytest
from PIL import Image

from odtl.detecting import run
from odtl.detector import Detector

NAMES = {1: "red thing", 2: "all"}


def find_red(batch: np.ndarray) -> dict[str, np.ndarray]:
    """Detect the extent of what is red, as class 1 with score 0.75, and the whole image as class 2 with score 0.25."""
    boxes, scores = [], []
    for image in batch.astype(int):
        height, width = image.shape[:2]
        ys, xs = np.nonzero((image[..., 0] > 150) & (image[..., 1] < 100) & (image[..., 2] < 120))
        red = (
            [ys.min() / height, xs.min() / width, (ys.max() + 1) / height, (xs.max() + 1) / width]
            if ys.size
            else [0] * 4
        )
        boxes.append([red, [0, 0, 1, 1]])
        scores.append([0.75 if ys.size else 0, 0.25])
    count = len(batch)
    return {
        "detection_boxes": np.array(boxes, np.float32),
        "detection_scores": np.array(scores, np.float32),
        "detection_classes": np.array([[1, 2]] * count, np.float32),
        "num_detections": np.array([2] * count, np.float32),
    }


def use_red_detector(monkeypatch: pytest.MonkeyPatch) -> Detector:
    """Have whatever is loaded be the rule."""
    detector = Detector(NAMES, "test", find_red)
    monkeypatch.setattr(run.Detector, "load", classmethod(lambda *_: detector))
    return detector


def image_with_red(box, size=(200, 100)) -> Image.Image:
    """Return a white image with a red box, (xmin, ymin, xmax, ymax) in pixels."""
    image = Image.new("RGB", size, "white")
    image.paste((255, 0, 0), box)
    return image


def moving_red(index: int, size=(320, 240)) -> Image.Image:
    """Return one frame of a film in which a red box of 40 x 30 pixels moves by 4 to the right."""
    return image_with_red((20 + 4 * index, 60, 60 + 4 * index, 90), size)


def write_film(path, count: int = 20, size=(320, 240), rate: float = 12.5, codec: str = "mp4v") -> None:
    """Write a film of `moving_red` with OpenCV."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, size)
    assert writer.isOpened()
    for index in range(count):
        writer.write(np.asarray(moving_red(index, size))[..., ::-1].copy())
    writer.release()


def read_film(path) -> tuple[float, list[np.ndarray]]:
    """Return (frames per second, frames as RGB) of a film."""
    capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while True:
        whole, pixels = capture.read()
        if not whole:
            return capture.get(cv2.CAP_PROP_FPS), frames
        frames.append(pixels[..., ::-1])


def rows_of(path) -> list[dict]:
    """Return the rows of a CSV."""
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
