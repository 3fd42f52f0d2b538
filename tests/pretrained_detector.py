"""The detector that comes with the project, as it is, for tests of what is made of a trained model."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from odtl import checkpoints, serving, zoo
from odtl.label_map import read_label_map

RESOURCES = Path(__file__).parents[1] / "resources"
# It was trained on other classes than these images show, and finds things that look like them.
IMAGES = [np.asarray(Image.open(path).convert("RGB")) for path in sorted((RESOURCES / "demo/test").glob("*.jpg"))[:30]]


def load() -> tuple:
    """Return (model, config, classes: name -> id) of `demo` in the zoo, without any training."""
    from official.core import exp_factory
    from official.vision import registry_imports  # noqa: F401 - registers the factories

    entry = zoo.load([RESOURCES.parent / "workflow/zoo.yaml"])["demo"]
    classes = read_label_map(RESOURCES / "pretrained/demo/label_map.pbtxt")
    config = exp_factory.get_exp_config(entry.factory)
    config.override(entry.settings)
    size = [entry.input_size, entry.input_size, 3]
    # As the workflow sets it: official.vision's default takes seconds for each image.
    generator = {"nms_version": "batched"}
    model = {"num_classes": len(classes) + 1, "input_size": size, "detection_generator": generator}
    config.override({"task": {"model": model}, "runtime": {"mixed_precision_dtype": "float32"}})
    model = checkpoints.build_model(config)
    checkpoints.read_weights(model, RESOURCES / "pretrained/demo/ckpt")
    return model, config, classes


def detect(model, config, images) -> list:
    """Return what the model itself finds in images, uint8 (H, W, 3)."""
    return list(serving.detect_encoded(model, config, map(_png, images)))


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()
