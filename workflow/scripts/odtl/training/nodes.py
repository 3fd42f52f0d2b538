"""The nodes of a cluster's job: which they are, and how a process is started on another one of them.

Slurm's own commands say and do that; the network between nodes and the files that they share are the cluster's.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from odtl.errors import InputError, Problem

# Slurm answers at once, or after its own tries to reach its controller.
_PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Node:
    """A node of the job that this process is part of.

    name: as Slurm calls it. address: by which other nodes reach it.
    """

    name: str
    address: str


@dataclass(frozen=True)
class Nodes:
    """The nodes of a Slurm job, the one of this process first.

    job: the job's id. cores: how many of each node a process of the job has.
    """

    job: str
    cores: int
    nodes: Sequence[Node]

    def command(self, place: int, command: Sequence[str]) -> list[str]:
        """Return the command that runs another one on a node; its standard input and output are passed on."""
        # The step may have what the job has there, GPUs too.
        step = [f"--jobid={self.job}", "--overlap", "--nodes=1", "--ntasks=1", f"--cpus-per-task={self.cores}"]
        return ["srun", "--quiet", *step, f"--nodelist={self.nodes[place].name}", *command]


def nodes_of_job(workers: int, environment: Mapping[str, str] = os.environ) -> Nodes | None:
    """Return as many nodes of this process's Slurm job as there are to be processes; None: all are to be here.

    None is for a machine that is no node of Slurm's, and for a job of one node. Raises InputError where the job has
    several nodes, but fewer than `workers`, and where Slurm does not say.
    """
    job, name = environment.get("SLURM_JOB_ID"), environment.get("SLURMD_NODENAME")
    if workers == 1 or not job or not name or not shutil.which("scontrol"):
        return None
    told = _scontrol("show", "job", job)
    names = _scontrol("show", "hostnames", _value(told, "NodeList")).split()
    if len(names) == 1 or name not in names:
        return None
    if len(names) < workers:
        cure = "Each process takes a node: ask for so many nodes (`nodes`), or set `workers` to their number."
        raise InputError(Problem("training", "workers", f"{workers} on {len(names)} nodes of job {job}", cure))
    chosen = [name, *(each for each in names if each != name)][:workers]
    nodes = [Node(each, _value(_scontrol("show", "node", each), "NodeAddr")) for each in chosen]
    return Nodes(job, int(_value(told, "CPUs/Task")), nodes)


def _scontrol(*arguments: str) -> str:
    command = ["scontrol", "--oneliner", *arguments]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", "") or "").strip()
        cure = f"Slurm does not say which nodes the training has ({said or error}): run again, or set `workers: 1`."
        raise InputError(Problem("training", "workers", f"scontrol {' '.join(arguments)} failed", cure)) from None
    return done.stdout


def _value(told: str, key: str) -> str:
    """Return what scontrol tells of a key, of which the first one counts."""
    return re.search(rf"(?:^|\s){key}=(\S+)", told)[1]
