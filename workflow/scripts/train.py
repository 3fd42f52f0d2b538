"""Fine-tune a detector, or go on where a killed run was."""

from pathlib import Path

from job import logged
from odtl.files import sha256_of
from odtl.plots import write_training_curves
from odtl.training import train

with logged(snakemake.log[0]):
    records = [*snakemake.input.train, *snakemake.input.val]
    fingerprint = {
        "records": {path: sha256_of(path) for path in records},
        "pretrained": sha256_of(snakemake.input.pretrained) if snakemake.input.get("pretrained") else None,
    }
    summary = train(
        snakemake.input.experiment,
        snakemake.params.factory,
        snakemake.params.state,
        Path(snakemake.output.index).with_suffix(""),
        fingerprint,
        snakemake.output.summary,
        snakemake.params.normalisation["normalisation"],
    )
    write_training_curves([*summary["loss"], *summary["validation"]], snakemake.output.curve)
