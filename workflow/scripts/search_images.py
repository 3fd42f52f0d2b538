"""Search for images and write the list of their addresses."""

from job import logged
from odtl.searching import search_images

with logged(snakemake.log[0]):
    search_images(snakemake.params.search, snakemake.output.urls)
