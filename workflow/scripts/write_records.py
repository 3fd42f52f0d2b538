"""Write one shard's images and boxes as a TFRecord."""

from job import logged
from odtl.records import write_records

with logged(snakemake.log[0]):
    write_records(snakemake.input.boxes, snakemake.input.label_map, snakemake.output.records)
