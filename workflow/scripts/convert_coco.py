"""Write one split as COCO: a JSON, and the images beside it."""

from job import logged
from odtl.conversion.coco import convert
from odtl.sidecars import check_content

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.boxes, snakemake.input.sidecars, strict=True), "boxes")
    print(
        convert(
            snakemake.input.boxes,
            snakemake.input.fetched,
            snakemake.input.label_map,
            snakemake.output.labels,
            snakemake.output.images,
            snakemake.params.images["images"] == "link",
        )
    )
