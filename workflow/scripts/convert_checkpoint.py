"""Convert a trained detector to TFLite or ONNX: a candidate, until the gate has compared it."""

from job import logged
from odtl.export.choice import choose
from odtl.export.converting import convert_checkpoint
from odtl.export.sidecars import describe

with logged(snakemake.log[0], gpus=0):
    choice = choose(snakemake.params.settings["checkpoint"], snakemake.input.training, snakemake.params.state)
    facts = convert_checkpoint(
        snakemake.input.experiment,
        snakemake.params.factory,
        choice.prefix,
        snakemake.input.label_map,
        snakemake.input.records,
        snakemake.wildcards.format,
        snakemake.output.folder,
    )
    describe(snakemake.output.sidecar, snakemake.output.folder, choice, facts)
