"""Bring a pretrained checkpoint here, verified."""

from pathlib import Path

from job import logged
from odtl import zoo
from odtl.pretrained import fetch

with logged(snakemake.log[0]):
    settings = snakemake.config["pretrained"]
    models = zoo.load([Path(__file__).parents[1] / "zoo.yaml", *settings["zoo"]])
    fetch(
        models[snakemake.wildcards.model],
        Path(snakemake.output.source).parent,
        settings["mirror"],
        settings["checksums"],
    )
