"""Fetch one shard's images that are no files yet."""

from job import logged
from odtl.fetching.shard import fetch_shard

with logged(snakemake.log[0]):
    fetch_shard(
        snakemake.input.manifest,
        snakemake.output.ledger,
        snakemake.output.sidecar,
        "results/images",
        snakemake.config["fetch"],
        # Beside the log, where it outlives the failed job.
        f"{snakemake.log[0].removesuffix('.log')}.failed.csv",
    )
