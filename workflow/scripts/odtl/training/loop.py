"""The loop of a training: steps, evaluations, what is kept of them."""

import contextlib
import dataclasses
import functools
import tempfile
import time
from typing import Any, TextIO

import numpy as np

from odtl import warm_start as warm
from odtl.checkpoints import build_model, is_whole, weights_of
from odtl.last_model import model_id
from odtl.progress import Progress, format_ap
from odtl.training import precision, runtime
from odtl.training.actions import Actions, set_up
from odtl.training.crew import Crew
from odtl.training.events import Events
from odtl.training.examples import Examples
from odtl.training.memory import cut_off
from odtl.training.options import Options
from odtl.training.pace import Pace, steps_per_loop
from odtl.training.scores import Score, best_of, stopped_at
from odtl.training.starting import some_images, start
from odtl.training.trouble import Trouble, explain
from odtl.training.watching import Watch, warmup_steps
from odtl.training_state import State

# Points of the loss curve in the summary; the state keeps all.
MAX_LOSS_POINTS = 500
# Steps between two looks at the loss, from step 0 on.
DETERMINISTIC_LOOP = 10


class Run:
    """One call of `train`: from the last checkpoint, or the pretrained one, to the last step.

    crew: the other processes of the training, to be started with it.
    """

    def __init__(
        self, plan: warm.Plan, options: Options, state: State, source: str, stream: TextIO | None, crew: Crew
    ) -> None:
        self.plan, self.options, self.state, self.source = plan, options, state, source
        self.config = config = precision.resolve(plan.config, options.mixed_precision)
        self.pace = Pace.of(config)
        self.total = self.pace.total
        self.batch_size = config.task.train_data.global_batch_size
        self.scores = self._read_scores()
        latest = self._latest()
        self.first = latest[0] if latest else 0
        self.progress = Progress(self.total, self.batch_size, self.first, stream)
        if config is not plan.config:
            self.progress.say(f"Computing in {config.runtime.mixed_precision_dtype}, which suits this hardware.")
        evaluates = self.pace.validation_interval is not None
        self.nodes = crew.names
        if self.nodes:
            self.progress.say(f"{len(self.nodes)} processes, on the nodes {', '.join(self.nodes)}.")
        crew.start(config, plan.factory, options, self.first, evaluates)
        self.strategy = runtime.strategy(options.spread, crew.addresses, apart=crew.apart)
        self.trainer = set_up(config, options, self.strategy, self.first, evaluates)
        self.actions = Actions(self.trainer, crew.tell)
        if latest:
            self._resume(*latest)
        else:
            self._begin()
        self.seconds = max((entry["seconds"] for entry in state.history() if "seconds" in entry), default=0.0)
        self.evaluation_seconds = 0.0
        self.timed_steps, self.timed_seconds = 0, 0.0
        self.events = Events(state.events)
        if self.pace.validation_interval:
            names = {number: name for name, number in plan.label_map.items()}
            self.trainer.examples = Examples(config.task.validation_data.input_path, names)
        self.watch = Watch(self.first, warmup_steps(config))

    def to_the_end(self) -> None:
        """Train and evaluate until all steps are done, or until the AP has not risen for too long."""
        step, wanted = self.first, 1
        with contextlib.closing(self.progress), contextlib.closing(self.events), self.strategy.scope():
            if self.pace.evaluation_due(step) and all(score.step != step for score in self.scores):
                self._evaluate(step)
            if step < self.total and not self._stopped():
                self.progress.say("Tracing the graph of the model: some ten seconds, half a minute for a large one.")
            while step < self.total and not self._stopped():
                # What is told of the loss is the mean since the last look: how many steps that are must not go by time.
                wanted = DETERMINISTIC_LOOP - step % DETERMINISTIC_LOOP if self.options.deterministic else wanted
                steps = min(wanted, self.pace.steps_to_stop(step))
                seconds = self._train(step, steps)
                # The first step's time is that of tracing.
                wanted = 2 if step == self.first else steps_per_loop(steps, seconds)
                step += steps
                if self.pace.checkpoint_due(step):
                    if trouble := self.watch.check(self.actions.all_finite()):
                        self._give_up(trouble)
                    self.actions.save(lambda checkpoint, step=step: self.state.save(checkpoint, step))
                if self.pace.evaluation_due(step):
                    self._evaluate(step)
            if self._stopped():
                self.progress.say(f"Stopped early at step {step} of {self.total}: {self._why_stopped()}.")

    def choose(self) -> tuple[int, str, str]:
        """Return the step and prefix of the weights to export, and why these."""
        best = best_of(self.scores)
        if best:
            return best.step, self.state.kept(best.step), f"best AP on the validation images: {format_ap(best.ap)}"
        evaluates = self.pace.validation_interval is not None
        why = "no evaluation could tell an AP" if evaluates else "there are no validation images"
        return self.total, self._keep(self.total), f"last weights: {why}"

    def kept(self) -> dict[str, str]:
        """Return the steps whose weights can be exported, with the digest of each (`last_model.model_id`)."""
        return {str(step): model_id(self.state.kept(step)) for step in self.state.kept_steps()}

    def summary(self) -> dict[str, Any]:
        """Return how the training went, as JSON can hold it."""
        history = self.state.history()
        best = best_of(self.scores)
        return {
            "steps": self._stopped() or self.total,
            "planned_steps": self.total,
            "stopped_early": self._why_stopped() if self._stopped() else None,
            "batch_size": self.batch_size,
            "resumed_at": self.first or None,
            "best": best and {"step": best.step, "AP": best.ap, "AP50": best.ap50},
            "images_per_second": self.batch_size * self.timed_steps / self.timed_seconds if self.timed_steps else None,
            "seconds": self.seconds,
            "device": {**runtime.device(), "count": self.options.spread.replicas, "nodes": self.nodes},
            "distribution": dataclasses.asdict(self.options.spread),
            "precision": self.config.runtime.mixed_precision_dtype,
            # Keras itself counts only what has been called, and a finished training's model is not.
            "parameters": sum(int(np.prod(weight.shape)) for weight in self.trainer.model.weights),
            "started_from": "last model" if self.plan.start and self.plan.start.parent else "pretrained",
            "pretrained": self.config.task.init_checkpoint or None,
            "restored": next((entry["restored"] for entry in history if "restored" in entry), None),
            "loss": _thinned([entry for entry in history if "loss" in entry], MAX_LOSS_POINTS),
            # An evaluation that a kill made worthless is done again.
            "validation": list({entry["step"]: entry for entry in history if "AP" in entry}.values()),
        }

    def _begin(self) -> None:
        """Start from the weights of step 0."""
        self._tell_stopped()
        self.state.rewind(-1)
        self.scores = []
        images = functools.partial(some_images, self.trainer)
        if self.strategy.num_replicas_in_sync == 1:
            with self.strategy.scope():
                start(self.trainer.model, self.plan, self.state, self.progress, images)
            return
        # What is done to weights at the start is done to one copy of them, and all take the result.
        runtime.set_seed(self.config.task.train_data.seed, 0)
        model = build_model(self.config)
        start(model, self.plan, self.state, self.progress, images)
        with tempfile.TemporaryDirectory(dir=self.state.folder) as folder, self.strategy.scope():
            weights_of(model).write(f"{folder}/ckpt")
            self.actions.take(f"{folder}/ckpt")

    def _resume(self, step: int, prefix: str) -> None:
        """Go on from a checkpoint of this very training."""
        with self.strategy.scope():
            self.actions.resume(prefix)
        self._tell_stopped()
        self.state.rewind(step)
        self.scores = [score for score in self.scores if score.step <= step]
        if step < self.total and not self._stopped():
            self.progress.say(f"Going on from step {step} of {self.total}.")
        else:
            self.progress.say(f"{step} steps were done on the same data and settings: the model is kept.")

    def _tell_stopped(self) -> None:
        """Tell what ended the last run, if that was trouble: the same settings may well end as it did."""
        if self.state.was_cut_off:
            self.progress.say(cut_off(self.config))
        history = self.state.history()
        if history and "stopped" in history[-1]:
            self.progress.say(f"The last run with these settings was stopped: {history[-1]['stopped']}.")

    def _latest(self) -> tuple[int, str] | None:
        """Return step and prefix of the checkpoint to go on from; None: from the start.

        A training that went further than the configuration now lets it would keep weights that it could not have.
        """
        latest = self.state.latest()
        stopped = self._stopped()
        return None if latest is None or (stopped and stopped < self.scores[-1].step) else latest

    def _stopped(self) -> int | None:
        """Return the step at which the training ends early, or None."""
        return stopped_at(self.scores, **self.options.early_stopping)

    def _why_stopped(self) -> str:
        patience = self.options.early_stopping["patience"]
        last = f"{patience} evaluations" if patience > 1 else "evaluation"
        return f"no better AP in the last {last} (best AP {format_ap(best_of(self.scores).ap)})"

    def _read_scores(self) -> list[Score]:
        """Return the evaluations so far; none if a kill came between keeping new weights and recording their score."""
        entries = {entry["step"]: entry for entry in self.state.history() if "AP" in entry}
        scores = [Score(step, entry["AP"], entry["AP50"]) for step, entry in sorted(entries.items())]
        best = best_of(scores)
        return scores if best is None or is_whole(self.state.kept(best.step)) else []

    def _train(self, step: int, steps: int) -> float:
        """Do some steps, tell and record how they went, and return how many seconds they took."""
        began, done = time.monotonic(), step + steps
        logs = dict(self.actions.train(steps))
        seconds, loss = time.monotonic() - began, logs["training_loss"]
        if trouble := self.watch.look(self.trainer.reports):
            self._give_up(trouble)
        self.seconds += seconds
        if step == self.first:
            self.progress.start_clock(done)
        else:
            self.timed_steps, self.timed_seconds = self.timed_steps + steps, self.timed_seconds + seconds
            logs["images_per_second"] = self.batch_size * steps / seconds
            self.progress.update(done, loss, self.pace.evaluations_after(done) * self.evaluation_seconds)
        self.state.record(done, loss=loss, learning_rate=logs["learning_rate"], seconds=round(self.seconds, 3))
        self.events.scalars("train", done, logs)
        return seconds

    def _give_up(self, trouble: Trouble) -> None:
        """Forget the checkpoints that are not good to go on from, and raise the InputError that says what to do."""
        self.state.rewind(trouble.go_on)
        latest = self.state.latest()
        self.state.record(latest[0] if latest else 0, stopped=str(trouble))
        rate = self.trainer.optimizer.learning_rate
        rate = float(rate(trouble.step - 1) if callable(rate) else rate)
        raise explain(trouble, self.config, self.source, rate)

    def _evaluate(self, step: int) -> None:
        """Score the weights on the validation images and keep them if they are the best so far."""
        began = time.monotonic()
        logs = self.actions.evaluate()
        seconds = time.monotonic() - began
        score = Score(step, logs.get("AP", -1.0), logs.get("AP50", -1.0))
        self._keep(step)
        self.scores.append(score)
        self.seconds += seconds
        self.evaluation_seconds = seconds
        self.state.record(step, AP=score.ap, AP50=score.ap50, seconds=round(self.seconds, 3))
        # Only now: until its score is on record, a killed run needs the best weights before these.
        self._forget_others()
        self.events.scalars("validation", step, logs)
        if self.pace.pictures_due(step):
            self.events.images(step, self.trainer.examples.pictures())
        best = best_of(self.scores)
        self.progress.evaluated(step, score.ap, score.ap50, seconds, best and best.ap)
        self.progress.start_clock(step)

    def _forget_others(self) -> None:
        """Remove all weights but the best ones and those of the last evaluations."""
        best = best_of(self.scores)
        last = [score.step for score in self.scores[-self.options.keep_checkpoints :]]
        self.state.keep_only([*last, *([best.step] if best else [])])

    def _keep(self, step: int) -> str:
        """Keep the weights as evaluation sees them."""
        with self.strategy.scope():
            return self.actions.keep(lambda weights: self.state.keep(weights, step))


def _thinned(entries: list, limit: int) -> list:
    """Return at most `limit` entries, evenly spread, the last one among them."""
    stride = -(-len(entries) // limit) if entries else 1
    return entries[::-1][::stride][::-1]
