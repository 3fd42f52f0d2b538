"""Write one split's boxes as the tutorials' CSV, and count what is in it."""

from job import logged
from odtl.dataset import write_split_tables

with logged(snakemake.log[0]):
    write_split_tables(
        snakemake.input.boxes, snakemake.output.labels, snakemake.output.summary, snakemake.wildcards.split
    )
