"""Gather the ledger, and count the data set."""

from job import logged
from odtl.dataset import write_card
from odtl.duplicates.telling import read_findings
from odtl.files import write_text_if_changed
from odtl.sidecars import check_content

with logged(snakemake.log[0]):
    check_content(zip(snakemake.input.ledgers, snakemake.input.sidecars, strict=True), "repairs")
    text = write_card(
        snakemake.input.summaries,
        snakemake.input.inventory,
        snakemake.input.ledgers,
        snakemake.input.label_map,
        read_findings(snakemake.input.duplicates, snakemake.input.copies),
        snakemake.output.repairs,
        snakemake.output.card,
    )
    write_text_if_changed(snakemake.output.text, text)
    print(text)
