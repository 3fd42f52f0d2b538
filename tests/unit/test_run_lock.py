"""One run at a time: who has the folder, who is dead, and what is cleared away."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from odtl import run_lock, running_jobs
from odtl.errors import InputError

SCRIPTS = Path(run_lock.__file__).parents[1]
TAKE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from odtl import run_lock
run_lock.take("state", "scheduler", "results")
print("taken", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scheduler/locks").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def other():
    """Another process that has taken the lock."""
    with subprocess.Popen([sys.executable, "-c", TAKE, str(SCRIPTS)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "taken\n"
        yield process
        process.kill()


def take(patience: float = 5.0) -> tuple[run_lock.RunLock, str]:
    told = []
    lock = run_lock.take("state", "scheduler", "results", patience, told.append)
    lock.release()
    return lock, "\n".join(told)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_free_folder_is_taken_without_a_word():
    lock, told = take()
    assert lock.held
    assert told == ""
    lock.check()


def test_dead_run_leaves_nothing_in_the_way(other, folder):
    (folder / "scheduler/locks/0.output.lock").touch()
    kill(other)
    lock, told = take()
    assert lock.held
    assert f"process {other.pid} on " in told
    assert not list((folder / "scheduler/locks").iterdir())


def test_living_run_keeps_its_locks(other, folder):
    (folder / "scheduler/locks/0.output.lock").touch()
    lock, told = take()
    assert not lock.held
    assert lock.owner.pid == other.pid
    assert "do not unlock" in told
    assert (folder / "scheduler/locks/0.output.lock").exists()
    with pytest.raises(InputError, match=f"process {other.pid} on "):
        lock.check()


def test_process_that_only_looks_is_waited_for_until_it_ends(other):
    os.kill(other.pid, signal.SIGSTOP)
    subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -KILL {other.pid}"])
    lock, told = take()
    assert lock.held
    assert f"Waiting for process {other.pid}" in told


def test_process_that_only_looks_is_not_waited_for_for_ever(other):
    with pytest.raises(InputError, match=f"process {other.pid}"):
        take(patience=0.3)


def test_another_machine_whose_locks_cannot_be_seen_is_left_alone(folder):
    owner = {"pid": 1, "host": "elsewhere", "machine": "another boot", "since": "then"}
    (folder / "state").mkdir()
    (folder / "state/run.lock").write_text(json.dumps(owner), encoding="utf-8")
    (folder / "scheduler/locks/0.output.lock").touch()
    for _ in range(2):
        lock, told = take()
        assert not lock.held
        assert "process 1 on elsewhere" in told
        assert "--unlock" in told
        assert (folder / "scheduler/locks/0.output.lock").exists()


def test_where_nothing_can_be_locked_jobs_still_learn_whose_the_folder_is(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock.fcntl, "flock", refuse)
    lock, told = take()
    assert lock.held and "cannot lock files" in told
    assert json.loads((folder / "state/run.lock").read_text())["pid"] == os.getpid()
    (folder / "scheduler/locks/0.output.lock").touch()
    assert not take()[0].held


def test_lock_of_unknown_owner_is_left_alone(folder):
    (folder / "scheduler/locks/0.output.lock").touch()
    lock, told = take()
    assert not lock.held
    assert "--unlock" in told


def test_run_before_the_machine_went_down_is_dead(other, folder):
    (folder / "scheduler/locks/0.output.lock").touch()
    kill(other)
    path = folder / "state/run.lock"
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "the last boot"}), encoding="utf-8")
    assert take()[0].held
    assert not list((folder / "scheduler/locks").iterdir())


def test_what_was_not_finished_is_removed_and_nothing_else(folder):
    results = folder / "results/a"
    half = results / ".export.x1_abcde.tmp/saved_model"
    half.mkdir(parents=True)
    (half / "saved_model.pb").touch()
    for name in [".boxes.csv.abcdefgh.tmp", ".archive.tar.gz.12345678.part"]:
        (results / name).touch()
    (results / "ckpt-30_temp").mkdir()
    kept = ["boxes.csv", "ckpt-30.index", ".hidden", "a.abcdefgh.tmp", ".rsync.Ab3dEf", ".short.tmp"]
    for name in kept:
        (results / name).touch()
    take()
    assert sorted(path.name for path in results.iterdir()) == sorted(kept)


@pytest.mark.parametrize(
    ("now", "expected"),
    [("", "one two"), ("one", "one two"), ("one two three", "one two three"), ("two", "two"), (None, None)],
    ids=["emptied", "cut", "extended", "another", "removed"],
)
def test_file_that_was_cut_while_its_copy_was_put_back_is_mended(folder, now, expected):
    for path, text in [("scheduler/backups/results/a/map", "one two"), ("results/a/map", now)]:
        (folder / path).parent.mkdir(parents=True)
        if text is not None:
            (folder / path).write_text(text, encoding="utf-8")
    take()
    path = folder / "results/a/map"
    assert (path.read_text(encoding="utf-8") if path.exists() else None) == expected


def test_living_run_keeps_its_unfinished_files(other, folder):
    (folder / "scheduler/locks/0.output.lock").touch()
    (folder / "results").mkdir()
    (folder / "results/.boxes.csv.abcdefgh.tmp").touch()
    take()
    assert (folder / "results/.boxes.csv.abcdefgh.tmp").exists()


def test_forked_worker_does_not_keep_the_lock(folder):
    code = TAKE.replace("time.sleep(60)", "import os\nif os.fork(): os._exit(0)\ntime.sleep(3)")
    process = subprocess.Popen([sys.executable, "-c", code, str(SCRIPTS)], stdout=subprocess.DEVNULL)
    process.wait()
    began = time.monotonic()
    assert take()[0].held
    assert time.monotonic() - began < 2


def test_jobs_of_a_dead_run_are_waited_for(folder):
    job = subprocess.Popen([sys.executable, "-c", JOB, str(SCRIPTS)], stdout=subprocess.PIPE, text=True)
    assert job.stdout.readline() == "at work\n"
    with pytest.raises(InputError, match=r"train \(process"):
        take(patience=0.3)
    subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -KILL {job.pid}"])
    lock, told = take()
    job.wait()
    assert lock.held
    assert "train (process" in told
    assert not list((folder / "state/jobs").iterdir())


JOB = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from odtl import running_jobs
running_jobs.announce("state")
with running_jobs.signed_on("train"):
    print("at work", flush=True)
    time.sleep(60)
"""
RUN = """
import os, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from odtl import running_jobs
running_jobs.announce("state")
code = "import sys; sys.path.insert(0, sys.argv[1])\\nfrom odtl.running_jobs import signed_on\\nimport time\\n"
code += "with signed_on('train'):\\n    print('at work', flush=True)\\n    time.sleep(60)"
subprocess.run([sys.executable, "-c", code, sys.argv[1]])
"""


def test_job_ends_with_its_run(folder):
    # The run stays a zombie until the end of the test, as it does under a parent that does not ask.
    run = subprocess.Popen([sys.executable, "-c", RUN, str(SCRIPTS)], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "at work\n"
    assert len(list((folder / "state/jobs").iterdir())) == 1
    os.kill(run.pid, signal.SIGKILL)
    running_jobs.wait_for_all("state", 10, print)
    run.wait()


def test_job_whose_run_is_dead_does_not_begin(folder, monkeypatch):
    process = subprocess.Popen(["true"])
    process.wait()
    # Set first, so that it is put back afterwards.
    monkeypatch.setenv("ODTL_RUN", "")
    running_jobs.announce("state")
    _, rest = os.environ["ODTL_RUN"].split("\n", 1)
    monkeypatch.setenv("ODTL_RUN", f"{process.pid}\n{rest}")
    with pytest.raises(SystemExit), running_jobs.signed_on("train"):
        (folder / "begun").touch()
    assert not (folder / "begun").exists()


def test_job_without_a_run_leaves_no_sign(folder, monkeypatch):
    monkeypatch.delenv("ODTL_RUN", raising=False)
    with running_jobs.signed_on("train"):
        assert not list(folder.glob("state/*"))


def owned(code: str) -> str:
    """Return the beginning of a program that has taken the folder and told its jobs, and then `code`."""
    taken = 'run_lock.take("state", "scheduler", "results")\nrunning_jobs.announce_owner("state", held=True)\n'
    return f"import os, sys\nsys.path.insert(0, sys.argv[1])\nfrom odtl import run_lock, running_jobs\n{taken}{code}"


# As a node of a cluster starts it: not a child of the run, whose process it cannot see.
REMOTE = """
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
job = "import sys; sys.path.insert(0, sys.argv[1])\\nfrom odtl import running_jobs\\nimport time\\n"
job += "running_jobs.OWNER_SECONDS = 0.5\\nrunning_jobs.announce('state')\\nrunning_jobs.check_run()\\n"
job += "with running_jobs.signed_on('train'):\\n    print('at work', flush=True)\\n    time.sleep(60)\\n"
job += "    print('finished', flush=True)"
os.execv(sys.executable, [sys.executable, "-c", job, sys.argv[1]])
"""


def test_job_of_a_cluster_outlives_its_run_and_ends_with_the_next(folder):
    job = subprocess.Popen([sys.executable, "-c", owned(REMOTE), str(SCRIPTS)], stdout=subprocess.PIPE, text=True)
    assert job.stdout.readline() == "at work\n"
    job.wait()
    time.sleep(1.2)
    assert len(list((folder / "state/jobs").iterdir())) == 1
    lock, told = take(patience=20)
    assert lock.held
    assert "train (process" in told
    assert job.stdout.read() == ""
    assert not list((folder / "state/jobs").iterdir())


def test_job_that_waited_longer_than_its_run_lived_does_not_begin(folder, monkeypatch):
    run = subprocess.run(
        [sys.executable, "-c", owned("print(os.environ['ODTL_OWNER'])"), str(SCRIPTS)],
        capture_output=True,
        text=True,
        check=True,
    )
    monkeypatch.setenv("ODTL_OWNER", run.stdout.strip())
    monkeypatch.setenv("ODTL_RUN", "")
    running_jobs.announce("state")
    running_jobs.check_run()
    take()
    with pytest.raises(InputError, match="of an earlier run"):
        running_jobs.check_run()
    with pytest.raises(InputError, match="of an earlier run"), running_jobs.signed_on("train"):
        pass
    (folder / "state/run.lock").unlink()
    running_jobs.check_run()


def test_run_without_the_folder_tells_its_jobs_of_no_owner(monkeypatch):
    monkeypatch.setenv("ODTL_OWNER", "of another Snakemake around this one")
    running_jobs.announce_owner("state", held=False)
    assert "ODTL_OWNER" not in os.environ
