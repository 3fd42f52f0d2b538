"""Score a trained detector on every test image."""

from pathlib import Path

from job import logged
from odtl.evaluation import evaluate
from odtl.sidecars import check_sizes

with logged(snakemake.log[0], gpus=snakemake.resources.get("gpu", 0)):
    check_sizes(zip(snakemake.input.records, snakemake.input.sidecars, strict=True), "records")
    evaluate(
        snakemake.input.experiment,
        snakemake.params.factory,
        Path(snakemake.input.checkpoint).with_suffix(""),
        snakemake.input.records,
        snakemake.input.label_map,
        metrics_json=snakemake.output.metrics,
        per_class_csv=snakemake.output.per_class,
        pr_curve_csv=snakemake.output.pr_points,
        detections_json=snakemake.output.detections,
    )
