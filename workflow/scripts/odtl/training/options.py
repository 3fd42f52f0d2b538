"""The settings of a training that official.vision's configuration has no place for."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Options:
    """What changes a training beside experiment.yaml; each is a key of `training` in the configuration.

    freeze:         null; "backbone", which experiment.yaml holds, too; or how many of the backbone's first layers keep
                    their pretrained weights.
    deterministic:  whether the same seed gives the same weights and figures (see docs/training.md).
    early_stopping: `patience`, in evaluations, and `min_delta`, in AP; see `scores.stopped_at`.
    mixed_precision: "auto": what the hardware is fast at; else what experiment.yaml says.
    augmentation:   `color`, `aspect`, `mosaic` as `odtl.augmentation.Augmentation` has them; further keys stand in
                    experiment.yaml.
    """

    freeze: str | int | None = None
    deterministic: bool = False
    early_stopping: Mapping[str, Any] = field(default_factory=lambda: {"patience": None, "min_delta": 0.0})
    mixed_precision: str | None = None
    augmentation: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Options":
        """Return the options among an experiment's settings; what is not there has its default."""
        names = {known.name for known in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in settings.items() if name in names})

    def identity(self) -> dict[str, Any]:
        """Return what weights depend on, as JSON can hold it: when a training ends is not part of it."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "early_stopping"}
