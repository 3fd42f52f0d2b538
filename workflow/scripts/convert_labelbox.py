"""Write what exports of Labelbox say as COCO, with the images' addresses."""

from job import logged
from odtl.conversion.labelbox import convert
from odtl.inventory.listing import annotation_places
from odtl.sidecars import check_content

# From the configuration itself, which is not tracked: where an export lies is in the manifests, too.
SOURCES = [snakemake.config["data"]["sources"][number] for number in snakemake.params.sources["sources"]]

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.boxes, snakemake.input.sidecars, strict=True), "boxes")
    print(
        convert(
            snakemake.input.boxes,
            dict(zip(snakemake.input.manifests, snakemake.params.manifests["manifests"], strict=True)),
            [place for source in SOURCES for _, place in annotation_places(source["annotations"])],
            snakemake.input.label_map,
            snakemake.output.labels,
        )
    )
