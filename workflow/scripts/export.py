"""Export a trained detector, and prove that the exports find what it finds."""

from pathlib import Path

from job import logged
from odtl.compare import Tolerances
from odtl.export import export

# On the CPU: a GPU belongs to the jobs that ask for one.
with logged(snakemake.log[0], gpus=0):
    settings = snakemake.params.settings
    export(
        snakemake.input.experiment,
        snakemake.params.factory,
        Path(snakemake.input.checkpoint).with_suffix(""),
        snakemake.input.label_map,
        snakemake.input.records,
        Path(snakemake.output.graph).parent,
        tolerances=Tolerances(settings["min_iou"], settings["max_score_difference"]),
        images=settings["images"],
    )
