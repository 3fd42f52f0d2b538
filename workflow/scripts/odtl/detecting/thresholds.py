"""From which score on a detection counts: one threshold for all classes, and others for some."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from odtl.detections import Detections
from odtl.errors import InputError, Problem, nearest


@dataclass(frozen=True)
class Thresholds:
    """Scores in [0, 1]: `default`, and those of classes (id -> score) that have their own."""

    default: float
    of_class: Mapping[int, float]

    @classmethod
    def of(cls, names: Mapping[int, str], default: float, classes: Mapping[str, float]) -> "Thresholds":
        """Return the thresholds of a model.

        names: id -> name of its classes. classes: name -> threshold. Raises InputError with every name that the model
        does not have, and every threshold outside of 0 to 1.
        """
        ids = {name: number for number, name in names.items()}
        problems = [
            Problem("score_threshold", name or "all classes", f"{value:g}", "A score is from 0 to 1.")
            for name, value in {"": default, **classes}.items()
            if not 0 <= value <= 1
        ]
        for name in classes:
            if name not in ids:
                cure = f"The model has no such class.{nearest(name, ids)} Its classes: {', '.join(ids)}."
                problems.append(Problem("class_thresholds", "class", repr(name), cure))
        if problems:
            raise InputError(problems, "The thresholds cannot be used")
        return cls(default, {ids[name]: value for name, value in classes.items()})

    def keep(self, found: Detections) -> Detections:
        """Return the detections that reach the threshold of their class."""
        least = np.full(len(found), self.default)
        for number, value in self.of_class.items():
            least[found.classes == number] = value
        return found.take(found.scores >= least)

    def __str__(self) -> str:
        return f"{self.default:g}" + (" (some classes: their own)" if self.of_class else "")
