"""Gather the ledger, count the data set, and stop here if it must not be trained on."""

from job import logged
from odtl.dataset import write_card
from odtl.files import write_text_if_changed

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
    write_text_if_changed(snakemake.output.text, text)
    print(text)
