"""Batch, steps, learning rate, optimiser and averages of a pipeline.config.

Fields and their defaults: object_detection/protos/{train,optimizer}.proto of github.com/tensorflow/models.
"""

import re
from collections.abc import Mapping
from typing import Any

from odtl.pipeline_config.document import Document, Leaf
from odtl.pipeline_config.translation import Fate, Translation

TRAIN = "train_config"
_OPTIMIZER = f"{TRAIN}.optimizer"
_FORM = "overrides.trainer.optimizer_config.learning_rate"
_WARMUP_RATE = "overrides.trainer.optimizer_config.warmup.linear.warmup_learning_rate"
# What an experiment's own key makes void of what is translated to `overrides`, which would have the last word.
FOLLOWS = {
    "learning_rate": (_FORM, _WARMUP_RATE),
    "train_steps": (_FORM,),
    "warmup_steps": (_WARMUP_RATE,),
}
# Of a larger one, a single machine rarely has the memory.
_LARGE_BATCH = 64
_DEFAULTS = {
    "constant_learning_rate": {"learning_rate": 0.002},
    "exponential_decay_learning_rate": {
        "initial_learning_rate": 0.002,
        "decay_steps": 4_000_000,
        "decay_factor": 0.95,
        "staircase": True,
    },
    "manual_step_learning_rate": {"initial_learning_rate": 0.002, "warmup": False},
    "cosine_decay_learning_rate": {
        "learning_rate_base": 0.002,
        "total_steps": 4_000_000,
        "warmup_learning_rate": 0.0002,
        "warmup_steps": 10_000,
    },
}
# Name in the file -> (official.vision's type, field there -> (field in the file, default)).
_OPTIMIZERS = {
    "momentum_optimizer": ("sgd", {"momentum": ("momentum_optimizer_value", 0.9)}),
    "rms_prop_optimizer": (
        "rmsprop",
        {"rho": ("decay", 0.9), "momentum": ("momentum_optimizer_value", 0.9), "epsilon": ("epsilon", 1.0)},
    ),
    "adam_optimizer": ("adam", {"epsilon": ("epsilon", 1e-8)}),
}


def translate_learning(document: Document, result: Translation) -> None:
    """Translate how it is learnt."""
    train = document.named(TRAIN)
    steps = _translate_spans(document, train, result)
    name = next((inner.name for field in document.messages(_OPTIMIZER) for inner in field.value), "")
    if name in _OPTIMIZERS:
        _translate_optimizer(document, name, train.get("gradient_clipping_by_norm"), result)
        path = f"{_OPTIMIZER}.{name}.learning_rate"
        kind = next((inner.name for field in document.messages(path) for inner in field.value), "")
        if kind in _DEFAULTS:
            _translate_rate(document, f"{path}.{kind}", steps, result)
    _translate_average(document, result)
    _translate_frozen(document, result)


def _translate_spans(document: Document, train: Mapping[str, Leaf], result: Translation) -> int | None:
    """Translate batch and steps; return the steps, None for without end."""
    if batch := train.get("batch_size"):
        size = document.number(batch, above=0, whole=True)
        note = (
            "Made for several accelerators: where memory runs out, set it lower, or to null, which stands for what "
            "fits, and learning_rate to null with it."
        )
        result.set("batch_size", size, batch, note if size > _LARGE_BATCH else "")
    steps = train.get("num_steps")
    if not steps:
        result.remarks.append("No num_steps: the old training had no end; here it follows from the number of images.")
        return None
    count = document.number(steps, least=0, whole=True)
    if not count:
        result.tell(Fate.OTHERWISE, steps, "0 stood for no end; here it follows from the number of images.")
        return None
    result.set("train_steps", count, steps, "`train_steps: null` would follow from the number of images instead.")
    return count


def _translate_optimizer(document: Document, name: str, clipping: Leaf | None, result: Translation) -> None:
    kind, fields = _OPTIMIZERS[name]
    leaves = document.named(f"{_OPTIMIZER}.{name}")
    place = "overrides.trainer.optimizer_config.optimizer"
    values, told = {}, []
    for ours, (theirs, default) in fields.items():
        leaf = leaves.get(theirs)
        values[ours] = default if leaf is None else document.number(leaf, least=0)
        told += [leaf] if leaf else []
    told = told or [leaf for leaf in document.leaves if leaf.path == f"{_OPTIMIZER}.{name}"]
    result.set(f"{place}.type", kind, [])
    result.set(f"{place}.{kind}", values, told)
    if clipping is None:
        return
    norm = document.number(clipping, least=0)
    if norm:
        result.set(f"{place}.{kind}.clipnorm", norm, clipping)
    else:
        note = "SGD's gradients are clipped to a norm of 10: a fresh head gives large ones at first."
        result.tell(Fate.OTHERWISE, clipping, note)


def _translate_rate(document: Document, path: str, steps: int | None, result: Translation) -> None:
    kind = path.rsplit(".", 1)[-1]
    leaves = document.named(path)
    value = dict(_DEFAULTS[kind])
    for name in value:
        if leaf := leaves.get(name):
            whole = name in ("decay_steps", "total_steps", "warmup_steps")
            flag = isinstance(value[name], bool)
            value[name] = document.flag(leaf) if flag else document.number(leaf, least=0, whole=whole)
    match kind:
        case "constant_learning_rate":
            _set_rate(value["learning_rate"], _constant(value["learning_rate"]), leaves.values(), result)
        case "exponential_decay_learning_rate":
            _exponential(value, leaves, steps, result)
        case "manual_step_learning_rate":
            _manual(document, path, value, leaves, steps, result)
        case "cosine_decay_learning_rate":
            _cosine(document, value, leaves, steps, result)


def _set_rate(rate: float, form: Mapping[str, Any] | None, leaves, result: Translation, note: str = "") -> None:
    """Set the learning rate, and its form if it is not the cosine over all steps that is usual here."""
    if not rate:
        result.tell(Fate.OTHERWISE, leaves, "Nothing is learnt at a rate of 0: it follows from the batch size.")
        return
    result.set("learning_rate", rate, list(leaves), note)
    if form:
        result.set(_FORM, dict(form), [])


def _constant(rate: float) -> dict[str, Any]:
    return {"type": "constant", "constant": {"learning_rate": rate}}


def _exponential(value, leaves, steps: int | None, result: Translation) -> None:
    rate, every = value["initial_learning_rate"], max(1, value["decay_steps"])
    told = [leaves[name] for name in value if name in leaves]
    if value["staircase"] and steps is not None and every >= steps:
        note = f"Its first step down comes after {every:,} steps, which is never: the rate is constant."
        _set_rate(rate, _constant(rate), told, result, note)
        return
    form = {
        "initial_learning_rate": rate,
        "decay_steps": every,
        "decay_rate": value["decay_factor"],
        "staircase": value["staircase"],
    }
    _set_rate(rate, {"type": "exponential", "exponential": form}, told, result)


def _manual(document: Document, path: str, value, leaves, steps: int | None, result: Translation) -> None:
    told = [leaves[name] for name in ("initial_learning_rate", "warmup") if name in leaves]
    told += document.under(f"{path}.schedule")
    stairs = []
    for field in document.messages(f"{path}.schedule"):
        inner = {each.name: Leaf(f"{path}.schedule.{each.name}", each.value, each.line) for each in field.value}
        start = document.number(inner["step"], least=0, whole=True) if "step" in inner else 0
        rate = document.number(inner["learning_rate"], least=0) if "learning_rate" in inner else 0.002
        stairs.append((start, rate))
    stairs.sort()
    rate, note = value["initial_learning_rate"], ""
    if value["warmup"] and stairs and stairs[0][0] > 0:
        (rising, rate), *stairs = stairs
        _set_warmup(rising, value["initial_learning_rate"], [], steps, result)
    while stairs and stairs[0][0] == 0:
        rate = stairs.pop(0)[1]
    taken = [stair for stair in stairs if steps is None or stair[0] < steps]
    if stairs and not taken:
        note = f"Its first step down comes after {stairs[0][0]:,} steps, which is never: the rate is constant."
    form = {"boundaries": [start for start, _ in taken], "values": [rate, *(lower for _, lower in taken)]}
    _set_rate(rate, {"type": "stepwise", "stepwise": form} if taken else _constant(rate), told, result, note)


def _cosine(document: Document, value, leaves, steps: int | None, result: Translation) -> None:
    told = [leaves[name] for name in ("learning_rate_base", "total_steps") if name in leaves]
    total = max(1, value["total_steps"])
    form = None if total == steps else {"type": "cosine", "cosine": {"decay_steps": total}}
    note = "" if form is None else f"The cosine ends at step {total:,}, as it did, not with train_steps."
    _set_rate(value["learning_rate_base"], form, told, result, note)
    written = [leaves[name] for name in ("warmup_steps", "warmup_learning_rate") if name in leaves]
    _set_warmup(value["warmup_steps"], value["warmup_learning_rate"], written, steps, result)
    if (hold := leaves.get("hold_base_rate_steps")) and document.number(hold):
        result.tell(Fate.NONE, hold, "The cosine falls from the end of the warm-up.")


def _set_warmup(rising: int, first: float, leaves, steps: int | None, result: Translation) -> None:
    if steps is not None and rising >= steps:
        note = f"{rising:,} steps of warm-up are longer than the training: it follows from train_steps."
        result.tell(Fate.OTHERWISE, leaves, note)
        return
    result.set("warmup_steps", rising, leaves, "" if leaves else "What the API takes where nothing is said.")
    if rising:
        result.set(_WARMUP_RATE, first, [])


def _translate_average(document: Document, result: Translation) -> None:
    """Translate the averages of the weights, which that API always makes unless told not to, but rarely uses."""
    own = document.named(_OPTIMIZER)
    wanted, decay = own.get("use_moving_average"), own.get("moving_average_decay")
    used = document.leaf("eval_config.use_moving_averages")
    leaves = [leaf for leaf in (wanted, decay, used) if leaf]
    makes = document.flag(wanted) if wanted else True
    kept = document.number(decay, least=0) if decay else 0.9999
    if makes and 0 < kept < 1 and used and document.flag(used):
        result.set("ema", kept, leaves)
    else:
        note = "Averages of the weights were not evaluated (eval_config.use_moving_averages): there are none (`ema`)."
        result.tell(Fate.NEEDLESS, leaves, note)


def _translate_frozen(document: Document, result: Translation) -> None:
    leaves = [leaf for leaf in document.leaves if leaf.path == f"{TRAIN}.freeze_variables"]
    whole = re.compile(r"\W*(FirstStage)?FeatureExtractor\W*")
    if any(whole.fullmatch(document.text(leaf)) for leaf in leaves):
        result.set("freeze", "backbone", leaves)
    else:
        note = "Layers have other names here: `freeze: n` freezes the first n of the backbone, `backbone` all of it."
        result.tell(Fate.NONE, leaves, note)
