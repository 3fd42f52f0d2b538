"""Gather the ledger, count the data set, and stop here if it must not be trained on."""

from job import logged
from odtl.dataset import write_card
from odtl.files import write_text_if_changed
from odtl.sidecars import check_content

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.ledgers, snakemake.input.sidecars, strict=True), "repairs")
    text = write_card(
        snakemake.input.summaries,
        snakemake.input.inventory,
        snakemake.input.ledgers,
        snakemake.input.label_map,
        snakemake.output.repairs,
        snakemake.output.card,
        snakemake.params.strict["strict"],
    )
    write_text_if_changed(snakemake.output.text, text)
    print(text)
