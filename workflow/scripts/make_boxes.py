"""Turn one shard of the inventory into canonical boxes and a ledger of repairs."""

from job import logged
from odtl.fetching.ledger import read_ledgers
from odtl.making_boxes import make_boxes

with logged(snakemake.log[0]):
    make_boxes(
        snakemake.input.manifest,
        snakemake.output.boxes,
        snakemake.output.repairs,
        snakemake.output.sidecar,
        snakemake.params.manifest,
        snakemake.params.settings["decode"],
        read_ledgers(snakemake.input.fetched),
    )
