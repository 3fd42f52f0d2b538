"""Measure how long each export takes for an image."""

from job import logged
from odtl.export.latency import measure_latency

with logged(snakemake.log[0]):
    settings = snakemake.params.settings
    candidates = dict(zip(settings["formats"], snakemake.input.candidates, strict=True))
    measure_latency(candidates, snakemake.input.records, settings["threads"], snakemake.output.latency)
