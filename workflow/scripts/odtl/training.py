"""Fine-tuning: official.vision's task and trainer, with a state that survives a kill and progress to follow.

What a killed run goes on from is told in `training_state`, how a training starts in `warm_start`.
"""

import contextlib
import hashlib
import io
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from odtl import last_model
from odtl import warm_start as warm
from odtl.checkpoints import (
    Restored,
    fold_normalisation,
    ignore_unused_levels,
    is_whole,
    restore_detector,
    restore_parts,
    weights_of,
)
from odtl.errors import InputError, Problem
from odtl.experiment import read_experiment
from odtl.files import atomic_open
from odtl.progress import Progress, format_ap
from odtl.training_state import State

# One look at the loss takes the host some milliseconds; a person wants to see the line move.
SECONDS_PER_LOOP = 2.0
MAX_STEPS_PER_LOOP = 100
DATA_SUFFIX = ".data-00000-of-00001"
# Points of the loss curve in the summary; the state keeps all.
MAX_LOSS_POINTS = 500


@dataclass(frozen=True)
class Score:
    """The result of an evaluation on the validation images: AP and AP50 in [0, 1]; -1: no objects to find."""

    step: int
    ap: float
    ap50: float

    @property
    def known(self) -> bool:
        """Whether the AP can be compared with another."""
        return math.isfinite(self.ap) and self.ap >= 0


def train(
    experiment_path: str | os.PathLike,
    factory: str,
    state_folder: str | os.PathLike,
    out_prefix: str | os.PathLike,
    fingerprint: Mapping[str, Any] | str,
    summary_path: str | os.PathLike,
    normalisation: Mapping[str, Any] | None = None,
    stream: TextIO | None = None,
    warm_start: warm.WarmStart | None = None,
) -> dict[str, Any]:
    """Train a detector, write its best weights and a summary, and return the summary.

    experiment_path: experiment.yaml; it says what to train on, how long, and from which checkpoint.
    factory:         official.vision's name for the kind of experiment.
    state_folder:    where the state lives; a run with the same fingerprint goes on from its last whole checkpoint,
                     any other starts anew and the old state is removed.
    out_prefix:      of the resulting checkpoint, weights only, in official.vision's layout; both files appear at the
                     end, whole, or not at all.
    fingerprint:     of what the experiment file names but does not hold: records, pretrained checkpoint. The
                     experiment's own content is always part of it.
    summary_path:    JSON: steps, which weights were exported and why, AP, speed, what was restored, versions.
    normalisation:   `mean` and `stddev` that the pretrained weights were trained with, as the zoo gives them; None:
                     those of official.vision (see `checkpoints.fold_normalisation`).
    stream:          where progress is told; standard error if None.
    warm_start:      when the training may go on from the last finished one's model, and on what data. None: never, and
                     nothing is kept for a next one.

    What is exported: the weights with the best AP on the validation images; the last ones where there are none, or
    no evaluation could tell an AP. Raises InputError where the experiment or its checkpoint cannot be used, and where
    the loss is no longer a number.
    """
    _quiet()
    config = read_experiment(experiment_path, factory)
    parts = {"given": fingerprint, "experiment": _digest(config.as_dict()), "normalisation": _figures(normalisation)}
    plan = warm.plan_training(config, factory, state_folder, parts, warm_start)
    state = State(state_folder, plan.parts)
    run = _Run(plan, state, str(experiment_path), stream)
    run.to_the_end()
    step, prefix, why = run.choose()
    _export(prefix, out_prefix)
    summary = {
        **run.summary(),
        "exported": {"step": step, "reason": why},
        "fingerprint": fingerprint,
        "versions": {name: metadata.version(name) for name in ("tensorflow", "tf-models-official", "numpy")},
    }
    if warm_start:
        summary["lineage"] = warm.lineage_of(warm_start, plan.start, last_model.read_last(state.last), prefix, summary)
    with atomic_open(summary_path) as file:
        json.dump(summary, file, indent=2, sort_keys=True)
        file.write("\n")
    if warm_start:
        last_model.write_last(state.last, prefix, warm_start.data, plan.settings, summary["lineage"])
    return summary


class _Run:
    """One call of `train`: from the last checkpoint, or the pretrained one, to the last step."""

    def __init__(self, plan: warm.Plan, state: State, source: str, stream: TextIO | None) -> None:
        from official.modeling import performance

        self.plan, self.state, self.source = plan, state, source
        self.config = config = plan.config
        self.total = config.trainer.train_steps
        self.batch_size = config.task.train_data.global_batch_size
        self.has_validation = bool(config.task.validation_data.input_path)
        self.strategy = _strategy()
        latest = state.latest()
        self.first = latest[0] if latest else 0
        self.progress = Progress(self.total, self.batch_size, self.first, stream)
        # Else a resumed run would see the first images again, in the same order and cut the same way.
        _set_seed(config.task.train_data.seed, self.first)
        if config.runtime.mixed_precision_dtype:
            performance.set_mixed_precision_policy(config.runtime.mixed_precision_dtype)
        self.trainer = self._build_trainer()
        self._resume(*latest) if latest else self._begin()
        self.scores = self._read_scores()
        self.seconds = max((entry["seconds"] for entry in state.history() if "seconds" in entry), default=0.0)
        self.evaluation_seconds = 0.0
        self.timed_steps, self.timed_seconds = 0, 0.0

    def to_the_end(self) -> None:
        """Train and evaluate until all steps are done."""
        step, wanted = self.first, 1
        with contextlib.closing(self.progress), self._writers() as (training, validation), self.strategy.scope():
            if self._evaluation_due(step) and all(score.step != step for score in self.scores):
                self._evaluate(step, validation)
            if step < self.total:
                self.progress.say("Tracing the graph of the model: some ten seconds, half a minute for a large one.")
            while step < self.total:
                steps = min(wanted, self._steps_to_stop(step))
                seconds = self._train(step, steps, training)
                # The first step's time is that of tracing.
                wanted = 2 if step == self.first else _steps_per_loop(steps, seconds)
                step += steps
                if self._checkpoint_due(step) or self._evaluation_due(step):
                    self.state.save(self.trainer.checkpoint, step)
                if self._evaluation_due(step):
                    self._evaluate(step, validation)

    def choose(self) -> tuple[int, str, str]:
        """Return the step and prefix of the weights to export, and why these."""
        best = best_of(self.scores)
        if best:
            return best.step, self.state.kept(best.step), f"best AP on the validation images: {format_ap(best.ap)}"
        why = "no evaluation could tell an AP" if self.has_validation else "there are no validation images"
        return self.total, self._keep(self.total), f"last weights: {why}"

    def summary(self) -> dict[str, Any]:
        """Return how the training went, as JSON can hold it."""
        history = self.state.history()
        best = best_of(self.scores)
        return {
            "steps": self.total,
            "batch_size": self.batch_size,
            "resumed_at": self.first or None,
            "best": best and {"step": best.step, "AP": best.ap, "AP50": best.ap50},
            "images_per_second": self.batch_size * self.timed_steps / self.timed_seconds if self.timed_steps else None,
            "seconds": self.seconds,
            "started_from": "last model" if self.plan.start and self.plan.start.parent else "pretrained",
            "pretrained": self.config.task.init_checkpoint or None,
            "restored": next((entry["restored"] for entry in history if "restored" in entry), None),
            "loss": _thinned([entry for entry in history if "loss" in entry], MAX_LOSS_POINTS),
            # An evaluation that a kill made worthless is done again.
            "validation": list({entry["step"]: entry for entry in history if "AP" in entry}.values()),
        }

    def _build_trainer(self):
        from official.core import task_factory, train_utils

        with self.strategy.scope():
            task = task_factory.get_task(self.config.task)
            trainer = train_utils.create_trainer(
                self.config, task, train=True, evaluate=self.has_validation, trainer_cls=_trainer_class()
            )
            # A graph that makes variables while it is traced is traced a second time.
            if hasattr(trainer.optimizer, "_create_all_weights"):
                trainer.optimizer._create_all_weights(trainer.model.trainable_variables)
            return trainer

    def _begin(self) -> None:
        """Start at step 0, from the last model's weights or from the pretrained ones, where there are any."""
        self.state.rewind(-1)
        start = self.plan.start
        if start and start.parent:
            self._begin_warm(start)
            return
        if start:
            self.progress.say(f"Full training: {start.why}.")
        checkpoint, modules = self.config.task.init_checkpoint, self.config.task.init_checkpoint_modules
        if not checkpoint:
            self.progress.say("Starting from random weights.")
            return
        parts = [modules] if isinstance(modules, str) else list(modules)
        with self.strategy.scope():
            restored = restore_parts(self.trainer.model, checkpoint, parts, self.config)
            if self.plan.parts["normalisation"] and "backbone" in parts:
                self._fold_normalisation()
        self.progress.say(f"Starting from {checkpoint}: taken are the weights of {restored}.")
        self._tell_fresh(restored)

    def _begin_warm(self, start: warm.Start) -> None:
        self.progress.say(f"Starting from {start.why}.")
        with self.strategy.scope():
            # Their normalisation is folded already.
            restored = restore_detector(
                self.trainer.model, self.state.last / "ckpt", self.config, start.label_map, self.plan.label_map
            )
        self.progress.say(f"Taken are the weights of {restored}.")
        self._tell_fresh(restored)

    def _tell_fresh(self, restored: Restored) -> None:
        self.state.record(0, restored=restored.as_dict())
        if restored.fresh:
            names = sorted(restored.fresh)
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            self.progress.say(f"Fresh are {', '.join(names[:3])}{more}.")

    def _fold_normalisation(self) -> None:
        if not fold_normalisation(self.trainer.model.backbone, **self.plan.parts["normalisation"]):
            self.progress.say(
                "The pretrained weights were made for images normalised in another way than official.vision does, and "
                "this backbone does not allow to make up for it: expect the first steps to adapt it."
            )

    def _resume(self, step: int, prefix: str) -> None:
        """Go on from a checkpoint of this very training."""
        with self.strategy.scope():
            self.trainer.checkpoint.read(prefix).assert_existing_objects_matched()
        self.state.rewind(step)
        if step < self.total:
            self.progress.say(f"Going on from step {step} of {self.total}.")
        else:
            self.progress.say(f"All {step} steps were done on the same data and settings: the model is kept.")

    def _read_scores(self) -> list[Score]:
        """Return the evaluations so far; none if a kill came between keeping new weights and recording their score."""
        scores = [Score(entry["step"], entry["AP"], entry["AP50"]) for entry in self.state.history() if "AP" in entry]
        best = best_of(scores)
        return scores if best is None or is_whole(self.state.kept(best.step)) else []

    def _train(self, step: int, steps: int, writer) -> float:
        """Do some steps, tell and record how they went, and return how many seconds they took."""
        import tensorflow as tf

        began, done = time.monotonic(), step + steps
        logs = {name: float(value) for name, value in self.trainer.train(tf.constant(steps, tf.int32)).items()}
        seconds, loss = time.monotonic() - began, logs["training_loss"]
        if not math.isfinite(loss):
            found = f"a loss of {loss} between the steps {step} and {done}"
            cure = "The training diverged: lower learning_rate or raise warmup_steps, then run again."
            raise InputError(Problem(self.source, "learning_rate", found, cure), "The training cannot go on")
        self.seconds += seconds
        if step == self.first:
            self.progress.start_clock(done)
        else:
            self.timed_steps, self.timed_seconds = self.timed_steps + steps, self.timed_seconds + seconds
            self.progress.update(done, loss, self._evaluations_after(done) * self.evaluation_seconds)
        self.state.record(done, loss=loss, learning_rate=logs["learning_rate"], seconds=round(self.seconds, 3))
        _write_scalars(writer, done, logs)
        return seconds

    def _evaluate(self, step: int, writer) -> None:
        """Score the weights on the validation images and keep them if they are the best so far."""
        import tensorflow as tf

        began = time.monotonic()
        # pycocotools prints its own tables.
        with contextlib.redirect_stdout(io.StringIO()):
            output = self.trainer.evaluate(tf.constant(-1, tf.int32))
        logs = {name: float(value) for name, value in output.items() if np.ndim(value) == 0}
        seconds = time.monotonic() - began
        score = Score(step, logs.get("AP", -1.0), logs.get("AP50", -1.0))
        if best_of([*self.scores, score]) == score:
            self._keep(step)
        self.scores.append(score)
        self.seconds += seconds
        self.evaluation_seconds = seconds
        self.state.record(step, AP=score.ap, AP50=score.ap50, seconds=round(self.seconds, 3))
        _write_scalars(writer, step, logs)
        best = best_of(self.scores)
        self.progress.evaluated(step, score.ap, score.ap50, seconds, best and best.ap)
        self.progress.start_clock(step)

    def _keep(self, step: int) -> str:
        """Keep the weights as evaluation sees them: averaged ones where the experiment averages."""
        from official.modeling import optimization

        optimizer = self.trainer.optimizer
        averaging = isinstance(optimizer, optimization.ExponentialMovingAverage)
        if averaging:
            optimizer.swap_weights()
        try:
            return self.state.keep(weights_of(self.trainer.model), step)
        finally:
            if averaging:
                optimizer.swap_weights()

    @contextlib.contextmanager
    def _writers(self) -> Iterator[tuple]:
        """Yield TensorBoard's writers for training and validation."""
        import tensorflow as tf

        writers = [tf.summary.create_file_writer(str(self.state.events / name)) for name in ("train", "validation")]
        try:
            yield tuple(writers)
        finally:
            for writer in writers:
                writer.close()

    def _checkpoint_due(self, step: int) -> bool:
        return step % self.config.trainer.checkpoint_interval == 0 or step == self.total

    def _evaluation_due(self, step: int) -> bool:
        due = step % self.config.trainer.validation_interval == 0 or step == self.total
        return self.has_validation and step > 0 and due

    def _steps_to_stop(self, step: int) -> int:
        """Return how many steps there are to the next checkpoint or evaluation, or to the end."""
        intervals = [self.config.trainer.checkpoint_interval]
        intervals += [self.config.trainer.validation_interval] if self.has_validation else []
        return min(self.total - step, *(interval - step % interval for interval in intervals))

    def _evaluations_after(self, step: int) -> int:
        if not self.has_validation or step >= self.total:
            return 0
        interval = self.config.trainer.validation_interval
        return -(-self.total // interval) - step // interval


def _trainer_class():
    """Return official.vision's trainer, made to start faster.

    AutoGraph rewrites the source of every function that a graph is traced from, which takes longer than all the rest,
    and detectors hardly need it: so each step is traced as it is first, and rewritten only if it turns out to branch on
    a tensor.
    """
    import orbit
    import tensorflow as tf
    from official.core import base_trainer

    class Trainer(base_trainer.Trainer):
        def distribute_dataset(self, *args, **kwargs):
            build = super().distribute_dataset
            try:
                return tf.autograph.experimental.do_not_convert(build)(*args, **kwargs)
            except tf.errors.OperatorNotAllowedInGraphError:
                return build(*args, **kwargs)

        def create_train_loop_fn(self):
            return orbit.utils.create_loop_fn(_Traced(self.train_step))

        def create_eval_loop_fn(self, has_state: bool):
            return orbit.utils.create_loop_fn(_Traced(self.eval_step))

    return Trainer


class _Traced:
    """A step as a graph: without AutoGraph where its code allows that, with it otherwise."""

    def __init__(self, step) -> None:
        import tensorflow as tf

        self._step = step
        self._graph = tf.function(step, autograph=False)

    def __call__(self, *args):
        import tensorflow as tf

        try:
            return self._graph(*args)
        except tf.errors.OperatorNotAllowedInGraphError:
            self._graph = tf.function(self._step)
            return self._graph(*args)


def best_of(scores: Iterable[Score]) -> Score | None:
    """Return the evaluation with the highest AP that could be told; of equal ones, the latest; None without any."""
    return max((score for score in scores if score.known), key=lambda score: (score.ap, score.step), default=None)


def _steps_per_loop(steps: int, seconds: float) -> int:
    """Return how many steps to do before the next look at the loss, from how long the last ones took."""
    wanted = round(steps * SECONDS_PER_LOOP / max(seconds, 1e-3))
    return min(max(wanted, 1), MAX_STEPS_PER_LOOP)


def _thinned(entries: list, limit: int) -> list:
    """Return at most `limit` entries, evenly spread, the last one among them."""
    stride = -(-len(entries) // limit) if entries else 1
    return entries[::-1][::stride][::-1]


def _write_scalars(writer, step: int, logs: Mapping[str, float]) -> None:
    import tensorflow as tf

    with writer.as_default(step=step):
        for name, value in logs.items():
            tf.summary.scalar(name, value)
    writer.flush()


def _export(prefix: str, out_prefix: str | os.PathLike) -> None:
    """Copy a checkpoint to its final place: its index last, so that whoever sees an index has the data, too."""
    Path(f"{out_prefix}.index").unlink(missing_ok=True)
    for suffix in (DATA_SUFFIX, ".index"):
        with open(prefix + suffix, "rb") as source, atomic_open(str(out_prefix) + suffix, "wb") as target:
            shutil.copyfileobj(source, target)


def _strategy():
    """Return the strategy for the one GPU, or the CPU where there is none."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        # On a CPU, rewriting the graph costs seconds at the start and saves nothing measurable per step.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def _set_seed(seed: int | None, offset: int) -> None:
    if seed is not None:
        import tf_keras

        tf_keras.utils.set_random_seed((seed + offset) % 2**32)


def _figures(normalisation: Mapping[str, Any] | None) -> dict[str, list[float]] | None:
    return normalisation and {key: [float(value) for value in normalisation[key]] for key in ("mean", "stddev")}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _quiet() -> None:
    """Silence what TensorFlow tells of itself at every start; warnings of substance come through."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    ignore_unused_levels()
