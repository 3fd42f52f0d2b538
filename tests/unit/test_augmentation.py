"""Augmentation: boxes stay with what they frame, images without objects are no less, one seed gives one result."""

import numpy as np
import pytest

from odtl.augmentation import Augmentation, augment, mosaic, recolour, reshape

RED, GREEN, BLUE, YELLOW = COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


def decoded(height, width, boxes=(), color=RED, name="1"):
    """Return a black image with filled boxes (pixels: ymin, xmin, ymax, xmax), as official.vision decodes it."""
    import tensorflow as tf

    pixels = np.zeros((height, width, 3), np.uint8)
    for ymin, xmin, ymax, xmax in boxes:
        pixels[ymin:ymax, xmin:xmax] = color
    count = len(boxes)
    shares = np.reshape(boxes, (-1, 4)) / [height, width, height, width]
    return {
        "source_id": tf.constant(name),
        "image": tf.constant(pixels),
        "height": tf.constant(height, tf.int64),
        "width": tf.constant(width, tf.int64),
        "groundtruth_boxes": tf.constant(shares, tf.float32),
        "groundtruth_classes": tf.ones([count], tf.int64),
        "groundtruth_is_crowd": tf.zeros([count], tf.bool),
        "groundtruth_area": tf.constant([float((b[2] - b[0]) * (b[3] - b[1])) for b in boxes], tf.float32),
    }


def frame_of(image, color) -> np.ndarray | None:
    """Return ymin, xmin, ymax, xmax in pixels of what has a color, or None."""
    rows, columns = np.nonzero((np.abs(image.astype(int) - color) < 100).all(-1))
    return np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) if len(rows) else None


def in_pixels(found) -> np.ndarray:
    height, width = found["image"].shape[:2]
    return found["groundtruth_boxes"].numpy() * [height, width, height, width]


def test_colours_change_and_boxes_do_not():
    image = decoded(20, 30, [(5, 5, 15, 25)], (90, 140, 60))
    changed = [recolour(image, 0.4, (1, seed)) for seed in range(8)]
    for found in changed:
        assert found["image"].dtype == "uint8"
        np.testing.assert_array_equal(found["groundtruth_boxes"], image["groundtruth_boxes"])
    # One object, one colour: whatever it is now, it is that all over.
    assert all(len(np.unique(found["image"][5:15, 5:25].numpy().reshape(-1, 3), axis=0)) == 1 for found in changed)
    assert len({tuple(found["image"][10, 10].numpy()) for found in changed}) == 8
    assert len({tuple(found["image"][0, 0].numpy()) for found in changed}) > 1


def test_no_strength_changes_no_colour():
    image = decoded(20, 30, [(5, 5, 15, 25)], (90, 140, 60))
    np.testing.assert_array_equal(recolour(image, 0.0, (1, 2))["image"], image["image"])


@pytest.mark.parametrize("seed", range(6))
def test_grey_stays_grey(seed):
    found = recolour(decoded(4, 4, [(0, 0, 4, 4)], (120, 120, 120)), 0.5, (3, seed))["image"].numpy().astype(int)
    assert np.ptp(found, axis=-1).max() <= 1


@pytest.mark.parametrize("seed", range(6))
def test_another_shape_keeps_boxes_in_place(seed):
    found = reshape(decoded(60, 90, [(10, 20, 40, 70)]), 1.5, (1, seed))
    height, width = found["image"].shape[:2]
    assert (found["height"], found["width"]) == (height, width)
    assert 1 / 1.5 - 0.05 <= (width / height) / 1.5 <= 1.5 + 0.05
    assert width * height == pytest.approx(60 * 90, rel=0.05)
    np.testing.assert_allclose(in_pixels(found)[0], frame_of(found["image"].numpy(), RED), atol=1.5)


@pytest.mark.parametrize("seed", range(25))
def test_boxes_of_a_mosaic_frame_what_is_seen_of_the_objects(seed):
    random = np.random.default_rng(seed)
    tiles = []
    for color in COLORS:
        height, width = random.integers(24, 120, 2)
        ymin, xmin = (random.uniform(0, 0.6, 2) * (height, width)).astype(int)
        ymax, xmax = min(height, ymin + height // 3), min(width, xmin + width // 3)
        tiles.append(decoded(height, width, [(ymin, xmin, ymax, xmax)], color))
    found = mosaic(tiles, (7, seed))
    image = found["image"].numpy()
    side = max(tiles[0]["image"].shape[:2])
    assert image.shape == (side, side, 3)
    assert (found["height"], found["width"]) == (side, side)
    boxes = list(in_pixels(found))
    assert all(len(found[f"groundtruth_{key}"]) == len(boxes) for key in ("classes", "is_crowd", "area"))
    for color, tile in zip(COLORS, tiles, strict=True):
        frame = frame_of(image, color)
        near = [box for box in boxes if frame is not None and np.abs(box - frame).max() <= 2]
        if near:
            boxes = [box for box in boxes if box is not near[0]]
        else:
            # Less than a tenth of it is left: it is no object any more.
            largest = tile["groundtruth_area"].numpy()[0] * (side / max(tile["image"].shape)) ** 2
            assert frame is None or np.prod(frame[2:] - frame[:2] - 2) <= 0.1 * largest
    assert not boxes


def test_areas_follow_the_boxes():
    tiles = [decoded(40, 40, [(5, 5, 35, 35)], color) for color in COLORS]
    found = mosaic(tiles, (1, 1))
    boxes = in_pixels(found)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    np.testing.assert_allclose(found["groundtruth_area"], areas, rtol=0.1)


def dataset_of(images):
    import tensorflow as tf

    signature = {key: tf.TensorSpec([None] * value.shape.rank, value.dtype) for key, value in images[0].items()}
    signature["image"] = tf.TensorSpec([None, None, 3], tf.uint8)
    signature["groundtruth_boxes"] = tf.TensorSpec([None, 4], tf.float32)
    return tf.data.Dataset.from_generator(lambda: iter(images), output_signature=signature)


IMAGES = [(20 + 3 * number, 50 - 2 * number, [(2, 3, 12, 13)] if number % 3 else []) for number in range(10)]
ALL = Augmentation(color=0.3, aspect=1.3, mosaic=0.5)


def augmented(settings, seed, images=IMAGES):
    data = dataset_of([decoded(*image, name=str(number)) for number, image in enumerate(images)])
    return list(augment(data, settings, seed).as_numpy_iterator())


def test_as_many_images_come_out_as_go_in():
    found = augmented(ALL, 1)
    assert len(found) == 10
    assert {entry["source_id"] for entry in found} == {str(number).encode() for number in range(10)}


def test_one_seed_gives_one_result():
    first, again, other = augmented(ALL, 1), augmented(ALL, 1), augmented(ALL, 2)
    for one, two in zip(first, again, strict=True):
        for key, value in one.items():
            np.testing.assert_array_equal(value, two[key])
    assert any(one["image"].shape != two["image"].shape for one, two in zip(first, other, strict=True))


def test_each_pass_over_the_images_changes_them_anew():
    found = augmented(Augmentation(aspect=1.5), 1, [IMAGES[1]] * 6)
    assert len({entry["image"].shape for entry in found}) > 3


def test_images_without_objects_survive():
    found = augmented(Augmentation(color=0.3, aspect=1.3, mosaic=1.0), 1, [(30, 40, [])] * 5)
    assert [entry["groundtruth_boxes"].shape for entry in found] == [(0, 4)] * 5
    assert [entry["groundtruth_classes"].shape for entry in found] == [(0,)] * 5


def test_nothing_asked_for_changes_nothing():
    data = dataset_of([decoded(*image) for image in IMAGES])
    assert not Augmentation()
    assert augment(data, Augmentation(), 1) is data
