"""Checkpoints of weights, in official.vision's own layout, and the models that they belong to.

The layout is `tf.train.Checkpoint(model=model, **model.checkpoint_items)`: `{prefix}.index` and
`{prefix}.data-00000-of-00001`.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from odtl.errors import InputError, Problem
from odtl.experiment import read_experiment

# The parts of a detector that can be taken from a checkpoint; what each means is told at `restore_parts`.
PARTS = ("backbone", "decoder", "head", "classes")


@dataclass(frozen=True)
class Preprocessing:
    """What official.vision's parsers do to an image before a detector sees it.

    input_size:        (height, width) in pixels that the image is scaled into: `task.model.input_size`.
    padded_size:       (height, width) in pixels of the tensor; zeros are added at the bottom and on the right.
    keep_aspect_ratio: one scale for both axes (True) or one for each: `task.validation_data.parser.keep_aspect_ratio`.
    mean, stddev:      per channel (red, green, blue), of intensities in [0, 1]. They are constants of
                       `official.vision.ops.preprocess_ops` (those of ImageNet): no configuration reaches them, and
                       `official.vision.serving.detection` applies the same.
    """

    input_size: tuple[int, int]
    padded_size: tuple[int, int]
    keep_aspect_ratio: bool
    mean: tuple[float, float, float]
    stddev: tuple[float, float, float]

    def apply(self, image):
        """Return the model's input for one image, and how it was made.

        image: uint8, shape (height, width, 3), RGB.
        Returns (tensor, image_info): float32 of shape (*padded_size, 3); and float32 of shape (4, 2), rows (original
        height, width), (input height, width), (y scale, x scale), (y offset, x offset). A box of the original in
        pixels, times the scale, is a box of the tensor.
        """
        import tensorflow as tf
        from official.vision.ops import preprocess_ops

        image = tf.ensure_shape(tf.convert_to_tensor(image, tf.uint8), [None, None, 3])
        return preprocess_ops.resize_and_crop_image(
            preprocess_ops.normalize_image(image, self.mean, self.stddev),
            list(self.input_size),
            padded_size=list(self.padded_size),
            aug_scale_min=1.0,
            aug_scale_max=1.0,
            keep_aspect_ratio=self.keep_aspect_ratio,
        )


def preprocessing_constants() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and stddev, per channel, of intensities in [0, 1], that official.vision's parsers normalise with."""
    from official.vision.ops import preprocess_ops

    return preprocess_ops.MEAN_NORM, preprocess_ops.STDDEV_NORM


def preprocessing(config) -> Preprocessing:
    """Return what a detector of this experiment expects to be done to an image at evaluation.

    config: an ExperimentConfig whose parser has `pad` and `keep_aspect_ratio`, as all detectors' have.
    """
    from official.vision.ops import preprocess_ops

    model, parser = config.task.model, config.task.validation_data.parser
    input_size = [int(side) for side in model.input_size[:2]]
    # The levels of a feature pyramid must be exact halves of each other.
    padded = preprocess_ops.compute_padded_size(input_size, 2**model.max_level) if parser.pad else input_size
    return Preprocessing(
        tuple(input_size),
        tuple(int(side) for side in padded),
        bool(parser.keep_aspect_ratio),
        *preprocessing_constants(),
    )


def is_whole(prefix: str | os.PathLike) -> bool:
    """Say whether every tensor of a checkpoint can be read; its index alone proves nothing about the data."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    # What TensorFlow raises depends on what is missing: ValueError, NotFoundError, DataLossError, RuntimeError, ...
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError):
        return False
    return True


def load_model(experiment_path: str | os.PathLike, factory: str, checkpoint_prefix: str | os.PathLike):
    """Return (model, config): a trained detector, ready for inference, and its ExperimentConfig.

    experiment_path:   experiment.yaml.
    factory:           the experiment's factory, as the zoo names it.
    checkpoint_prefix: path of the checkpoint without `.index`.

    model(images, image_shape=..., anchor_boxes=None, training=False) takes float32 images as `preprocessing(config)`
    makes them, of shape (batch, *padded_size, 3), and image_shape of shape (batch, 2), `image_info[:, 1, :]`.
    It gives detection_boxes (batch, n, 4) as ymin, xmin, ymax, xmax in pixels of the tensor, detection_classes
    (batch, n) with ids of the label map, detection_scores (batch, n), num_detections (batch,).

    Raises InputError where the checkpoint is not whole or does not fit the experiment's model.
    """
    config = read_experiment(experiment_path, factory)
    model = build_model(config)
    read_weights(model, checkpoint_prefix)
    return model, config


def build_model(config):
    """Return the Keras model of an ExperimentConfig, with fresh weights."""
    from official.core import task_factory

    ignore_unused_levels()
    return task_factory.get_task(config.task).build_model()


def ignore_unused_levels() -> None:
    """Silence Keras where a backbone offers more levels than the decoder asks for, which is as it should be."""
    warnings.filterwarnings("ignore", message="Input dict contained keys")


def weights_of(model):
    """Return the `tf.train.Checkpoint` that holds a model's weights in official.vision's layout."""
    import tensorflow as tf

    return tf.train.Checkpoint(model=model, **getattr(model, "checkpoint_items", {}))


def read_weights(model, prefix: str | os.PathLike) -> None:
    """Read all of a model's weights from a checkpoint; InputError where it is not whole or does not fit."""
    if not is_whole(prefix):
        raise InputError(
            Problem(str(prefix), "checkpoint", "an incomplete one or none", "Train again, or name another checkpoint.")
        )
    try:
        weights_of(model).read(str(prefix)).assert_existing_objects_matched().expect_partial()
    # A shape that differs is a ValueError, a weight that is not in the file an AssertionError.
    except (AssertionError, ValueError) as error:
        raise InputError(
            Problem(str(prefix), "weights", str(error).splitlines()[0], "The checkpoint is of another model.")
        ) from error


@dataclass(frozen=True)
class Restored:
    """How much of a model came from a checkpoint.

    taken: part -> (weights taken, weights the part has).
    fresh: weights of those parts that were not taken -> why.
    """

    taken: Mapping[str, tuple[int, int]]
    fresh: Mapping[str, str]

    def as_dict(self) -> dict:
        """Return it as JSON can hold it."""
        taken = {part: {"taken": taken, "of": total} for part, (taken, total) in self.taken.items()}
        return {"parts": taken, "fresh": dict(self.fresh)}

    def __str__(self) -> str:
        return ", ".join(f"{part} {taken} of {total}" for part, (taken, total) in self.taken.items())


def restore_parts(model, prefix: str | os.PathLike, parts: Sequence[str], config) -> Restored:
    """Put into a model those weights of a checkpoint that fit it, and say how many they were.

    prefix: of a checkpoint whose root holds backbone, decoder and heads by name, or does so under `model`: what
            official.vision's trainers save, for detectors and for classifiers.
    parts:  "backbone"; "decoder"; "head", which is all else, but what depends on the classes stays fresh; "classes",
            that, too: right only where the checkpoint is of the same label map.
    config: the model's ExperimentConfig.

    Weights are matched by their place in the object graph, as TensorFlow does, and taken where the shape is the same.
    Raises InputError where a part is unknown, where the checkpoint is not whole, where nothing of it fits, or where
    only pieces of the backbone fit: those belong to another network.
    """
    if unknown := sorted(set(parts) - set(PARTS)):
        cure = f"Allowed: {', '.join(PARTS)}."
        raise InputError(Problem("zoo", "restore", ", ".join(map(repr, unknown)), cure))
    if not is_whole(prefix):
        cure = "Fetch the pretrained model again, or name another checkpoint."
        raise InputError(Problem(str(prefix), "checkpoint", "an incomplete one or none", cure))
    saved = _SavedWeights(prefix)
    wanted = [part for part in PARTS if part in parts and part != "classes"]
    modules = {part: _modules(model, part) for part in wanted}
    plan = {part: _plan(saved, modules[part]) for part in wanted}
    fresh = {name: reason for matches in plan.values() for name, (_, _, reason) in matches.items() if reason}
    if "head" in plan and "classes" not in parts and not any(reason for _, _, reason in plan["head"].values()):
        # As many classes here as there: shapes do not tell which weights are theirs.
        for name in _class_dependent(modules["head"], config):
            fresh[name] = "depends on the classes"
    _check_plan(plan, fresh, prefix)
    for matches in plan.values():
        for name, (variable, key, _) in matches.items():
            if name not in fresh:
                variable.assign(saved.tensor(key))
    taken = {part: (sum(name not in fresh for name in matches), len(matches)) for part, matches in plan.items()}
    return Restored(taken, fresh)


def restore_detector(
    model, prefix: str | os.PathLike, config, before: Mapping[str, int], now: Mapping[str, int]
) -> Restored:
    """Put the weights of a detector of the same kind into a model, those of each class where its name is now.

    prefix:      of the other detector's checkpoint, in official.vision's layout.
    config:      the model's ExperimentConfig.
    before, now: name -> id (from 1) of the classes of the checkpoint and of the model.

    The background keeps its place; classes that the checkpoint does not know stay as they are. Raises InputError as
    `restore_parts` does.
    """
    if dict(before) == dict(now):
        return restore_parts(model, prefix, PARTS, config)
    # Equal shapes do not mean equal classes: what depends on them is put in its place below.
    restored = restore_parts(model, prefix, ("backbone", "decoder", "head"), config)
    saved, modules = _SavedWeights(prefix), _modules(model, "head")
    plan, dependent = _plan(saved, modules), _class_dependent(modules, config)
    rows = class_rows(before, now)
    placed = set()
    for part, module in modules.items():
        for name in _weights_by_place(part, module).keys() & dependent.keys():
            variable, key, _ = plan[name]
            by_class = _classes_first(module)
            if key is not None and by_class is not None:
                axis = dependent[name]
                sizes = len(before) + 1, len(now) + 1
                variable.assign(move_rows(saved.tensor(key), variable.numpy(), axis, sizes, rows, by_class))
                placed.add(name)
    taken, total = restored.taken["head"]
    fresh = {name: reason for name, reason in restored.fresh.items() if name not in placed}
    return Restored({**restored.taken, "head": (taken + len(placed), total)}, fresh)


def class_rows(before: Mapping[str, int], now: Mapping[str, int]) -> dict[int, int]:
    """Return new id -> old id of the classes that two label maps share by name, and of the background, 0."""
    return {0: 0, **{number: before[name] for name, number in now.items() if name in before}}


def move_rows(
    old: np.ndarray, new: np.ndarray, axis: int, classes: tuple[int, int], rows: Mapping[int, int], classes_first: bool
) -> np.ndarray:
    """Return a copy of `new` with the values that `old` has for the same classes.

    old, new:      weights of one layer; equal in shape but along `axis`, which holds n values for each class.
    classes:       of old and new, the background among them.
    rows:          new id -> old id.
    classes_first: whether `axis` holds all values of one class together (True), or all classes of the first anchor,
                   then all of the second, ... (False).
    """
    shapes = []
    for array, count in zip((old, new), classes, strict=True):
        each = array.shape[axis] // count
        split = (count, each) if classes_first else (each, count)
        shapes.append((*array.shape[:axis], *split, *array.shape[axis + 1 :]))
    at = axis if classes_first else axis + 1
    source, target = np.moveaxis(old.reshape(shapes[0]), at, 0), np.array(new).reshape(shapes[1])
    places = np.moveaxis(target, at, 0)
    for to, origin in rows.items():
        places[to] = source[origin]
    return target.reshape(new.shape)


def fold_normalisation(backbone, mean: Sequence[float], stddev: Sequence[float]) -> bool:
    """Change the first convolution of a backbone so that it takes the parsers' images instead of those it was made for.

    mean, stddev: per channel, of intensities in [0, 1], that the backbone's weights were trained with.

    official.vision's parsers and its serving code always normalise with ImageNet's figures. With p the intensity, the
    weights want y = (p - mean') / stddev' and are given x = (p - mean) / stddev; a convolution is linear, so its kernel
    takes the factor stddev / stddev' per channel, and the constant that remains goes into the mean of the batch
    normalisation that follows. Exact but for the border, where the padding is ImageNet's mean and no longer theirs.

    Returns whether it was done: only where just one convolution takes three channels and batch normalisation follows.
    """
    import tf_keras

    ours = preprocessing_constants()
    if np.allclose(ours, (mean, stddev)):
        return True
    first = [
        layer
        for layer in backbone.submodules
        if isinstance(layer, tf_keras.layers.Conv2D)
        and not isinstance(layer, tf_keras.layers.DepthwiseConv2D)
        # Blocks hold layers that they never use, and so never build.
        and layer.built
        and layer.kernel.shape[2] == len(mean)
    ]
    if len(first) != 1 or first[0].use_bias:
        return False
    places = [id(weight) for weight in backbone.weights]
    following = places[places.index(id(first[0].kernel)) + 1]
    norms = [layer for layer in backbone.submodules if isinstance(layer, tf_keras.layers.BatchNormalization)]
    norm = next((layer for layer in norms if following in (id(layer.gamma), id(layer.beta))), None)
    if norm is None:
        return False
    kernel = first[0].kernel.numpy()
    factor = np.divide(ours[1], stddev)
    constant = np.divide(np.subtract(ours[0], mean), stddev)
    first[0].kernel.assign(kernel * factor[None, None, :, None])
    norm.moving_mean.assign(norm.moving_mean.numpy() - np.einsum("hwio,i->o", kernel, constant))
    return True


class _SavedWeights:
    """The weights of a checkpoint, by their place in its object graph."""

    def __init__(self, prefix: str | os.PathLike) -> None:
        import tensorflow as tf
        from tensorflow.core.protobuf import trackable_object_graph_pb2

        self._reader = tf.train.load_checkpoint(str(prefix))
        self._shapes = self._reader.get_variable_to_shape_map()
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        if "_CHECKPOINTABLE_OBJECT_GRAPH" in self._shapes:
            graph.ParseFromString(self._reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        self._nodes = graph.nodes

    def keys_of(self, name: str, module) -> dict[int, str]:
        """Return id(variable) -> key for the variables of `module` that the checkpoint's part `name` has, too."""
        import tensorflow as tf

        keys, seen, queue = {}, set(), [(self._part(name), module)]
        while queue:
            number, here = queue.pop(0)
            if number is None or id(here) in seen:
                continue
            seen.add(id(here))
            for attribute in self._nodes[number].attributes:
                if attribute.name == "VARIABLE_VALUE":
                    keys[id(here)] = attribute.checkpoint_key
            children = self._children(number)
            queue += [(children.get(local), child) for local, child in tf.train.TrackableView.children(here).items()]
        return keys

    def shape(self, key: str) -> list[int]:
        return self._shapes[key]

    def tensor(self, key: str):
        return self._reader.get_tensor(key)

    def _part(self, name: str) -> int | None:
        if not self._nodes:
            return None
        root = self._children(0)
        inner = self._children(root["model"]) if "model" in root else {}
        # A Keras model tracks its parts as the attributes that hold them.
        return next(
            (found[at] for found, at in ((root, name), (inner, name), (inner, f"_{name}")) if at in found), None
        )

    def _children(self, number: int) -> dict[str, int]:
        return {child.local_name: child.node_id for child in self._nodes[number].children}


def _modules(model, part: str) -> dict:
    """Return name -> Keras layer of one part of a detector; the head of a two-stage detector is several."""
    items = dict(model.checkpoint_items)
    if part == "head":
        return {name: module for name, module in items.items() if name not in ("backbone", "decoder")}
    return {part: items[part]} if part in items else {}


def _plan(saved: _SavedWeights, modules: Mapping) -> dict[str, tuple]:
    """Return weight name -> (variable, key, reason); the reason why it cannot be taken is "" where it can."""
    plan = {}
    for part, module in modules.items():
        keys = saved.keys_of(part, module)
        for name, variable in _weights_by_place(part, module).items():
            key = keys.get(id(variable))
            if key is None:
                reason = "not in the checkpoint"
            elif list(variable.shape) != list(saved.shape(key)):
                reason = f"{list(saved.shape(key))} in the checkpoint, {list(variable.shape)} here"
            else:
                reason = ""
            plan[name] = (variable, key, reason)
    return plan


def _weights_by_place(name: str, module) -> dict[str, object]:
    """Return path in the object graph -> variable, for each weight of a layer once."""
    import tensorflow as tf

    wanted = {id(weight) for weight in module.weights}
    places, seen, queue = {}, set(), [(name, module)]
    while queue:
        path, here = queue.pop(0)
        if id(here) in seen:
            continue
        seen.add(id(here))
        if id(here) in wanted:
            places[path] = here
        queue += [(f"{path}/{local}", child) for local, child in tf.train.TrackableView.children(here).items()]
    return places


def _class_dependent(modules: Mapping, config) -> dict[str, int]:
    """Return the weights whose shape changes with the number of classes, name -> the axis in which it does.

    They are found by building the model with one class more.
    """
    other = config.replace()
    other.task.model.num_classes += 1
    others = _modules(build_model(other), "head")
    return {
        name: next(axis for axis, (one, two) in enumerate(zip(here.shape, there.shape, strict=True)) if one != two)
        for part, module in modules.items()
        for (name, here), there in zip(
            _weights_by_place(part, module).items(), _weights_by_place(part, others[part]).values(), strict=True
        )
        if here.shape != there.shape
    }


def _classes_first(module) -> bool | None:
    """Say in which order a head holds the values of the classes (see `move_rows`); None where that is not known.

    As the losses and the detection generator of official.vision take its outputs apart: `RetinaNetHead` has for each
    anchor all classes, `DetectionHead` for each class its four box offsets; with one value per class both are the same.
    """
    from official.vision.modeling.heads import dense_prediction_heads, instance_heads

    # A cascade has several detection heads; the usual one is a list, too.
    heads = list(module) if isinstance(module, list) else [module]
    if all(isinstance(head, dense_prediction_heads.RetinaNetHead) for head in heads):
        return False
    by_class = instance_heads.DetectionHead | instance_heads.MaskHead
    return True if all(isinstance(head, by_class) for head in heads) else None


def _check_plan(plan: Mapping[str, Mapping], fresh: Mapping[str, str], prefix: str | os.PathLike) -> None:
    if not any(name not in fresh for matches in plan.values() for name in matches):
        cure = f"Nothing in it fits this model's {', '.join(plan) or 'parts'}: is it of another model?"
        raise InputError(Problem(str(prefix), "weights", "none that can be used", cure))
    lost = {name: reason for name, reason in fresh.items() if name in plan.get("backbone", {})}
    if lost:
        name, reason = next(iter(lost.items()))
        found = f"{len(lost)} of {len(plan['backbone'])} backbone weights that do not fit, such as {name} ({reason})"
        cure = "The checkpoint is of another backbone: name one that fits, or leave `backbone` out of `restore`."
        raise InputError(Problem(str(prefix), "backbone", found, cure))
