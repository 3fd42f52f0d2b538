"""Give every class an id, for ever."""

from job import logged
from odtl.label_map import write_label_map

with logged(snakemake.log[0]):
    write_label_map(
        snakemake.input.classes,
        snakemake.output.label_map,
        snakemake.config["labels"]["classes"],
        snakemake.params.label_map["label_map"],
        snakemake.output.ids,
    )
