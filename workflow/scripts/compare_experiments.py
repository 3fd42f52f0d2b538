"""Put all experiments beside each other: as tables, curves and a page."""

from job import logged
from odtl.comparison.gathering import gather
from odtl.comparison.page import write_page
from odtl.comparison.plot import write_comparison
from odtl.comparison.tables import write_experiments, write_trainings

with logged(snakemake.log[0]):
    experiments = gather("results", snakemake.params.trainings["trainings"], snakemake.params.settings["differing"])
    write_experiments(experiments, snakemake.output.experiments)
    write_trainings(experiments, snakemake.output.trainings)
    write_comparison(experiments, snakemake.output.plot, snakemake.params.plots["colors"])
    write_page(experiments, snakemake.output.plot, snakemake.output.page)
