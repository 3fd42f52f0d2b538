"""Fine-tune a detector, or go on where a killed run was."""

import json
from pathlib import Path

from job import logged
from odtl.files import sha256_of
from odtl.label_map import read_label_map
from odtl.plots import write_training_curves
from odtl.training import train
from odtl.warm_start import Data, WarmStart, read_images

with logged(snakemake.log[0]):
    records = [*snakemake.input.train, *snakemake.input.val]
    pretrained = snakemake.input.get("pretrained")
    fingerprint = {
        "records": {path: sha256_of(path) for path in records},
        "pretrained": sha256_of(pretrained) if pretrained else None,
    }
    warm_start = WarmStart(
        snakemake.params.warm_start,
        Data(read_images(snakemake.input.boxes), read_label_map(snakemake.input.label_map)),
        json.loads(Path(pretrained).read_text(encoding="utf-8")) if pretrained else None,
    )
    summary = train(
        snakemake.input.experiment,
        snakemake.params.factory,
        snakemake.params.state,
        Path(snakemake.output.index).with_suffix(""),
        fingerprint,
        snakemake.output.summary,
        snakemake.params.normalisation["normalisation"],
        warm_start=warm_start,
    )
    write_training_curves([*summary["loss"], *summary["validation"]], snakemake.output.curve)
