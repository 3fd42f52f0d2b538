"""The loop of a training: steps, evaluations, what is kept of them."""

import contextlib
import io
import time
from typing import Any, TextIO

import numpy as np

from odtl import warm_start as warm
from odtl.checkpoints import is_whole, weights_of
from odtl.progress import Progress, format_ap
from odtl.training import precision, runtime
from odtl.training.events import Events
from odtl.training.examples import Examples
from odtl.training.memory import cut_off
from odtl.training.options import Options
from odtl.training.pace import Pace, steps_per_loop
from odtl.training.scores import Score, best_of, stopped_at
from odtl.training.starting import some_images, start
from odtl.training.trainer import make_trainer
from odtl.training.trouble import Trouble, explain
from odtl.training.watching import Watch, warmup_steps
from odtl.training_state import State

# Points of the loss curve in the summary; the state keeps all.
MAX_LOSS_POINTS = 500
# Steps between two looks at the loss, from step 0 on.
DETERMINISTIC_LOOP = 10


class Run:
    """One call of `train`: from the last checkpoint, or the pretrained one, to the last step."""

    def __init__(self, plan: warm.Plan, options: Options, state: State, source: str, stream: TextIO | None) -> None:
        self.plan, self.options, self.state, self.source = plan, options, state, source
        self.config = config = precision.resolve(plan.config, options.mixed_precision)
        self.pace = Pace.of(config)
        self.total = self.pace.total
        self.batch_size = config.task.train_data.global_batch_size
        self.strategy = runtime.strategy()
        self.scores = self._read_scores()
        latest = self._latest()
        self.first = latest[0] if latest else 0
        self.progress = Progress(self.total, self.batch_size, self.first, stream)
        # Else a resumed run would see the first images again, in the same order and cut the same way. To see those that
        # it would have seen unkilled, it has to make the earlier ones, too, and to pass over them.
        skipped = self.first if options.deterministic else 0
        runtime.set_seed(config.task.train_data.seed, self.first - skipped)
        if options.deterministic:
            runtime.set_deterministic()
        runtime.set_precision(config.runtime.mixed_precision_dtype)
        if config is not plan.config:
            self.progress.say(f"Computing in {config.runtime.mixed_precision_dtype}, which suits this hardware.")
        with self.strategy.scope():
            evaluates = self.pace.validation_interval is not None
            self.trainer = make_trainer(config, options, evaluates, skipped)
            if latest:
                self._resume(*latest)
            else:
                self._tell_stopped()
                state.rewind(-1)
                self.scores = []
                start(self.trainer.model, plan, state, self.progress, lambda: some_images(self.trainer))
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
                    if trouble := self.watch.check(self.trainer.model):
                        self._give_up(trouble)
                    self.state.save(self.trainer.checkpoint, step)
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
            "device": runtime.device(),
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

    def _resume(self, step: int, prefix: str) -> None:
        """Go on from a checkpoint of this very training."""
        self.trainer.checkpoint.read(prefix).assert_existing_objects_matched()
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
        import tensorflow as tf

        began, done = time.monotonic(), step + steps
        logs = {name: float(value) for name, value in self.trainer.train(tf.constant(steps, tf.int32)).items()}
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
        self.events.scalars("validation", step, logs)
        if self.pace.pictures_due(step):
            self.events.images(step, self.trainer.examples.pictures())
        best = best_of(self.scores)
        self.progress.evaluated(step, score.ap, score.ap50, seconds, best and best.ap)
        self.progress.start_clock(step)

    def _keep(self, step: int) -> str:
        """Keep the weights as evaluation sees them: averaged ones where the experiment averages."""
        from official.modeling import optimization

        optimizer = self.trainer.optimizer
        averaging = isinstance(optimizer, optimization.ExponentialMovingAverage)
        with self.strategy.scope():
            if averaging:
                optimizer.swap_weights()
            try:
                return self.state.keep(weights_of(self.trainer.model), step)
            finally:
                if averaging:
                    optimizer.swap_weights()


def _thinned(entries: list, limit: int) -> list:
    """Return at most `limit` entries, evenly spread, the last one among them."""
    stride = -(-len(entries) // limit) if entries else 1
    return entries[::-1][::stride][::-1]
