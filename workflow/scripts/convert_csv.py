"""Write all boxes of all splits as one CSV in the tutorials' columns."""

from job import logged
from odtl.conversion.table import convert
from odtl.sidecars import check_content

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.boxes, snakemake.input.sidecars, strict=True), "boxes")
    print(convert(snakemake.input.boxes, snakemake.input.fetched, snakemake.output.table))
