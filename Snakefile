"""Label, run, relabel, run again: from a folder of labelled images to a tested, exported detector.

    snakemake --cores all --resources gpu=1

The stages are the files below, in order; each opens with what it needs and what it makes.
"""

from snakemake.utils import min_version

# What makes a job stale, and `update()`, were measured with this release.
min_version("9.27")


configfile: f"{workflow.basedir}/config/config.yaml"


if config["container"]:

    containerized: config["container"]


report: "workflow/report/workflow.rst"


include: "workflow/rules/storage.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/tracking.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/boxes.smk"
include: "workflow/rules/duplicates.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/records.smk"
include: "workflow/rules/convert.smk"
include: "workflow/rules/pretrained.smk"
include: "workflow/rules/pipeline_config.smk"
include: "workflow/rules/experiment.smk"
include: "workflow/rules/learning_rate.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/export_inputs.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/check_export.smk"
include: "workflow/rules/model_card.smk"
include: "workflow/rules/detect.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/summary.smk"
include: "workflow/rules/changes.smk"


rule all:
    default_target: True
    input:
        "results/summary.txt",
        PASSED_STRICT,
        "results/dataset/check.html",
        collect("results/{experiment}/pipeline_config.txt", experiment=PIPELINES),
        collect("results/{experiment}/detections/detections.csv", experiment=EXPERIMENTS),
        collect("results/{experiment}/checkpoint/training_curve.svg", experiment=EXPERIMENTS),
        collect("results/{experiment}/evaluation/pr_curve.svg", experiment=EXPERIMENTS),
        rules.comparison.input if len(EXPERIMENTS) > 1 else [],


onstart:
    check_folder()
    tell_run()


onsuccess:
    print_summary()
    keep_last_run()


onerror:
    tell_how_to_go_on()
