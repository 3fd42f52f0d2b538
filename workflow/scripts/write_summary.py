"""Say in a few lines what was made and where."""

from job import logged
from odtl.summary import write_summary

with logged(snakemake.log[0]):
    write_summary("results", snakemake.params.trainings["trainings"], snakemake.output.summary)
