"""Write one split as YOLO: a folder of images, and one of labels."""

from job import logged
from odtl.conversion.yolo import convert
from odtl.sidecars import check_content

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.boxes, snakemake.input.sidecars, strict=True), "boxes")
    print(
        convert(
            snakemake.input.boxes,
            snakemake.input.label_map,
            snakemake.output.images,
            snakemake.output.labels,
            snakemake.params.images["images"] == "link",
        )
    )
