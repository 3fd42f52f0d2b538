"""What a training does with its model, which in several processes all of them do at the same time.

There, a step and an evaluation take all processes, and so does reading the weights: batch normalisation has statistics
of its own in each. The first process decides, and tells the others through `tell` what it is about to do.
"""

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from odtl.checkpoints import weights_of
from odtl.training import runtime
from odtl.training.options import Options
from odtl.training.trainer import make_trainer
from odtl.training.watching import all_finite


def set_up(config, options: Options, strategy, first: int, evaluates: bool):
    """Return the trainer of an ExperimentConfig, which goes on from step `first`; for the arguments see `make_trainer`.

    Its weights are fresh ones, the same in all processes of a training.
    """
    # Else a resumed run would see the first images again, in the same order and cut the same way. To see those that
    # it would have seen unkilled, it has to make the earlier ones, too, and to pass over them.
    skipped = first if options.deterministic else 0
    runtime.set_seed(config.task.train_data.seed, first - skipped)
    if options.deterministic:
        runtime.set_deterministic()
    runtime.set_precision(config.runtime.mixed_precision_dtype)
    with strategy.scope():
        return make_trainer(config, options, evaluates, skipped)


class Actions:
    """What is done with a trainer; to be called in the scope of its strategy.

    tell: called with the name of what is to be done, and with its arguments, before it is done.
    """

    def __init__(self, trainer, tell: Callable[..., None] = lambda name, *arguments: None) -> None:
        self.trainer, self._tell = trainer, tell

    def train(self, steps: int) -> Mapping[str, float]:
        """Do some steps, and return what the trainer tells of them; each step's report is in `trainer.reports`."""
        import tensorflow as tf

        self._tell("train", steps)
        return {name: float(value) for name, value in self.trainer.train(tf.constant(steps, tf.int32)).items()}

    def evaluate(self) -> Mapping[str, float]:
        """Score the weights, averaged ones where the experiment averages, on all validation images."""
        import tensorflow as tf

        self._tell("evaluate")
        # pycocotools prints its own tables.
        with contextlib.redirect_stdout(io.StringIO()):
            output = self.trainer.evaluate(tf.constant(-1, tf.int32))
        return {name: float(value) for name, value in output.items() if np.ndim(value) == 0}

    def all_finite(self) -> bool:
        """Say whether all weights of this process are numbers."""
        return all_finite(self.trainer.model)

    def save(self, write: Callable[[Any], None]) -> None:
        """Have the whole state written: `write` gets the `tf.train.Checkpoint`."""
        self._tell("save")
        write(self.trainer.checkpoint)

    def keep(self, write: Callable[[Any], Any]) -> Any:
        """Have the weights written as evaluation sees them: averaged ones where the experiment averages."""
        from official.modeling import optimization

        self._tell("keep")
        optimizer = self.trainer.optimizer
        averaging = isinstance(optimizer, optimization.ExponentialMovingAverage)
        if averaging:
            optimizer.swap_weights()
        try:
            return write(weights_of(self.trainer.model))
        finally:
            if averaging:
                optimizer.swap_weights()

    def resume(self, prefix: str) -> None:
        """Read the whole state from a checkpoint of this very training."""
        self._tell("resume", prefix)
        self.trainer.checkpoint.read(prefix).assert_existing_objects_matched()

    def take(self, prefix: str) -> None:
        """Read the weights from a checkpoint in official.vision's layout, which has all of them.

        When this returns, all processes have read it.
        """
        import tensorflow as tf

        self._tell("take", prefix)
        weights_of(self.trainer.model).read(prefix).assert_existing_objects_matched()
        strategy = self.trainer.strategy
        strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: tf.constant(1)), axis=None)
