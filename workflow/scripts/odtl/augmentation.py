"""Augmentation beyond what official.vision's parsers do (flip, scale and crop): colour, shape, mosaic.

It works on decoded images, as official.vision's TfExampleDecoder gives them, before its parser: a dictionary of
- `image`: uint8, shape (height, width, 3), RGB; `height` and `width`, int64, in pixels;
- `groundtruth_boxes`: float32, shape (n, 4), rows ymin, xmin, ymax, xmax as shares of the image's sides;
- `groundtruth_classes` (int64), `groundtruth_is_crowd` (bool), `groundtruth_area` (float32, pixels): shape (n,);
- whatever else, which is left alone.
An image without objects is as good as any other. All that is random follows from the seeds that are given.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

# Images in a mosaic.
TILES = 4
# An object of which a mosaic shows less than this share of its area is not to be recognised: it is no object then.
MIN_VISIBLE = 0.1
# Turns of the colour circle, as share of a half turn, at strength 1; YIQ's skin tones turn green at more.
HUE_AT_FULL = 0.1


@dataclass(frozen=True)
class Augmentation:
    """How much to change.

    color:  strength from 0 (nothing) to 1: brightness, contrast and saturation by a factor between 1 - color and
            1 + color, hue by up to a tenth of that of a half turn.
    aspect: largest factor by which the ratio of width to height is changed; 1: not at all.
    mosaic: share of images that are put together of four.
    """

    color: float = 0.0
    aspect: float = 1.0
    mosaic: float = 0.0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Augmentation":
        """Return what of `training.augmentation` is done here; the parser does the rest."""
        names = {known.name for known in fields(cls)}
        return cls(**{name: value for name, value in settings.items() if name in names})

    def __bool__(self) -> bool:
        return self.color > 0 or self.aspect > 1 or self.mosaic > 0


def augment(dataset, settings: Augmentation, seed: int, parallel_calls: int = 2):
    """Return a tf.data.Dataset of as many images as the given one has, changed at random.

    dataset: of decoded images, best in random order and repeated. seed: with the same one, the same images are changed
    in the same way.
    """
    import tensorflow as tf

    if settings.mosaic > 0:
        dataset = _with_mosaics(dataset, settings.mosaic, seed, parallel_calls)
    if settings.color > 0 or settings.aspect > 1:

        def change(number, decoded):
            seeds = _seeds(seed, number, 2)
            if settings.color > 0:
                decoded = recolour(decoded, settings.color, seeds[0])
            return reshape(decoded, settings.aspect, seeds[1]) if settings.aspect > 1 else decoded

        dataset = dataset.enumerate().map(tf.autograph.experimental.do_not_convert(change), parallel_calls)
    return dataset


def recolour(decoded: Mapping, strength: float, seed) -> dict:
    """Change brightness, contrast, saturation and hue of an image by chance. strength: as `Augmentation.color`.

    All four are linear in the colours, so they are one matrix: contrast about a middle grey, saturation and hue in YIQ,
    where they are length and angle of chroma.
    """
    import tensorflow as tf

    draws = tf.random.stateless_uniform([4], seed, -strength, strength)
    brightness, contrast, saturation = 1 + draws[0], 1 + draws[1], 1 + draws[2]
    angle = draws[3] * (math.pi * HUE_AT_FULL)
    to_yiq = tf.constant([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    turn = tf.stack([[1.0, 0.0, 0.0], [0.0, tf.cos(angle), -tf.sin(angle)], [0.0, tf.sin(angle), tf.cos(angle)]])
    chroma = tf.linalg.diag(tf.stack([1.0, saturation, saturation]))
    matrix = brightness * contrast * tf.linalg.inv(to_yiq) @ turn @ chroma @ to_yiq
    image = decoded["image"]
    pixels = tf.reshape(tf.cast(image, tf.float32), [-1, 3])
    changed = tf.matmul(pixels, matrix, transpose_b=True) + 127.5 * brightness * (1 - contrast)
    changed = tf.cast(tf.clip_by_value(tf.round(changed), 0.0, 255.0), tf.uint8)
    return {**decoded, "image": tf.reshape(changed, tf.shape(image))}


def reshape(decoded: Mapping, most: float, seed) -> dict:
    """Change the ratio of width to height by a factor between 1 / most and most; the area stays. Boxes are shares."""
    import tensorflow as tf

    factor = tf.exp(tf.random.stateless_uniform([], seed, -math.log(most), math.log(most)) / 2)
    size = tf.cast(tf.shape(decoded["image"])[:2], tf.float32)
    return _resized(decoded, tf.maximum(tf.cast(tf.round(size * tf.stack([1 / factor, factor])), tf.int32), 1))


def mosaic(tiles: list[Mapping], seed) -> dict:
    """Put four images together, one in each quarter about a centre that is drawn; as in YOLOv4 (arXiv:2004.10934).

    The mosaic is a square, as large as the largest side of the first image. Each image is scaled so that its larger
    side is as long as the mosaic's, times a factor between a half and one that is drawn, and lies with one corner at
    the centre; what reaches over the border is cut off, and what is left free is grey.
    """
    import tensorflow as tf

    side = tf.reduce_max(tf.shape(tiles[0]["image"])[:2])
    draws = tf.random.stateless_uniform([2 + TILES], seed)
    extent = tf.cast(side, tf.float32)
    centre = tf.cast(tf.round(extent * (0.25 + 0.5 * draws[:2])), tf.int32)
    quarters, shown = [], []
    for number, tile in enumerate(tiles):
        size = tf.cast(tf.shape(tile["image"])[:2], tf.float32)
        scale = extent * (0.5 + 0.5 * draws[2 + number]) / tf.reduce_max(size)
        tile = _resized(tile, tf.maximum(tf.cast(tf.round(size * scale), tf.int32), 1))
        at = tf.constant([number // 2, number % 2])
        start, end = at * centre, at * side + (1 - at) * centre
        shape = tf.shape(tile["image"])[:2]
        origin = centre - shape * (1 - at)
        first, last = tf.maximum(origin, start), tf.minimum(origin + shape, end)
        cut = tile["image"][first[0] - origin[0] : last[0] - origin[0], first[1] - origin[1] : last[1] - origin[1]]
        around = tf.concat([tf.stack([first - start, end - last], axis=1), [[0, 0]]], 0)
        quarters.append(tf.pad(cut, around, constant_values=tf.constant(127, tf.uint8)))
        shown.append(_moved(tile, origin, shape, side))
    image = tf.concat([tf.concat(quarters[:2], 1), tf.concat(quarters[2:], 1)], 0)
    whole = {key: tf.concat([part[key] for part in shown], 0) for key in shown[0]}
    size = tf.cast(side, tiles[0]["height"].dtype)
    return {**tiles[0], **whole, "image": tf.ensure_shape(image, [None, None, 3]), "height": size, "width": size}


def _moved(tile: Mapping, origin, shape, side) -> dict:
    """Return the objects of an image that lies with its upper left corner at `origin` (y, x) in a square, cut to it."""
    import tensorflow as tf

    boxes = tile["groundtruth_boxes"] * tf.cast(tf.tile(shape, [2]), tf.float32)
    boxes = (boxes + tf.cast(tf.tile(origin, [2]), tf.float32)) / tf.cast(side, tf.float32)
    cut = tf.clip_by_value(boxes, 0.0, 1.0)
    share = tf.math.divide_no_nan(_areas(cut), _areas(boxes))
    values = {
        "groundtruth_boxes": cut,
        "groundtruth_classes": tile["groundtruth_classes"],
        "groundtruth_is_crowd": tile["groundtruth_is_crowd"],
        "groundtruth_area": tile["groundtruth_area"] * share,
    }
    return {key: tf.boolean_mask(value, share >= MIN_VISIBLE) for key, value in values.items()}


def _areas(boxes):
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _resized(decoded: Mapping, size) -> dict:
    """Return an image scaled to `size`, int32 (height, width)."""
    import tensorflow as tf

    image = decoded["image"]
    before, after = (tf.cast(tf.reduce_prod(part), tf.float32) for part in (tf.shape(image)[:2], size))
    scaled = tf.cast(tf.round(tf.image.resize(image, size)), tf.uint8)
    return {
        **decoded,
        "image": tf.ensure_shape(scaled, [None, None, 3]),
        "height": tf.cast(size[0], decoded["height"].dtype),
        "width": tf.cast(size[1], decoded["width"].dtype),
        "groundtruth_area": decoded["groundtruth_area"] * (after / before),
    }


def _with_mosaics(dataset, share: float, seed: int, parallel_calls: int):
    """Return a dataset in which a share of the images is a mosaic of the image and three that come with it.

    Images are taken in groups of four, of which each gives one: so none is read more often than without mosaics.
    """
    import tensorflow as tf

    def members(number, group):
        # Of the last group, some may be missing.
        count = tf.shape(group["height"], tf.int64)[0]
        return tf.data.Dataset.range(count).map(lambda index: (number * TILES + index, index, count, group))

    def one_of(number, index, count, group):
        seeds = _seeds(seed, number, 2)
        tiles = [{key: _item(value, (index + step) % count) for key, value in group.items()} for step in range(TILES)]
        wanted = tf.random.stateless_uniform([], seeds[0]) < share
        return tf.cond(wanted, lambda: mosaic(tiles, seeds[1]), lambda: dict(tiles[0]))

    groups = dataset.ragged_batch(TILES).enumerate()
    return groups.flat_map(members).map(tf.autograph.experimental.do_not_convert(one_of), parallel_calls)


def _item(batch, index):
    import tensorflow as tf

    item = batch[index]
    return item.to_tensor() if isinstance(item, tf.RaggedTensor) else item


def _seeds(seed: int, number, count: int):
    """Return `count` seeds, shape (count, 2), of the image with this number."""
    import tensorflow as tf

    return tf.random.experimental.stateless_split(tf.stack([tf.constant(seed, tf.int64), number]), count)
