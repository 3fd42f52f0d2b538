"""Gather the ledger, count the data set, and stop here if it must not be trained on."""

from pathlib import Path

from job import logged
from odtl.dataset import write_card

with logged(snakemake.log[0]):
    text = write_card(
        snakemake.input.summaries,
        snakemake.input.inventory,
        snakemake.input.repairs,
        snakemake.input.label_map,
        snakemake.output.repairs,
        snakemake.output.card,
        snakemake.params.strict["strict"],
    )
    Path(snakemake.output.text).write_text(text, encoding="utf-8")
    print(text)
