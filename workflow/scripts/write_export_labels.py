"""Put the names of the classes beside the exports."""

from job import logged
from odtl.export.metadata import write_labels

with logged(snakemake.log[0]):
    write_labels(snakemake.input.label_map, snakemake.output.label_map, snakemake.output.labels)
