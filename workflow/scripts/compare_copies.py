"""Compare the boxes of images that are the same file."""

from job import logged
from odtl.duplicates.copies import compare_copies
from odtl.sidecars import check_content

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.boxes, snakemake.input.sidecars, strict=True), "boxes")
    compare_copies(snakemake.input.duplicates, snakemake.input.boxes, snakemake.output.copies, snakemake.output.summary)
