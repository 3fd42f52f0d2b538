"""Progress of a training that a person can follow: a bar on a terminal, a plain line now and then elsewhere."""

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

# Plain lines go into logs: often enough to see that it lives, seldom enough to read.
SECONDS_BETWEEN_LINES = 10.0
# The speed told is that of about the last half minute.
SPEED_WINDOW = 30.0


@dataclass(frozen=True)
class Status:
    """Where a training stands.

    step, total: training steps done and to do. loss: mean since the last report. images_per_second: recent speed;
    None while it is not known. seconds_left: None while it is not known. best: best validation AP in [0, 1] so far;
    None without one.
    """

    step: int
    total: int
    loss: float
    images_per_second: float | None = None
    seconds_left: float | None = None
    best: float | None = None


def format_status(status: Status) -> str:
    """Return a status as one line, such as `step 100/300, loss 0.512, 20.1 images/s, 1:20 left, best AP 0.431`."""
    parts = [f"step {status.step}/{status.total}", *_details(status)]
    return ", ".join(parts)


def format_duration(seconds: float) -> str:
    """Return seconds as m:ss or h:mm:ss, rounded up to a full second."""
    minutes, second = divmod(math.ceil(max(seconds, 0)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def format_ap(value: float | None) -> str:
    """Return an AP as a person reads it; COCO's -1 (no ground truth to find) and None become words."""
    if value is None or math.isnan(value):
        return "unknown"
    return "not defined (no objects to find)" if value < 0 else f"{value:.3f}"


class Progress:
    """Tell how a training goes, on `stream`.

    total:      training steps in all. start: steps that an earlier run did.
    batch_size: images per step.
    clock:      seconds that never go back.
    On a terminal, the bar is tqdm's; lines of `say` go above it.
    """

    def __init__(
        self,
        total: int,
        batch_size: int,
        start: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._batch_size, self._clock = total, batch_size, clock
        self._stream = sys.stderr if stream is None else stream
        self._best: float | None = None
        self._marks: deque[tuple[float, int]] = deque()
        self._line_at = -math.inf
        self._bar = _bar(total, start, self._stream) if self._stream.isatty() else None

    def say(self, line: str) -> None:
        """Write one line at once."""
        if self._bar is None:
            print(line, file=self._stream, flush=True)
        else:
            self._bar.write(line, file=self._stream)

    def start_clock(self, step: int) -> None:
        """Measure speed from here on: call it after tracing and after every pause, such as an evaluation."""
        self._marks.clear()
        self._marks.append((self._clock(), step))

    def update(self, step: int, loss: float, extra_seconds: float = 0.0) -> None:
        """Tell that `step` steps are done, with the mean loss since the last call.

        extra_seconds: how long what is to come besides training steps (evaluations) will take.
        """
        now = self._clock()
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[1][0] > SPEED_WINDOW:
            self._marks.popleft()
        status = self._status(step, loss, extra_seconds)
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(_details(status)), refresh=False)
            self._bar.update(step - self._bar.n)
        elif now - self._line_at >= SECONDS_BETWEEN_LINES or step == self._total:
            self._line_at = now
            self.say(format_status(status))

    def evaluated(self, step: int, ap: float, ap50: float, seconds: float, best: float | None) -> None:
        """Tell the result of an evaluation on the validation images; AP and AP50 in [0, 1], or -1."""
        self._best = best
        text = f"step {step}/{self._total}: validation AP {format_ap(ap)}, AP50 {format_ap(ap50)}"
        self.say(f"{text}, best AP {format_ap(best)} ({seconds:.1f} s)")

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()

    def _status(self, step: int, loss: float, extra_seconds: float) -> Status:
        (then, first), (now, last) = self._marks[0], self._marks[-1]
        if last <= first or now <= then:
            return Status(step, self._total, loss, best=self._best)
        steps_per_second = (last - first) / (now - then)
        left = (self._total - step) / steps_per_second + extra_seconds
        return Status(step, self._total, loss, steps_per_second * self._batch_size, left, self._best)


def _details(status: Status) -> list[str]:
    parts = [f"loss {status.loss:.3f}"]
    if status.images_per_second is not None:
        parts.append(f"{status.images_per_second:.1f} images/s")
    if status.seconds_left is not None:
        parts.append(f"{format_duration(status.seconds_left)} left")
    if status.best is not None:
        parts.append(f"best AP {format_ap(status.best)}")
    return parts


def _bar(total: int, start: int, stream: TextIO):
    from tqdm import tqdm

    # The time left is ours: tqdm knows nothing of evaluations and of tracing.
    layout = "{l_bar}{bar}| {n_fmt}/{total_fmt} steps{postfix}"
    return tqdm(total=total, initial=start, file=stream, dynamic_ncols=True, bar_format=layout)
