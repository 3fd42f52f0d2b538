"""Give every class an id, for ever."""

from job import logged
from odtl.label_map import write_label_map

with logged(snakemake.log[0]):
    label_map = snakemake.output.label_map
    write_label_map(snakemake.input.classes, label_map, snakemake.params.classes, label_map)
