"""When a training saves and evaluates: at its intervals and at the end, and never past one."""

from hypothesis import given
from hypothesis import strategies as st

from odtl.training.pace import MAX_STEPS_PER_LOOP, Pace, steps_per_loop

PACES = st.builds(Pace, st.integers(1, 60), st.integers(1, 80), st.none() | st.integers(1, 80))


@given(PACES)
def test_stops_are_the_intervals_and_the_end(pace):
    step, stops = 0, []
    while step < pace.total:
        assert pace.evaluations_after(step) == sum(map(pace.evaluation_due, range(step + 1, pace.total + 1)))
        steps = pace.steps_to_stop(step)
        assert steps > 0
        step += steps
        stops.append(step)
    due = [step for step in range(1, pace.total + 1) if pace.checkpoint_due(step) or pace.evaluation_due(step)]
    assert stops == due
    assert stops[-1] == pace.total
    assert pace.evaluation_due(pace.total) == (pace.validation_interval is not None)


def test_state_is_saved_before_each_evaluation():
    assert [step for step in range(10) if Pace(9, 4, 3).checkpoint_due(step)] == [0, 3, 4, 6, 8, 9]


def test_a_loop_takes_about_two_seconds_and_has_a_bound():
    assert steps_per_loop(2, 1.0) == 4
    assert steps_per_loop(1, 60.0) == 1
    assert steps_per_loop(100, 0.0) == MAX_STEPS_PER_LOOP
