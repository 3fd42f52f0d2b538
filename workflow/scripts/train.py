"""Fine-tune a detector, or go on where a killed run was."""

import json
from pathlib import Path

import leak_gate

from job import logged
from odtl.devices import share_threads
from odtl.files import sha256_of
from odtl.label_map import read_label_map
from odtl.last_model import Data, read_images
from odtl.sidecars import check_sizes, recorded_sha256
from odtl.training import train
from odtl.training.nodes import nodes_of_job
from odtl.training.options import Options
from odtl.warm_start import WarmStart

options = Options.of({**snakemake.params.options, **snakemake.params.kept})
# More than it needs are of no use to a training.
with logged(snakemake.log[0], gpus=min(snakemake.resources.get("gpu", 0), options.spread.replicas)):
    nodes = nodes_of_job(options.spread.workers)
    # Processes of one machine share its cores.
    share_threads(snakemake.threads if nodes else max(1, snakemake.threads // options.spread.workers))
    leak_gate.check(snakemake.params.leaks, snakemake.input.inventory)
    # Hashing all records again would take minutes for a large data set on a slow disk. A record and its sidecar are
    # written by one job, each whole, the sidecar last; one that was put there by other means hardly has the same size.
    files = dict(zip(snakemake.input.records, snakemake.input.sidecars, strict=True))
    check_sizes(files.items(), "records")
    pretrained = snakemake.input.get("pretrained")
    fingerprint = {
        "records": {path: recorded_sha256(sidecar, "records") for path, sidecar in files.items()},
        "pretrained": sha256_of(pretrained) if pretrained else None,
    }
    label_map = read_label_map(snakemake.input.label_map)
    warm_start = WarmStart(
        snakemake.params.warm_start,
        Data(read_images(snakemake.input.boxes), label_map),
        json.loads(Path(pretrained).read_text(encoding="utf-8")) if pretrained else None,
        snakemake.params.follows,
    )
    train(
        snakemake.input.experiment,
        snakemake.params.factory,
        snakemake.params.state,
        Path(snakemake.output.index).with_suffix(""),
        fingerprint,
        snakemake.output.summary,
        **snakemake.params.pretrained,
        warm_start=warm_start,
        options=options.with_repeats(snakemake.input.boxes, label_map),
        folded_batch_norm=snakemake.params.batch_norm == "folded",
        nodes=nodes,
    )
