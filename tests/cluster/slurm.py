"""A real Slurm on this machine: one controller and two nodes on loopback, one of them with a GPU.

The GPU is a device file that nobody computes on; Slurm hands it out as it would a real one.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import debian

PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "srun"]
# Job steps drop SLURM_CONF: they look for their configuration here only.
CONFIGURATION = Path("/etc/slurm")
CPU_NODE, GPU_NODE = "node-cpu", "node-gpu"
# Not the default one, so that a job must ask for it.
PARTITION = "demo"
START_SECONDS, STOP_SECONDS = 60, 20
_ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


class CannotRunError(Exception):
    """Why there can be no Slurm on this machine."""


def install() -> None:
    """Install what is missing of Debian's slurm-wlm and munge.

    Raises CannotRunError where this is not root on a Debian, or the packages cannot be had.
    """
    if os.geteuid() != 0:
        raise CannotRunError("a Slurm is only started by root")
    if any((CONFIGURATION / name).exists() for name in ("slurm.conf", "gres.conf", "cgroup.conf")):
        raise CannotRunError(f"{CONFIGURATION} holds the configuration of a Slurm already")
    if all(_find(program) for program in PROGRAMS):
        return
    with _no_services():
        if why := debian.install("slurm-wlm", "munge"):
            raise CannotRunError(why)


@dataclass(frozen=True)
class Job:
    """A line of squeue: id (of an array's task, with its number), state, where it runs or why not, and its rule."""

    id: str
    state: str
    where: str
    rule: str


class Slurm:
    """A Slurm that runs. `folder` holds all it writes, its logs too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen] = {}

    def jobs(self) -> list[Job]:
        """Return the jobs that wait, run, or have ended not long ago; the rule comes with its wildcards."""
        listed = call("squeue", "--states=all", "--noheader", "--format=%i|%T|%R|%k")
        return [Job(*line.split("|")) for line in listed.splitlines()]

    def of_rule(self, rule: str, *states: str) -> list[Job]:
        """Return the jobs of a rule, its wildcards behind it, that are in one of some states; of none: in any."""
        return [job for job in self.jobs() if job.rule == f"rule_{rule}" and (not states or job.state in states)]

    def logs(self) -> str:
        """Return the ends of all logs, for a person who looks for what went wrong."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in sorted(self.folder.glob("*.log"))
        )

    def start(self) -> None:
        """Start all daemons and wait until both nodes are ready."""
        munge = self.folder / "munge"
        munge.mkdir(mode=0o700)
        key = munge / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        socket_path = munge / "socket"
        own = [f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed")]
        # Forced: root alone is to reach the socket, and munged would have it open to all.
        self._start("munged", "--foreground", "--force", f"--socket={socket_path}", *own)
        wait_for(lambda: self._all_live() and socket_path.exists(), START_SECONDS, "munged")
        _configure(self.folder, socket_path)
        self._start("slurmctld", "-D", "-i")
        for node in (CPU_NODE, GPU_NODE):
            self._start("slurmd", "-D", "-N", node, name=node)
        try:
            wait_for(self._is_ready, START_SECONDS, "both nodes")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.logs()}") from None

    def stop(self) -> None:
        """Cancel all jobs, and end the daemons that were started here, the last one first."""
        if "slurmctld" in self.processes:
            with contextlib.suppress(subprocess.SubprocessError, TimeoutError):
                waiting = [job.id for job in self.jobs() if job.state in ("PENDING", "RUNNING", "SUSPENDED")]
                if waiting:
                    call("scancel", *waiting)
                wait_for(
                    lambda: not any(job.state in ("RUNNING", "COMPLETING") for job in self.jobs()),
                    STOP_SECONDS,
                    "the jobs' end",
                )
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def _start(self, program: str, *arguments: str, name: str | None = None) -> None:
        with open(self.folder / f"{name or program}.out.log", "wb") as log:
            self.processes[name or program] = subprocess.Popen(
                [_find(program), *arguments],
                env=_ENVIRONMENT,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C ends the tests, and these with them, in order.
                start_new_session=True,
            )

    def _all_live(self) -> bool:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} has ended with status {process.returncode}\n{self.logs()}")
        return True

    def _is_ready(self) -> bool:
        self._all_live()
        try:
            states = call("sinfo", "--Node", "--noheader", "--format=%T").split()
        except subprocess.SubprocessError:
            return False
        return states == ["idle", "idle"]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Run a Slurm while the block runs, and leave nothing of it behind; `install` comes first."""
    slurm = Slurm(folder)
    there_before = CONFIGURATION.exists()
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
            (CONFIGURATION / name).unlink(missing_ok=True)
        if not there_before:
            CONFIGURATION.rmdir()


def call(*command: str) -> str:
    """Return what one of Slurm's commands prints; raises subprocess.SubprocessError."""
    return subprocess.run(command, env=_ENVIRONMENT, check=True, capture_output=True, text=True, timeout=30).stdout


def wait_for(happened: Callable[[], object], seconds: float, what: str):
    """Return what `happened` does once that is true; raises TimeoutError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)
    return found


def _configure(folder: Path, munge: Path) -> None:
    control, *nodes = _free_ports(3)
    cores, memory = len(os.sched_getaffinity(0)), 32_000
    CONFIGURATION.mkdir(exist_ok=True)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    device = "/dev/null"
    (CONFIGURATION / "slurm.conf").write_text(
        f"""# Of a test; it is removed when that ends.
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={control}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge}
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
# No cgroups: a container often has none to give away.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
KillWait=5
# What has ended is asked for to the end of the tests.
MinJobAge=7200
ReturnToService=2
MpiDefault=none
# What the nodes are said to have goes before what they find.
SlurmdParameters=config_overrides
NodeName=DEFAULT CPUs={cores} RealMemory={memory}
NodeName={CPU_NODE} NodeHostname=localhost NodeAddr=127.0.0.1 Port={nodes[0]} Weight=1
NodeName={GPU_NODE} NodeHostname=localhost NodeAddr=127.0.0.1 Port={nodes[1]} Weight=2 Gres=gpu:1
PartitionName={PARTITION} Nodes={CPU_NODE},{GPU_NODE} MaxTime=INFINITE State=UP
"""
    )
    (CONFIGURATION / "gres.conf").write_text(f"NodeName={GPU_NODE} Name=gpu File={device}\n")
    (CONFIGURATION / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _find(program: str) -> str | None:
    return shutil.which(program, path=_ENVIRONMENT["PATH"])


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Keep packages that are installed in the block from starting daemons, as Debian's policy-rc.d allows."""
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            policy.unlink(missing_ok=True)
