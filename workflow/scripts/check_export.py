"""Publish an export, if it finds what its checkpoint finds."""

from job import logged
from odtl.compare import Tolerances
from odtl.export.gate import check_export

with logged(snakemake.log[0], gpus=0):
    settings = snakemake.params.settings
    check_export(
        snakemake.params.export_format,
        snakemake.input.candidate,
        snakemake.input.sidecar,
        snakemake.input.reference,
        snakemake.input.label_map,
        {split: snakemake.input.get(split) for split in snakemake.params.splits},
        settings["images"],
        Tolerances(**settings["tolerances"]),
        snakemake.output.published,
        snakemake.output.parity,
    )
