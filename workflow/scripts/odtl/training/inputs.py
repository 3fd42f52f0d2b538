"""The data of a training: from the records to batches.

official.vision's own decoders and parsers make of each record what the model learns from, so that images, boxes and
targets are the same as with its train.py. What is ours is the way from the one to the other:

    records -> shuffled, encoded -> decoded -> shrunk -> cached, where that fits in memory -> shuffled
            -> augmented and parsed -> batches

An image larger than augmentation can ask for is shrunk to that size, once, instead of as a whole in each epoch. Where
all images fit in memory (`sizing.cache_budget`), they are decoded once. Otherwise no more is kept than the shuffle
buffer of encoded images, whose bytes experiment.yaml bounds, and the batches that are being made.
"""

import contextlib
import functools
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from odtl.augmentation import Augmentation, augment
from odtl.oversampling import oversampled
from odtl.training.options import Options
from odtl.training.sizing import MAX_CACHE_BYTES, cache_budget, estimate, first_spans

# Of the memory for caches, what the parsed validation images may take.
VALIDATION_SHARE = 0.25
# So many files are read in turn: images that stand together are hardly in one batch.
FILES_AT_ONCE = 16

# What a training batch's labels hold beside official.vision's own: the number of each image (`records.source_id`),
# int64 (batch,), or (batch, n) where an example was made of n images. `watching` tells by it which are at fault.
SOURCE_ID = "source_id"


def build_inputs(task, params, options: Options, input_context=None):
    """Return a `tf.data.Dataset` of batches, (images, labels); those for training have SOURCE_ID in their labels.

    task: official.vision's. params: its configuration of the data, for training or for validation. Training data have
    no end; each image comes once in each epoch. Validation data are what official.vision makes of them.

    input_context: where a training is spread over devices: of how many batches these are one. Of several processes,
    each gets its share of the images of a step, the same ones in all as one process would; but all validation images.
    """
    if not params.is_training:
        return _cached_if_small(task.build_inputs(params, _of_all(input_context)), params)
    repeat = _repeating(options, params.seed)
    change = _augmentation(options, params.seed, input_context.input_pipeline_id if input_context else 0)

    def sample(images):
        return change(repeat(images, _classes_of_decoded))

    def make_reader(params, decoder_fn, parser_fn, **others):
        parser_fn = _keeping_source(parser_fn)
        if not _are_plain_records(params):
            # Theirs has shuffled and repeated the images when it calls `sample`.
            return official(params, decoder_fn=decoder_fn, parser_fn=parser_fn, sample_fn=sample, **others)
        # The order of the images depends on whether they are cached: that must not go by what memory is free just now,
        # and be the same in all processes.
        fixed = options.deterministic or options.workers > 1
        budget = MAX_CACHE_BYTES if fixed else cache_budget()
        size = tuple(task.task_config.model.input_size[:2])
        return _Reader(params, size, budget, decoder_fn, repeat, change, parser_fn)

    with _reader_made_by(make_reader) as official:
        return task.build_inputs(params, input_context)


def _of_all(input_context):
    """Return the context of one process that reads all there is: each sees all validation images, once."""
    import tensorflow as tf

    if input_context is None or input_context.num_input_pipelines == 1:
        return input_context
    return tf.distribute.InputContext(num_replicas_in_sync=input_context.num_replicas_in_sync)


def _keeping_source(parse: Callable) -> Callable:
    """Return a parser for training that keeps the number of the image, which official.vision's drop."""
    import tensorflow as tf
    from official.vision.dataloaders import utils

    def keeping(decoded):
        # In deterministic mode TensorFlow splits this function in two, and loses the control dependencies that
        # official.vision's parsers have on its arguments. Those on copies of them stay.
        image, labels = parse(tf.nest.map_structure(tf.identity, decoded))
        return image, {**labels, SOURCE_ID: utils.process_source_id(decoded["source_id"])}

    return keeping


def _repeating(options: Options, seed: int | None) -> Callable:
    """Return what repeats the elements of a dataset, given with how to tell their classes, as the options ask for."""
    if options.repeats is None:
        return lambda elements, classes_of: elements
    by_id = np.array(options.repeats, np.float32)
    return lambda elements, classes_of: oversampled(elements, classes_of, by_id, seed)


def _classes_of_decoded(decoded):
    return decoded["groundtruth_classes"]


def _classes_of_record(serialized):
    import tensorflow as tf

    key = "image/object/class/label"
    return tf.io.parse_single_example(serialized, {key: tf.io.VarLenFeature(tf.int64)})[key].values


def _augmentation(options: Options, seed: int | None, process: int) -> Callable:
    """Return what changes a dataset of decoded images as the options ask for, in each process in another way."""
    seed = (_seed(seed) + process) % 2**63
    return functools.partial(augment, settings=Augmentation.of(options.augmentation), seed=seed)


def _seed(seed: int | None) -> int:
    """Return the seed of the augmentation, which follows from TensorFlow's, too: a resumed run has another."""
    import tensorflow as tf

    whole, own = tf.compat.v1.get_seed(seed)
    return random.getrandbits(63) if own is None else ((whole or 0) << 32 ^ own) % 2**63


class _Reader:
    """What stands in for official.vision's `InputReader` while a task builds its training data."""

    def __init__(
        self,
        params,
        input_size: tuple[int, int],
        budget: int,
        decode: Callable,
        repeat: Callable,
        change: Callable,
        parse: Callable,
    ) -> None:
        self.params, self.budget = params, budget
        self.decode, self.repeat, self.change, self.parse = decode, repeat, change, parse
        self.bound = largest_wanted(params.parser, input_size)
        # Where an image is stretched to the square, each side must be as long as wanted.
        self.covering = not params.parser.as_dict().get("keep_aspect_ratio", True)

    def read(self, input_context=None):
        import tensorflow as tf

        images = self.change(self._read_decoded(input_context))
        with _numbers_of_its_own(input_context):
            images = images.map(self.parse, num_parallel_calls=tf.data.AUTOTUNE)
        batch_size = self.params.global_batch_size
        if input_context:
            batch_size = input_context.get_per_replica_batch_size(batch_size)
        batches = images.batch(batch_size, drop_remainder=self.params.drop_remainder)
        return batches.with_options(self._options()).prefetch(tf.data.AUTOTUNE)

    def _read_decoded(self, input_context):
        """Return decoded images without end, in another order in each epoch; of several processes, every n-th one."""
        import tensorflow as tf

        params = self.params
        found = estimate(params.input_path, self.bound, self.budget, self.covering)
        encoded = _read_encoded(params)
        if not found:
            encoded = self.repeat(encoded, _classes_of_record).shuffle(params.shuffle_buffer_size, params.seed)
            encoded = _share(encoded.repeat(), input_context)
            return encoded.map(self._decode, num_parallel_calls=tf.data.AUTOTUNE)
        encoded = encoded.shuffle(params.shuffle_buffer_size, params.seed)
        decoded = encoded.map(self._decode, num_parallel_calls=tf.data.AUTOTUNE).cache()
        epoch = self.repeat(decoded, _classes_of_decoded)
        # The first epoch fills the cache as it goes. Shuffling at once would decode all images before the first step.
        return _share(epoch.concatenate(epoch.shuffle(max(1, found.images), params.seed).repeat()), input_context)

    def _decode(self, serialized) -> dict[str, Any]:
        decoded = self.decode(serialized)
        return {**decoded, "image": shrink(decoded["image"], self.bound, self.covering)} if self.bound else decoded

    def _options(self):
        import tensorflow as tf

        options = tf.data.Options()
        if self.params.deterministic is not None:
            options.deterministic = self.params.deterministic
        return options


def _share(images, input_context):
    """Return the share of one process of what all read in the same order: so no two have the same image in a step."""
    if input_context is None or input_context.num_input_pipelines == 1:
        return images
    return images.shard(input_context.num_input_pipelines, input_context.input_pipeline_id)


@contextlib.contextmanager
def _numbers_of_its_own(input_context) -> Iterator[None]:
    """Let the functions that are traced in the block draw other random numbers in each process than in the first."""
    import tensorflow as tf

    process = input_context.input_pipeline_id if input_context else 0
    whole = tf.compat.v1.get_seed(None)[0] if process else None
    if whole is None:
        yield
        return
    tf.random.set_seed(whole + process)
    try:
        yield
    finally:
        tf.random.set_seed(whole)


def largest_wanted(parser, input_size: tuple[int, int]) -> tuple[float, float] | None:
    """Return the largest (height, width) that official.vision's parser scales an image into; None: not known.

    parser: its configuration. Policies whose steps are measured in pixels of the original, or cut a part out of it,
    need the original.
    """
    settings = parser.as_dict()
    if settings.get("aug_type") or settings.get("aug_rand_jpeg") or settings.get("aug_policy"):
        return None
    largest = max(1.0, parser.aug_scale_max)
    return largest * input_size[0], largest * input_size[1]


def shrink(image, bound: tuple[float, float], covering: bool = False):
    """Return a uint8 image of shape (height, width, 3), shrunk as `sizing.shrunk_size` says; smaller ones as they are.

    By bilinear interpolation without anti-aliasing, as official.vision scales images for training and serving.
    """
    import tensorflow as tf

    size = tf.cast(tf.shape(image)[:2], tf.float32)
    ratios = tf.constant(bound, tf.float32) / size
    ratio = tf.reduce_max(ratios) if covering else tf.reduce_min(ratios)

    def shrunk():
        smaller = tf.image.resize(image, tf.cast(tf.math.ceil(size * ratio), tf.int32))
        return tf.cast(tf.round(smaller), tf.uint8)

    return tf.ensure_shape(tf.cond(ratio < 1, shrunk, lambda: image), [None, None, 3])


def _read_encoded(params):
    """Return the records of one epoch, as they stand in the files; the files in another order in each epoch."""
    import tensorflow as tf

    files = tf.data.Dataset.from_tensor_slices(list(params.input_path))
    files = files.shuffle(len(params.input_path), params.seed)
    return files.interleave(tf.data.TFRecordDataset, cycle_length=FILES_AT_ONCE)


def _are_plain_records(params) -> bool:
    """Whether the data are TFRecord files and nothing is asked for that only official.vision's reader does."""
    settings = params.as_dict()
    special = ("cache", "tfds_name", "enable_tf_data_service", "pseudo_label_data", "weights")
    paths = settings["input_path"]
    if any(settings.get(name) for name in special) or not isinstance(paths, list | tuple):
        return False
    return settings["file_type"] == "tfrecord" and not any(set(path) & set(",*?") for path in paths)


def _cached_if_small(dataset, params):
    """Keep parsed validation batches where they are few: each evaluation sees the same ones."""
    if not _are_plain_records(params):
        return dataset
    import tensorflow as tf

    each = sum(spec.dtype.size * math.prod(spec.shape[1:]) for spec in tf.nest.flatten(dataset.element_spec))
    limit = int(VALIDATION_SHARE * cache_budget() / each)
    return dataset.cache() if len(first_spans(params.input_path, limit + 1)) <= limit else dataset


@contextlib.contextmanager
def _reader_made_by(make_reader: Callable) -> Iterator[Callable]:
    """Let official.vision's tasks take their readers from `make_reader`, and yield what they took them from before.

    No task takes decoder and parser apart itself.
    """
    from official.vision.dataloaders import input_reader_factory

    original = input_reader_factory.input_reader_generator
    input_reader_factory.input_reader_generator = make_reader
    try:
        yield original
    finally:
        input_reader_factory.input_reader_generator = original
