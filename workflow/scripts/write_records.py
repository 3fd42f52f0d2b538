"""Write one shard's images and boxes as a TFRecord."""

from job import logged
from odtl.records import write_records
from odtl.sidecars import recorded_sha256

with logged(snakemake.log[0]):
    write_records(
        snakemake.input.boxes,
        snakemake.params.ids["class_ids"],
        snakemake.output.records,
        snakemake.output.sidecar,
        recorded_sha256(snakemake.input.sidecar, "boxes"),
    )
