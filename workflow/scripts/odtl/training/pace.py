"""When a training looks up from its steps: to save, to evaluate, to tell how it goes."""

from dataclasses import dataclass

# One look at the loss takes the host some milliseconds; a person wants to see the line move.
SECONDS_PER_LOOP = 2.0
MAX_STEPS_PER_LOOP = 100
# Example images are drawn for so many evaluations at most: with a quarter of a megabyte each, the disk is spared.
MAX_PICTURES = 60


@dataclass(frozen=True)
class Pace:
    """How many steps there are, and after how many it is time for what.

    total, checkpoint_interval, validation_interval: in steps; no validation_interval: no evaluation at all.
    """

    total: int
    checkpoint_interval: int
    validation_interval: int | None = None

    @classmethod
    def of(cls, config) -> "Pace":
        """Return the pace of an ExperimentConfig; without validation records nothing is evaluated."""
        trainer = config.trainer
        validation = trainer.validation_interval if config.task.validation_data.input_path else None
        return cls(trainer.train_steps, trainer.checkpoint_interval, validation)

    def checkpoint_due(self, step: int) -> bool:
        """Say whether the state is to be saved after this step; it always is before an evaluation."""
        return step % self.checkpoint_interval == 0 or step == self.total or self.evaluation_due(step)

    def evaluation_due(self, step: int) -> bool:
        """Say whether this step's weights are to be evaluated."""
        if self.validation_interval is None or step == 0:
            return False
        return step % self.validation_interval == 0 or step == self.total

    def pictures_due(self, step: int) -> bool:
        """Say whether example images are to be drawn at this evaluation: at most of them, up to MAX_PICTURES."""
        number, count = -(-step // self.validation_interval), -(-self.total // self.validation_interval)
        return number % -(-count // MAX_PICTURES) == 0 or step == self.total

    def steps_to_stop(self, step: int) -> int:
        """Return how many steps there are to the next checkpoint or evaluation, or to the end."""
        intervals = filter(None, (self.checkpoint_interval, self.validation_interval))
        return min(self.total - step, *(interval - step % interval for interval in intervals))

    def evaluations_after(self, step: int) -> int:
        """Return how many evaluations are to come."""
        if self.validation_interval is None or step >= self.total:
            return 0
        return -(-self.total // self.validation_interval) - step // self.validation_interval


def steps_per_loop(steps: int, seconds: float) -> int:
    """Return how many steps to do before the next look at the loss, from how long the last ones took."""
    wanted = round(steps * SECONDS_PER_LOOP / max(seconds, 1e-3))
    return min(max(wanted, 1), MAX_STEPS_PER_LOOP)
