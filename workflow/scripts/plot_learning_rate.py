"""Draw the loss over the learning rate."""

import json
from pathlib import Path

from job import logged
from odtl.plots import write_learning_rate_curve

with logged(snakemake.log[0]):
    found = json.loads(Path(snakemake.input.rate).read_text(encoding="utf-8"))
    write_learning_rate_curve(found, snakemake.output.curve, snakemake.params.plots["colors"])
