"""Stop here if anything had to be repaired or rejected, or cannot be told."""

from job import logged
from odtl.files import atomic_open, dump_json
from odtl.sidecars import check_content
from odtl.strict import check_strict

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.ledgers, snakemake.input.sidecars, strict=True), "repairs")
    check_strict(snakemake.input.ledgers, snakemake.input.copies, snakemake.input.inventory)
    with atomic_open(snakemake.output.passed) as stream:
        dump_json({"repaired_or_rejected": 0}, stream)
