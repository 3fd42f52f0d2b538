"""Write the page of the data check."""

from job import logged
from odtl.check.page import Tables, write_page
from odtl.sidecars import check_content

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.boxes, snakemake.input.sidecars, strict=True), "boxes")
    tables = Tables(
        snakemake.input.card,
        snakemake.input.repairs,
        snakemake.input.duplicates,
        snakemake.input.copies,
        snakemake.input.label_map,
        snakemake.input.boxes,
        snakemake.input.inventory,
    )
    write_page(tables, snakemake.output.page)
