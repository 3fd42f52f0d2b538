"""What evaluations on the validation images say, and what follows from them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


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


def best_of(scores: Iterable[Score]) -> Score | None:
    """Return the evaluation with the highest AP that could be told; of equal ones, the latest; None without any."""
    return max((score for score in scores if score.known), key=lambda score: (score.ap, score.step), default=None)


def stopped_at(scores: Sequence[Score], patience: int | None, min_delta: float = 0.0) -> int | None:
    """Return the step of the first evaluation at which a training stops early, or None where it does not.

    It stops when `patience` evaluations one after the other have brought no more than `min_delta` over the best AP
    before them.

    scores:   in the order of their steps; those that could not tell an AP do not count.
    patience: None: never.
    """
    best, waited = -math.inf, 0
    for score in scores:
        if not score.known:
            continue
        if score.ap > best + min_delta:
            best, waited = score.ap, 0
        else:
            waited += 1
        if patience is not None and waited >= patience:
            return score.step
    return None
