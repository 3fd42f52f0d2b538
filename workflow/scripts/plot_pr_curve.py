"""Draw precision over recall, a line for each class."""

from job import logged
from odtl.plots import read_pr_curves, write_pr_curves

with logged(snakemake.log[0]):
    curves = read_pr_curves(snakemake.input.points, snakemake.input.per_class)
    write_pr_curves(curves, snakemake.output.curve, snakemake.params.plots["colors"])
