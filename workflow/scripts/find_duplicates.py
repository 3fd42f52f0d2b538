"""Find images that show the same, and propose groups that keep them together."""

from job import logged
from odtl.duplicates.finding import find_duplicates
from odtl.sidecars import check_content

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.hashes, snakemake.input.sidecars, strict=True), "hashes")
    find_duplicates(
        snakemake.input.hashes,
        snakemake.input.inventory,
        snakemake.input.get("configured") or None,
        snakemake.output.duplicates,
        snakemake.output.groups,
        snakemake.output.summary,
        snakemake.params.placing["placing"],
    )
