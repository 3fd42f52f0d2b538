"""Stop here if training images are in val or test, too."""

from job import logged
from odtl.duplicates.leaks import check_leaks

with logged(snakemake.log[0]):
    check_leaks(
        snakemake.input.summary, snakemake.input.groups, snakemake.output.verdict, snakemake.params.leaks["leaks"]
    )
