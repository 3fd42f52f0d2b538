"""Write one split as Pascal VOC: the images, and an XML beside each."""

from job import logged
from odtl.conversion.voc import convert
from odtl.sidecars import check_content

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.boxes, snakemake.input.sidecars, strict=True), "boxes")
    print(convert(snakemake.input.boxes, snakemake.output.folder, snakemake.params.images["images"] == "link"))
