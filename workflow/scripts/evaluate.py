"""Score a trained detector on every test image."""

from pathlib import Path

from job import logged
from odtl.evaluation import evaluate

with logged(snakemake.log[0]):
    evaluate(
        snakemake.input.experiment,
        snakemake.params.factory,
        Path(snakemake.input.checkpoint).with_suffix(""),
        snakemake.input.records,
        snakemake.input.label_map,
        metrics_json=snakemake.output.metrics,
        per_class_csv=snakemake.output.per_class,
        pr_curve_csv=snakemake.output.pr_points,
        pr_curve_svg=snakemake.output.pr_curve,
        detections_json=snakemake.output.detections,
    )
