"""Draw the course of a training."""

import json
from pathlib import Path

from job import logged
from odtl.plots import write_training_curves

with logged(snakemake.log[0]):
    summary = json.loads(Path(snakemake.input.summary).read_text(encoding="utf-8"))
    history = [*summary["loss"], *summary["validation"]]
    write_training_curves(history, snakemake.output.curve, snakemake.params.plots["colors"])
