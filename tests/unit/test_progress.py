"""Progress lines: what they say, and how often."""

import io
import math

import pytest

from odtl.progress import Progress, Status, format_ap, format_duration, format_status


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (Status(0, 300, 1.5), "step 0/300, loss 1.500"),
        (
            Status(100, 300, 0.5118, 20.14, 79.2, 0.431),
            "step 100/300, loss 0.512, 20.1 images/s, 1:20 left, best AP 0.431",
        ),
    ],
)
def test_status_line(status, line):
    assert format_status(status) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (-3, "0:00"), (0.2, "0:01"), (59.5, "1:00"), (3599.2, "1:00:00"), (7265, "2:01:05")],
)
def test_duration(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.500"), (-1.0, "not defined (no objects to find)"), (None, "unknown"), (math.nan, "unknown")],
)
def test_ap_of_minus_one_is_explained(value, text):
    assert format_ap(value) == text


def test_plain_lines_come_about_every_ten_seconds_and_at_the_end():
    stream, clock = io.StringIO(), Clock()
    progress = Progress(total=30, batch_size=8, stream=stream, clock=clock)
    progress.start_clock(0)
    for step in range(1, 31):
        clock.now += 1.0
        progress.update(step, loss=1.0)
    steps = [int(line.split()[1].split("/")[0]) for line in stream.getvalue().splitlines()]
    assert steps == [1, 11, 21, 30]


def test_speed_is_recent_and_leaves_pauses_out():
    stream, clock = io.StringIO(), Clock()
    progress = Progress(total=1000, batch_size=4, stream=stream, clock=clock)
    progress.start_clock(0)
    for step in range(10, 110, 10):
        clock.now += 10.0
        progress.update(step, loss=1.0)
    clock.now += 500.0
    progress.start_clock(100)
    clock.now += 10.0
    progress.update(120, loss=1.0)
    first, *_, last = stream.getvalue().splitlines()
    assert "4.0 images/s, 16:30 left" in first
    assert "8.0 images/s, 7:20 left" in last


def test_time_left_counts_the_evaluations_to_come():
    stream, clock = io.StringIO(), Clock()
    progress = Progress(total=20, batch_size=1, stream=stream, clock=clock)
    progress.start_clock(0)
    clock.now = 10.0
    progress.update(10, loss=1.0, extra_seconds=30.0)
    assert "0:40 left" in stream.getvalue()


def test_evaluation_is_told_at_once_with_the_best_so_far():
    stream = io.StringIO()
    progress = Progress(total=20, batch_size=1, stream=stream, clock=Clock())
    progress.evaluated(10, 0.25, 0.5, 1.25, 0.3)
    progress.evaluated(20, -1.0, -1.0, 1.0, None)
    assert stream.getvalue().splitlines() == [
        "step 10/20: validation AP 0.250, AP50 0.500, best AP 0.300 (1.2 s)",
        "step 20/20: validation AP not defined (no objects to find), AP50 not defined (no objects to find), "
        "best AP unknown (1.0 s)",
    ]


def test_terminal_gets_a_bar_that_starts_where_the_run_resumes():
    stream, clock = Terminal(), Clock()
    progress = Progress(total=20, batch_size=2, start=10, stream=stream, clock=clock)
    progress.start_clock(10)
    clock.now = 5.0
    progress.update(20, loss=0.25)
    progress.say("a line")
    progress.close()
    last = stream.getvalue().split("\r")[-1]
    assert "20/20 steps, loss 0.250, 4.0 images/s, 0:00 left" in last
    assert "a line\n" in stream.getvalue()
