"""Write YOLO's data.yaml: where the splits are, and the names of the classes."""

from job import logged
from odtl.conversion.yolo import write_data_yaml
from odtl.split import SPLITS

with logged(snakemake.log[0]):
    write_data_yaml(snakemake.input.label_map, snakemake.output.data, SPLITS)
