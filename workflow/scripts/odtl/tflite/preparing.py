"""An image becomes the input of a TFLite detector, in NumPy: a client on a small device has no TensorFlow.

It is what `odtl.serving.prepare` does, but for the normalisation, which is in the model.
"""

import numpy as np

from odtl.tflite.metadata import Settings


def prepare(image: np.ndarray, settings: Settings) -> tuple[np.ndarray, tuple[float, float]]:
    """Return (pixels, extent) of one image.

    image: uint8 (H, W, 3), RGB. pixels: float32 (*padded_size, 3), in [0, 255].
    extent: height and width of the image as given in the pixels of the result, which may end between two of them.
    """
    height, width = image.shape[:2]
    # An image so narrow that nothing of it would be left is padded before, as `odtl.serving.prepare` does.
    least = int(np.ceil(np.float32(max(height, width) / min(settings.input_size))))
    if min(height, width) < least:
        image = np.pad(image, ((0, max(least - height, 0)), (0, max(least - width, 0)), (0, 0)))
    size, wanted = np.array(image.shape[:2], np.float32), np.array(settings.input_size, np.float32)
    # In float32, and half to even, as `official.vision.ops.preprocess_ops.resize_and_crop_image`.
    scaled = np.round(size * np.min(wanted / size)) if settings.keep_aspect_ratio else wanted
    pixels = np.empty((*settings.padded_size, 3), np.float32)
    pixels[:] = settings.padding
    rows, columns = scaled.astype(int)
    pixels[:rows, :columns] = resize(image, rows, columns)
    scale = scaled / size
    return pixels, (float(height * scale[0]), float(width * scale[1]))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return an image in another size as `tf.image.resize` makes it: bilinear between pixel centres, no antialiasing.

    image: (H, W, 3), any type. Returns float32 (height, width, 3).
    """
    top, bottom, down = _between(image.shape[0], height)
    left, right, across = _between(image.shape[1], width)
    down, across = down[:, None, None], across[None, :, None]

    def row(indices: np.ndarray) -> np.ndarray:
        lines = image[indices]
        start = lines[:, left].astype(np.float32)
        return start + (lines[:, right].astype(np.float32) - start) * across

    upper = row(top)
    return upper + (row(bottom) - upper) * down


def _between(before: int, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each new pixel the two old ones that it lies between, and how far it is from the first, in [0, 1)."""
    place = (np.arange(after, dtype=np.float32) + np.float32(0.5)) * np.float32(before / after) - np.float32(0.5)
    floor = np.floor(place)
    first = np.clip(floor, 0, before - 1).astype(int)
    second = np.clip(floor + 1, 0, before - 1).astype(int)
    return first, second, place - floor
