"""Write one split's boxes as the tutorials' CSV, and count what is in it."""

from job import logged
from odtl.dataset import write_split_tables
from odtl.sidecars import check_content

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.boxes, snakemake.input.sidecars, strict=True), "boxes")
    write_split_tables(
        snakemake.input.boxes, snakemake.output.labels, snakemake.output.summary, snakemake.wildcards.split
    )
