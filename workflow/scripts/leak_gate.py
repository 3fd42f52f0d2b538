"""What keeps a training from starting on splits that leak.

It is beside the library, as `job` is: a change of it must not train a model again. And the table of duplicates is no
input of the training, for where one input is stale, Snakemake sees no other reason for any job after it.
"""

from collections.abc import Sequence

from odtl.duplicates.leaks import refuse_leaks

PROPOSAL = "results/dataset/groups.csv"


def check(mode: str, manifests: Sequence[str]) -> None:
    """Raise InputError if training images are in val or test, too, unless mode is "report"."""
    if mode == "refuse":
        refuse_leaks(manifests, "results/hashes", PROPOSAL)
