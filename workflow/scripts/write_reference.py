"""Write down what the checkpoint finds on the images that its exports are compared on."""

from job import logged
from odtl.export.choice import choose
from odtl.export.reference import Evaluated, write_reference

with logged(snakemake.log[0], gpus=0):
    settings = snakemake.params.settings
    write_reference(
        snakemake.input.experiment,
        snakemake.params.factory,
        choose(settings["checkpoint"], snakemake.input.training, snakemake.params.state),
        snakemake.input.label_map,
        {split: snakemake.input.get(split) for split in snakemake.params.splits},
        settings["images"],
        snakemake.output.reference,
        snakemake.output.sidecar,
        Evaluated(snakemake.input.metrics, snakemake.input.detections),
    )
