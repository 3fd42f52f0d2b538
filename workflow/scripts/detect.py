"""Try the exported detector on images."""

from pathlib import Path

from job import logged
from odtl.inference import detect_folder

with logged(snakemake.log[0]):
    settings = snakemake.params.settings
    detect_folder(
        snakemake.input.model,
        settings["images"],
        Path(snakemake.output.table).parent,
        settings["score_threshold"],
        settings["max_images"],
    )
