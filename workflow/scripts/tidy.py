"""Remove what no stage reads any more, and name what else could go."""

from job import logged
from odtl.leftovers import tidy

with logged(snakemake.log[0]):
    print(tidy("results", snakemake.params.kept["shards"], snakemake.params.kept["experiments"]))
