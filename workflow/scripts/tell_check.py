"""Print what a person must know of the data, on one screen."""

from pathlib import Path

from job import logged
from odtl import strict

with logged(snakemake.log[0]):
    print(f"\n{Path(snakemake.input.text).read_text(encoding='utf-8')}\nWith pictures: {snakemake.input.page}")
    if snakemake.params.strict:
        told = {
            f"in the ledger, {snakemake.input.repairs}": strict.of_ledger([snakemake.input.repairs]),
            "of which the warnings tell": strict.of_images(snakemake.input.copies, snakemake.input.inventory),
        }
        counts = {where: sum(1 for _ in problems) for where, problems in told.items()}
        if any(counts.values()):
            what = "; ".join(f"{count} thing(s) {where}" for where, count in counts.items() if count)
            print(f"data.strict is on: a training will be refused, for {what}.")
