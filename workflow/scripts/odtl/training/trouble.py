"""Why a training cannot go on, in words: the step, the images of its batch, what to try."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from odtl.errors import InputError, Problem
from odtl.records import read_records


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a training.

    step:    the step that shows it, counted from 1.
    what:    "loss": it is no number; "weights": they are no numbers after this step; "divergence": the loss has risen.
    loss:    of that step; with "divergence" the smoothed one.
    before:  the losses of the last steps before it, oldest first.
    lowest:  the lowest smoothed loss; infinite before there was one.
    rising:  whether the loss had risen before: then the batch of this step is where it ended, not where it began.
    images:  source ids of the batch of step `began`. bad: those among them whose targets are no numbers.
    go_on:   the last step whose weights are good to go on from; below 0: none are.
    began:   with "divergence" the step whose loss was the first to be high; else `step`.
    """

    step: int
    what: str
    loss: float
    before: Sequence[float] = ()
    lowest: float = math.inf
    rising: bool = False
    images: Sequence[int] = ()
    bad: Sequence[int] = ()
    go_on: int = -1
    began: int | None = None

    def __str__(self) -> str:
        return {
            "loss": f"the loss of step {self.step} is {self.loss}",
            "weights": f"weights are no numbers after step {self.step}",
            "divergence": f"at step {self.step} the loss has risen from {self.lowest:.3g} to {self.loss:.3g} and stays",
        }[self.what]


def explain(trouble: Trouble, config, source: str, learning_rate: float) -> InputError:
    """Return the error that tells a person of it.

    config: the ExperimentConfig; its training records are read for the images' names. source: where it stands.
    learning_rate: of that step.
    """
    names = image_names({*trouble.images, *trouble.bad}, config.task.train_data.input_path)
    if trouble.bad:
        found = "boxes that are no numbers, or beyond all measure"
        cure = f"They were in the batch of step {trouble.step}: correct the labels, or take the images out."
        problems = [Problem(names[number], "boxes", found, cure) for number in trouble.bad]
    else:
        problems = [_settings_problem(trouble, config, source, learning_rate)]
        found = ", ".join(dict.fromkeys(names[number] for number in trouble.images)) or "no images"
        step = trouble.began or trouble.step
        problems.append(Problem(f"step {step}", "images of the batch", found, _look_at_images(trouble)))
    return InputError(problems, f"The training was stopped: {trouble}")


def _settings_problem(trouble: Trouble, config, source: str, learning_rate: float) -> Problem:
    before = ", ".join(f"{loss:.3g}" for loss in trouble.before) or "no step"
    found = f"{learning_rate:.3g} at step {trouble.step}, after losses of {before}"
    cure = f"Lower it, to {learning_rate / 3:.1g}, say, or raise warmup_steps"
    if config.runtime.mixed_precision_dtype == "float16":
        cure += ", or set mixed_precision to float32"
    return Problem(source, "learning_rate", found, f"{cure}; then run again.")


def _look_at_images(trouble: Trouble) -> str:
    if trouble.what == "divergence":
        return "The loss was high there first: look at these images and their labels if a lower rate does not help."
    if trouble.rising:
        return "The loss had risen before, so they are hardly the cause."
    return "The loss had not risen before: look at these images and their labels first."


def image_names(numbers: Iterable[int], records: Iterable[str]) -> dict[int, str]:
    """Return source id -> image id of images, as the records have them; one that they do not have is called by number.

    records: TFRecord files, read only as far as it takes.
    """
    wanted = set(numbers)
    names = {number: f"image number {number}" for number in wanted}
    for path in records:
        for example in read_records(path) if wanted else ():
            number = int(example["image/source_id"][0])
            if number in wanted:
                wanted.remove(number)
                names[number] = example.get("image/filename", [names[number].encode()])[0].decode(errors="replace")
    return names
