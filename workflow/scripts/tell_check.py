"""Print what a person must know of the data, on one screen."""

import csv
from pathlib import Path

from job import logged

with logged(snakemake.log[0]):
    print(f"\n{Path(snakemake.input.text).read_text(encoding='utf-8')}\nWith pictures: {snakemake.input.page}")
    if snakemake.params.strict:
        with open(snakemake.input.repairs, encoding="utf-8", newline="") as stream:
            count = sum(1 for _ in csv.DictReader(stream))
        if count:
            where = f"{snakemake.input.repairs} lists them"
            print(f"data.strict is on: a training will be refused, for {count} thing(s) in the ledger; {where}.")
