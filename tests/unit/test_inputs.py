"""From records to batches: the images and targets that official.vision makes, each once in each epoch."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from odtl.tf_example import frame, serialize
from odtl.training import inputs, sizing
from odtl.training.options import Options

COUNT = 7
SIZE = 64


def example(number: int, width: int = 60, height: int = 40) -> bytes:
    """Return an image whose pixels and box are its own, as a record's message."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    edges = {"xmin": 0.1, "ymin": 0.1, "xmax": 0.5 + 0.05 * number, "ymax": 0.9}
    return serialize(
        {
            "image/height": [height],
            "image/width": [width],
            "image/source_id": [str(number + 1).encode()],
            "image/encoded": [encoded.getvalue()],
            "image/format": [b"png"],
            **{f"image/object/bbox/{edge}": [value] for edge, value in edges.items()},
            "image/object/class/label": [1],
        }
    )


@pytest.fixture
def records(tmp_path):
    """Two files, which a test may delete."""
    numbers = {"a.tfrecord": range(4), "b.tfrecord": range(4, COUNT)}
    for name, members in numbers.items():
        (tmp_path / name).write_bytes(b"".join(frame(example(number)) for number in members))
    return [tmp_path / name for name in numbers]


def make_task(records, **train_data):
    from official.core import exp_factory, task_factory
    from official.vision import registry_imports  # noqa: F401 - registers the factories

    config = exp_factory.get_exp_config("retinanet_mobile_coco")
    data = {"input_path": [str(path) for path in records], "global_batch_size": 1, "dtype": "float32", "seed": 1}
    parser = {"aug_rand_hflip": False, "aug_scale_min": 1.0, "aug_scale_max": 1.0}
    training = {**data, "is_training": True, "shuffle_buffer_size": COUNT, "parser": parser, "deterministic": True}
    validation = {**data, "global_batch_size": 4, "is_training": False, "drop_remainder": False}
    model = {"input_size": [SIZE, SIZE, 3], "num_classes": 2, "min_level": 3, "max_level": 4}
    override = {"model": model, "train_data": {**training, **train_data}, "validation_data": validation}
    config.task.override(override)
    return task_factory.get_task(config.task)


def build(task, validation=False, official=False):
    """Return batches as a training makes them, without AutoGraph; with `official`, those of official.vision.

    What a training's labels hold beside theirs, the numbers of the images, is left out.
    """
    import tensorflow as tf

    params = task.task_config.validation_data if validation else task.task_config.train_data
    if official:
        return tf.autograph.experimental.do_not_convert(task.build_inputs)(params)
    ours = tf.autograph.experimental.do_not_convert(inputs.build_inputs)(task, params, Options())
    return ours if validation else ours.map(_without_source)


def _without_source(image, labels):
    return image, {name: value for name, value in labels.items() if name != inputs.SOURCE_ID}


def arrays(batch) -> list[np.ndarray]:
    import tensorflow as tf

    return [np.asarray(tensor) for tensor in tf.nest.flatten(batch)]


def epochs(dataset, count: int) -> list[list[bytes]]:
    """Return the images of some epochs, in their order."""
    images = [np.asarray(image).tobytes() for image, _ in dataset.take(count * COUNT)]
    return [images[start : start + COUNT] for start in range(0, len(images), COUNT)]


def seed(number: int) -> None:
    import tf_keras

    tf_keras.utils.set_random_seed(number)


def test_training_batches_are_those_of_official_vision(records):
    task = make_task(records)
    ours = {arrays(batch)[0].tobytes(): arrays(batch) for batch in build(task).take(COUNT)}
    theirs = {arrays(batch)[0].tobytes(): arrays(batch) for batch in build(task, official=True).take(50)}
    assert len(ours) == COUNT
    assert set(ours) == set(theirs)
    for image, batch in ours.items():
        for mine, other in zip(batch, theirs[image], strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("budget", [sizing.MAX_CACHE_BYTES, 0])
def test_each_epoch_has_each_image_once_in_its_own_order(records, budget, monkeypatch):
    monkeypatch.setattr(inputs, "cache_budget", lambda: budget)
    seed(1)
    found = epochs(build(make_task(records)), 4)
    assert {len(set(epoch)) for epoch in found} == {COUNT}
    assert len(set(map(tuple, found))) == 4


@pytest.mark.parametrize("budget", [sizing.MAX_CACHE_BYTES, 0])
def test_order_follows_from_the_seed(records, budget, monkeypatch):
    monkeypatch.setattr(inputs, "cache_budget", lambda: budget)

    def order(number):
        seed(number)
        return epochs(build(make_task(records)), 3)

    assert order(1) == order(1)
    # As when a killed run goes on.
    assert order(1) != order(2)


def test_deterministic_order_does_not_go_by_free_memory(records, monkeypatch):
    import tensorflow as tf

    def order(budget):
        monkeypatch.setattr(inputs, "cache_budget", lambda: budget)
        task = make_task(records)
        seed(1)
        made = tf.autograph.experimental.do_not_convert(inputs.build_inputs)
        return epochs(made(task, task.task_config.train_data, Options(deterministic=True)).map(_without_source), 3)

    assert order(0) == order(sizing.MAX_CACHE_BYTES)


def test_cached_images_are_read_once(records, monkeypatch):
    import tensorflow as tf

    def read_on(budget):
        monkeypatch.setattr(inputs, "cache_budget", lambda: budget)
        batches = iter(build(make_task(records)))
        for _ in range(2 * COUNT):
            next(batches)
        kept = [path.rename(path.with_suffix(".gone")) for path in records]
        try:
            return len(list(itertools.islice(batches, 10 * COUNT)))
        finally:
            for path, gone in zip(records, kept, strict=True):
                gone.rename(path)

    assert read_on(sizing.MAX_CACHE_BYTES) == 10 * COUNT
    with pytest.raises(tf.errors.NotFoundError):
        read_on(0)


def test_batches_have_static_shapes(records):
    import tensorflow as tf

    assert all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(build(make_task(records)).element_spec))


def test_validation_batches_are_those_of_official_vision_each_time(records):
    import tensorflow as tf

    task = make_task(records)
    ours = build(task, validation=True)
    theirs = [arrays(batch) for batch in build(task, validation=True, official=True)]
    # COUNT images in batches of 4: the last one is not full, and is scored, too.
    assert [len(batch[0]) for batch in theirs] == [4, 3]
    for _ in range(2):
        for mine, other in zip([arrays(batch) for batch in ours], theirs, strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, mine, other)
    for path in records:
        path.unlink()
    assert len(list(ours)) == 2


def test_many_validation_images_are_not_kept(records, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(inputs, "cache_budget", lambda: 1000)
    validation = build(make_task(records), validation=True)
    assert len(list(validation)) == 2
    for path in records:
        path.unlink()
    with pytest.raises(tf.errors.NotFoundError):
        list(validation)


def test_large_images_are_shrunk_to_what_can_be_asked_for(tmp_path):
    path = tmp_path / "large.tfrecord"
    path.write_bytes(frame(example(0, 600, 300)))
    task = make_task([path], parser={"aug_rand_hflip": False, "aug_scale_min": 0.5, "aug_scale_max": 2.0})
    unchanged = [lambda elements, *_: elements] * 3
    reader = inputs._Reader(task.task_config.train_data, (SIZE, SIZE), sizing.MAX_CACHE_BYTES, decoder(), *unchanged)
    (image,) = {tuple(decoded["image"].shape) for decoded in reader._read_decoded(None).take(3)}
    assert image == (64, 128, 3)


def decoder():
    from official.vision.dataloaders.tf_example_decoder import TfExampleDecoder

    return TfExampleDecoder().decode


def test_shrunk_image_is_that_of_bilinear_interpolation():
    import tensorflow as tf

    ramp = np.tile(np.arange(0, 240, 2, np.uint8)[:, None, None], (1, 90, 3))
    shrunk = inputs.shrink(tf.constant(ramp), (60.0, 60.0)).numpy()
    # The smaller of the two ratios: 120 x 90 becomes 60 x 45. Two rows, 2 apart, make one between them.
    assert shrunk.shape == (60, 45, 3)
    np.testing.assert_array_equal(shrunk[:, 0, 0], np.arange(1, 240, 4))


def test_small_image_is_left_alone():
    import tensorflow as tf

    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    np.testing.assert_array_equal(inputs.shrink(tf.constant(image), (64.0, 64.0)), image)


def test_stretched_image_keeps_both_sides():
    import tensorflow as tf

    image = tf.zeros([100, 300, 3], tf.uint8)
    assert inputs.shrink(image, (64.0, 64.0), covering=True).shape == (64, 192, 3)


@pytest.mark.parametrize(
    "parser, wanted",
    [
        ({"aug_scale_max": 2.0}, (128, 128)),
        # Validation and a scale below one ask for the model's own size.
        ({"aug_scale_min": 0.5, "aug_scale_max": 0.8}, (64, 64)),
        ({"aug_type": {"type": "ssd_random_crop"}}, None),
        ({"aug_rand_jpeg": {"prob_to_apply": 0.5}}, None),
    ],
)
def test_largest_size_that_can_be_asked_for(records, parser, wanted):
    task = make_task(records, parser=parser)
    assert inputs.largest_wanted(task.task_config.train_data.parser, (SIZE, SIZE)) == wanted


def test_what_only_official_vision_can_do_is_left_to_it(records):
    task = make_task(records, cache=True)
    assert len(list(build(task).take(3))) == 3
    assert not inputs._are_plain_records(task.task_config.train_data)
