"""Find a learning rate for an experiment, and say how to set it."""

from job import logged
from odtl.files import write_json
from odtl.label_map import read_label_map
from odtl.sidecars import check_sizes
from odtl.training.options import Options
from odtl.training.rate_finding import describe, find_rate

with logged(snakemake.log[0], gpus=snakemake.resources.get("gpu", 0), threads=snakemake.threads):
    files = dict(zip(snakemake.input.records, snakemake.input.sidecars, strict=True))
    check_sizes(files.items(), "records")
    found = find_rate(
        snakemake.input.experiment,
        snakemake.params.factory,
        snakemake.params.normalisation["normalisation"],
        Options.of(snakemake.params.options).with_repeats(
            snakemake.input.boxes, read_label_map(snakemake.input.label_map)
        ),
        folded_batch_norm=snakemake.params.batch_norm == "folded",
    )
    write_json(snakemake.output.rate, found)
    print(describe(found, snakemake.wildcards.experiment))
