"""Warm start: after a change in the data, go on from the last model instead of starting from the pretrained one.

`last_model` says what is kept of it.
"""

import dataclasses
import datetime
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from odtl.last_model import Change, Data, LastModel, compare, model_id, read_last
from odtl.training_state import State

# What build_experiment takes from the data; all else in an experiment is a setting.
DATA_KEYS = (
    "task.model.num_classes",
    "task.train_data.input_path",
    "task.train_data.parser.max_num_instances",
    "task.train_data.shuffle_buffer_size",
    "task.validation_data.input_path",
    "task.validation_data.parser.max_num_instances",
    "trainer.validation_steps",
)
# The pretrained checkpoint, the full training, and the latest of what followed.
MAX_LINEAGE = 50


@dataclass(frozen=True)
class WarmStart:
    """What `training.train` needs to know to start warm, and to let the next one.

    settings: `training.warm_start` of the configuration: when (never, always, small_change), max_change, train_steps,
              learning_rate.
    data:     what is learnt from now.
    origin:   what is known of the pretrained checkpoint, as its source.json has it; None: random weights.
    follows:  dotted keys of the experiment whose values follow from the data here, beside DATA_KEYS (see
              `schedule.places_left_to_data`): another value of them is no other setting.
    """

    settings: Mapping[str, Any]
    data: Data
    origin: Mapping[str, Any] | None = None
    follows: Sequence[str] = ()


@dataclass(frozen=True)
class Start:
    """From where a training starts, and why.

    parent:    `model` of the last model, or None where the training starts from the pretrained one.
    label_map: of the parent. lineage: of the parent. change: of the data since.
    train_steps, learning_rate: shares of the full schedule.
    """

    why: str
    parent: str | None = None
    label_map: Mapping[str, int] = field(default_factory=dict)
    lineage: Sequence[Mapping[str, Any]] = ()
    change: Change | None = None
    train_steps: float = 1.0
    learning_rate: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Start":
        """Return what `as_dict` was made of."""
        return cls(**{**content, "change": Change(**content["change"]) if content["change"] else None})


def settings_of(config, follows: Sequence[str] = (), **others: Any) -> dict[str, Any]:
    """Return all that weights depend on beside the data, flat: dotted key -> value.

    config: the ExperimentConfig of the full training. follows: its keys that follow from the data, beside DATA_KEYS.
    others: what it does not hold.
    """
    plain = json.loads(json.dumps({**config.as_dict(), **others}))
    return {key: value for key, value in _flat(plain) if key not in {*DATA_KEYS, *follows}}


@dataclass(frozen=True)
class Plan:
    """What a training does, and what its state belongs to.

    config: its ExperimentConfig, with the schedule that it follows. parts: of its fingerprint. factory: its kind.
    start, settings, label_map: from where it starts, what `warm_start.settings_of` gives, and name -> id of the
    classes; nothing where no warm start is asked for.
    """

    config: Any
    parts: Mapping[str, Any]
    start: Start | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    label_map: Mapping[str, int] = field(default_factory=dict)
    factory: str = ""


def plan_training(
    config, factory: str, state_folder: str | os.PathLike, parts: Mapping[str, Any], warm_start: WarmStart | None
) -> Plan:
    """Return from where a training starts, on which schedule, and what its state belongs to.

    config:     the ExperimentConfig of the full training. factory: the kind of experiment.
    parts:      of the fingerprint of the full training: `given`, `experiment`, `normalisation`, `options`,
                `folded_batch_norm`.
    warm_start: None where the training never starts warm.
    """
    if not warm_start:
        return Plan(config, parts, factory=factory)
    origin = warm_start.origin or {}
    settings = settings_of(
        config,
        warm_start.follows,
        factory=factory,
        normalisation=parts["normalisation"],
        options=parts["options"],
        classes=parts["classes"],
        folded_batch_norm=parts["folded_batch_norm"],
        pretrained=origin.get("sha256"),
        official=metadata.version("tf-models-official"),
    )
    start = _begun(warm_start, state_folder, parts)
    if start is None:
        start = decide(warm_start, read_last(State.last_in(state_folder)), settings)
    if start.parent:
        # The experiment holds the full schedule, so what was decided must tell this training from a full one.
        parts = {**parts, "start": start.as_dict()}
        config = shorten(config, start.train_steps, start.learning_rate)
    return Plan(config, parts, start, settings, warm_start.data.label_map, factory)


def _begun(warm_start: WarmStart, state_folder, parts: Mapping[str, Any]) -> Start | None:
    """Return how a training that a state is of, and that is to go on, has started; None where there is none.

    A finished one counts, too: what it left for the next training is itself by then, and says nothing of its start.
    """
    recorded = State.fingerprint_in(state_folder)
    if not isinstance(recorded, dict) or State(state_folder, recorded).latest() is None:
        return None
    begun = recorded.pop("start", None)
    if recorded != json.loads(json.dumps(parts)):
        return None
    if begun is None:
        return Start("this training has begun so")
    start = Start.from_dict(begun)
    return start if goes_on(warm_start, start) else None


def decide(warm_start: WarmStart, last: LastModel | None, settings: Mapping[str, Any]) -> Start:
    """Return from where to start: the last model if the configuration allows it and only the data have changed.

    settings: of this training, as `settings_of` gives them.
    """
    policy, data = warm_start.settings, warm_start.data
    if policy["when"] == "never":
        return Start("warm_start.when is never")
    if last is None:
        return Start("there is no last model to start from")
    if differing := sorted(
        key for key in settings.keys() | last.settings if settings.get(key) != last.settings.get(key)
    ):
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        return Start(f"settings have changed since the last model: {', '.join(differing[:3])}{more}")
    if data == last.data:
        return Start("the last model has learnt from the same data")
    change = compare(last.data.images, data.images)
    if not _allowed(policy, change):
        return Start(f"{change}, more than max_change ({100 * policy['max_change']:g} %)")
    return Start(
        f"{_describe(last)}: {change}{_describe_classes(last.data.label_map, data.label_map)}",
        last.model,
        last.data.label_map,
        last.lineage,
        change,
        policy["train_steps"],
        policy["learning_rate"],
    )


def goes_on(warm_start: WarmStart, begun: Start) -> bool:
    """Say whether the configuration still asks for a warm start that an earlier run has begun with."""
    policy = warm_start.settings
    same = (policy["train_steps"], policy["learning_rate"]) == (begun.train_steps, begun.learning_rate)
    return same and _allowed(policy, begun.change)


def _allowed(policy: Mapping[str, Any], change: Change) -> bool:
    return policy["when"] == "always" or (policy["when"] == "small_change" and change.share <= policy["max_change"])


def shorten(config, train_steps: float, learning_rate: float):
    """Return a copy of an ExperimentConfig with a shorter and lower schedule of the same form.

    train_steps, learning_rate: shares of the full schedule's. The warm-up and the intervals between evaluations shrink
    with the steps; checkpoints are written as often as before, for they cost the same.
    """
    short = config.replace()
    trainer = short.trainer
    trainer.train_steps = total = _scaled_span(trainer.train_steps, train_steps)
    trainer.validation_interval = min(total, max(1, round(trainer.validation_interval * train_steps)))
    trainer.checkpoint_interval = min(total, trainer.checkpoint_interval)
    for schedule in (trainer.optimizer_config.learning_rate, trainer.optimizer_config.warmup):
        chosen = schedule.get() if schedule.type else None
        for name, scale in SCALED.items():
            if getattr(chosen, name, None) is not None:
                share = learning_rate if scale is _scaled_rate else train_steps
                setattr(chosen, name, _each(scale, getattr(chosen, name), share))
    short.lock()
    return short


def lineage_of(
    warm_start: WarmStart,
    start: Start,
    last: LastModel | None,
    prefix: str | os.PathLike,
    summary: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return where the model that a training exports comes from, oldest first.

    last: the model that the training's state keeps. prefix: of the weights that are exported. summary: of the training,
    as training.json has it.

    The first entry is {"pretrained": origin}. Each other one is of a training: `model`, the SHA-256 of its weights;
    `started_from`, that of the model before, or "pretrained"; `date` (UTC); `data`: `digest`, number of `images`, and
    how many were `added`, `removed`, `changed` since the model before; `steps`, `exported_step`; and `AP` and `AP50` of
    the exported weights on the validation images, null where they are not known.
    Beyond MAX_LINEAGE entries, `left_out` in the oldest that remains says how many are missing before it.
    """
    model = model_id(prefix)
    if last and last.model == model:
        # Called again, a finished training is still of the day when it was finished.
        return list(last.lineage)
    data = {"digest": warm_start.data.digest, "images": len(warm_start.data.images)}
    data |= start.change.counts() if start.change else {}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    best = summary["best"] or {}
    entry = {
        "model": model,
        "started_from": start.parent or "pretrained",
        "date": now,
        "data": data,
        "steps": summary["steps"],
        "exported_step": summary["exported"]["step"],
        **{score: best.get(score) for score in ("AP", "AP50")},
    }
    earlier = list(start.lineage) if start.parent else [{"pretrained": warm_start.origin}]
    return _bounded([*earlier, entry])


def _flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, (*path, key))
    else:
        yield ".".join(path), value


def _scaled_rate(value: float, share: float) -> float:
    return value * share


def _scaled_span(value: int, share: float) -> int:
    # Else 0.07 of 100 would be 8: the product is a little above 7.
    return max(1, math.ceil(round(value * share, 6)))


def _scaled_start(value: int, share: float) -> int:
    # Rounded down, so that it stays before the end, which is rounded up.
    return math.floor(round(value * share, 6))


# Fields of official.modeling.optimization.configs.learning_rate_config, and how a shorter schedule changes them.
SCALED = {
    **dict.fromkeys(("learning_rate", "initial_learning_rate", "end_learning_rate"), _scaled_rate),
    **dict.fromkeys(("warmup_learning_rate", "values"), _scaled_rate),
    **dict.fromkeys(("decay_steps", "total_decay_steps", "boundaries"), _scaled_span),
    **dict.fromkeys(("warmup_steps", "offset"), _scaled_start),
}


def _each(scale, value: Any, share: float) -> Any:
    return [scale(each, share) for each in value] if isinstance(value, Sequence) else scale(value, share)


def _bounded(lineage: list) -> list:
    if len(lineage) <= MAX_LINEAGE:
        return lineage
    middle = len(lineage) - MAX_LINEAGE + 2
    left_out = sum(1 + entry.get("left_out", 0) for entry in lineage[2:middle])
    return [*lineage[:2], {**lineage[middle], "left_out": left_out}, *lineage[middle + 1 :]]


def _describe(last: LastModel) -> str:
    trained = last.lineage[-1]
    return f"the last model ({trained['steps']} steps on {trained['date'][:10]})"


def _describe_classes(before: Mapping[str, int], now: Mapping[str, int]) -> str:
    new, gone = sorted(now.keys() - before.keys()), sorted(before.keys() - now.keys())
    parts = [f"{what} {', '.join(names)}" for what, names in (("new classes:", new), ("classes gone:", gone)) if names]
    return "".join(f"; {part}" for part in parts)
