"""The settings of a training that official.vision's configuration has no place for."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odtl.distribution import Distribution
from odtl.oversampling import factors_by_id, image_shares, repeat_factors


@dataclass(frozen=True)
class Options:
    """What changes a training beside experiment.yaml; each is a key of `training` in the configuration.

    freeze:         null; "backbone", which experiment.yaml holds, too; or how many of the backbone's first layers keep
                    their pretrained weights.
    deterministic:  whether the same seed gives the same weights and figures (see docs/training.md).
    oversampling:   the share of the images below which a class is shown more often; see `odtl.oversampling`.
    repeats:        what follows from it for the data at hand: the factor of each class, by id; see `with_repeats`.
    early_stopping: `patience`, in evaluations, and `min_delta`, in AP; see `scores.stopped_at`.
    mixed_precision: "auto": what the hardware is fast at; else what experiment.yaml says.
    augmentation:   `color`, `aspect`, `mosaic` as `odtl.augmentation.Augmentation` has them; further keys stand in
                    experiment.yaml.
    distribution, devices, workers: on how many devices and in how many processes; see `odtl.distribution`.
    keep_checkpoints: the weights of how many evaluations, the last ones, are kept beside the best ones.
    """

    freeze: str | int | None = None
    deterministic: bool = False
    oversampling: float | None = None
    repeats: tuple[float, ...] | None = None
    early_stopping: Mapping[str, Any] = field(default_factory=lambda: {"patience": None, "min_delta": 0.0})
    mixed_precision: str | None = None
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    distribution: str = "one"
    devices: int = 1
    workers: int = 1
    keep_checkpoints: int = 5

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Options":
        """Return the options among an experiment's settings; what is not there has its default."""
        names = {known.name for known in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in settings.items() if name in names})

    def with_repeats(self, boxes_csvs: Iterable[str | os.PathLike], label_map: Mapping[str, int]) -> "Options":
        """Return the options with the factors that follow from the boxes tables of the data."""
        if self.oversampling is None:
            return self
        factors = repeat_factors(image_shares(boxes_csvs), self.oversampling)
        return dataclasses.replace(self, repeats=tuple(factors_by_id(factors, label_map).tolist()))

    @property
    def spread(self) -> Distribution:
        """On how many devices, and in how many processes."""
        return Distribution(self.distribution, self.devices, self.workers)

    def identity(self) -> dict[str, Any]:
        """Return what weights depend on beside the data, as JSON can hold it.

        When a training ends is not part of it, nor what is kept of it.
        """
        others = {"early_stopping", "keep_checkpoints", "repeats"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in others}
