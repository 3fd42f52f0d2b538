"""Say what each image of one shard looks like, so that copies of it are found."""

from job import logged
from odtl.duplicates.hashes import hash_images
from odtl.fetching.ledger import read_ledgers

with logged(snakemake.log[0]):
    hash_images(
        snakemake.input.manifest,
        snakemake.output.hashes,
        snakemake.output.sidecar,
        snakemake.params.images["images"],
        read_ledgers(snakemake.input.fetched),
    )
