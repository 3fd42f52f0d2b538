"""No annotation and no image, however damaged, ends in anything but a result or an error that a person can act on.

What is read goes all the way: from the file to the manifest's line, and its boxes into an image. Others than these, at
random and for as long as you like, in processes with limits of memory and time: `ODTL_FUZZ_SECONDS=600`, for all of
them together.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import fuzzing
import pytest
from fuzzing import KINDS, TARGETS, attempt, damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECONDS = os.environ.get("ODTL_FUZZ_SECONDS")
EXAMPLES = 120
quick = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
damages = st.lists(
    st.tuples(st.sampled_from(KINDS), st.floats(0, 1, exclude_max=True), st.integers(1, 300), st.integers(0, 2**16)),
    min_size=1,
    max_size=6,
)
everything = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@everything
def test_undamaged_files_are_read(target, tmp_path):
    for number, seed in enumerate(target.seeds):
        path = tmp_path / f"{number}-{target.name}"
        path.write_bytes(seed)
        target.read(str(path))


@everything
@quick
@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(target, tmp_path, content):
    attempt(target, content, str(tmp_path))


@everything
@quick
@given(number=st.integers(0, 100), wounds=damages)
def test_damaged_files_are_read_or_refused(target, tmp_path, number, wounds):
    seed = target.seeds[number % len(target.seeds)]
    attempt(target, damaged(seed, wounds, target.tokens), str(tmp_path))


@pytest.mark.skipif(SECONDS is None, reason="the long form: ODTL_FUZZ_SECONDS is not set")
@everything
def test_damaged_files_within_limits_of_memory_and_time(target, request):
    seconds = float(SECONDS) / len(TARGETS)
    seed = random.SystemRandom().randrange(2**32)
    home = Path(fuzzing.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(home.parent / "workflow/scripts"), str(home)])}
    command = [sys.executable, fuzzing.__file__, target.name, str(seconds), str(seed)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 120)
    assert run.returncode == 0, f"seed {seed}\n{run.stderr}"
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{target.name}: {int(run.stdout):,} inputs, seed {seed}")
