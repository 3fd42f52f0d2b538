"""On how many devices a training computes: on one, on several of a machine, or in several processes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from odtl.errors import Problem

# What official.vision calls them, in `runtime.distribution_strategy`.
OFFICIAL = {"one": "one_device", "mirrored": "mirrored", "multi_worker": "multi_worker_mirrored"}


@dataclass(frozen=True)
class Distribution:
    """The settings of `training` that say it.

    distribution: "one"; "mirrored", on several GPUs of one process; "multi_worker", in several processes.
    devices:      GPUs of each process. workers: processes.
    """

    distribution: str = "one"
    devices: int = 1
    workers: int = 1

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Distribution":
        """Return that of an experiment's settings; what is not there has its default."""
        return cls(**{key: settings[key] for key in ("distribution", "devices", "workers") if key in settings})

    @property
    def replicas(self) -> int:
        """How many copies of the model compute at the same time, each on its share of a batch; a GPU for each."""
        return self.devices * self.workers

    def problems(self, where: str, batch_size: int | None = None, deterministic: bool = False) -> Iterator[Problem]:
        """Yield what makes no sense of an experiment whose settings stand at `where`; batch_size None: unknown yet."""
        kind = self.distribution
        if kind == "one" and self.devices > 1:
            cure = "Set `distribution: mirrored` to compute on several, or leave this out."
            yield Problem("config", f"{where}.devices", str(self.devices), cure)
        if kind != "multi_worker" and self.workers > 1:
            cure = "Set `distribution: multi_worker` to compute in several processes, or leave this out."
            yield Problem("config", f"{where}.workers", str(self.workers), cure)
        if kind == "mirrored" and self.devices == 1:
            cure = "Say on how many, in `devices`; or leave `distribution` out for one."
            yield Problem("config", f"{where}.distribution", "mirrored over one device", cure)
        if kind == "multi_worker" and self.workers == 1:
            cure = "Say how many processes, in `workers`; within one, `mirrored` takes several GPUs."
            yield Problem("config", f"{where}.distribution", "multi_worker with one worker", cure)
        if kind == "multi_worker" and deterministic:
            cure = "Sums over several processes are not known to come in one order: leave one of the two out."
            yield Problem("config", f"{where}.deterministic", "true with multi_worker", cure)
        if batch_size and batch_size % self.replicas:
            cure = f"It is that of all {self.replicas} devices together: a multiple of {self.replicas} is needed."
            yield Problem("config", f"{where}.batch_size", str(batch_size), cure)

    def runtime(self) -> dict[str, Any]:
        """Return what official.vision's `runtime` says of it; it has no place for the number of processes."""
        spread = {"num_gpus": self.devices} if self.replicas > 1 else {}
        return {"distribution_strategy": OFFICIAL[self.distribution], **spread}
