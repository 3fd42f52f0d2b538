"""Try the exported detector on images and videos."""

from pathlib import Path

from job import logged
from odtl.detecting.run import Options, detect_files
from odtl.listing import read_listing, with_fetched

with logged(snakemake.log[0], gpus=snakemake.resources.get("gpu", 0)):
    detect_files(
        snakemake.input.model,
        with_fetched(
            read_listing(snakemake.input.images, snakemake.params.listing["images_to_detect"]), snakemake.input.fetched
        ),
        Path(snakemake.output.table).parent,
        Options(**snakemake.params.settings),
    )
