"""How good it is, on images that it has not seen.

Needs: results/{experiment}/checkpoint/, the test records, the label map.
Makes: results/{experiment}/evaluation/: metrics.json, per_class.csv, pr_curve.svg and .csv, detections.json.
"""


rule evaluate:
    input:
        experiment="results/{experiment}/experiment.yaml",
        checkpoint=ancient("results/{experiment}/checkpoint/ckpt.index"),
        weights=ancient("results/{experiment}/checkpoint/ckpt.data-00000-of-00001"),
        training="results/{experiment}/checkpoint/training.json",
        records=ancient(shards_of("results/records/{shard}.tfrecord", "test")),
        sidecars=shards_of("results/records/{shard}.json", "test"),
        label_map="results/dataset/label_map.pbtxt",
        # Images that come after a training can leak, too.
        leaks="results/dataset/leaks.json",
    output:
        metrics=report(
            "results/{experiment}/evaluation/metrics.json",
            category="Evaluation",
            caption="../report/metrics.rst",
            labels={"experiment": "{experiment}", "what": "AP on the test images"},
        ),
        per_class=report(
            "results/{experiment}/evaluation/per_class.csv",
            category="Evaluation",
            caption="../report/per_class.rst",
            labels={"experiment": "{experiment}", "what": "AP of each class"},
        ),
        pr_points="results/{experiment}/evaluation/pr_curve.csv",
        detections="results/{experiment}/evaluation/detections.json",
    log:
        "results/logs/evaluate/{experiment}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
        mem_mb=3000,
        runtime=240,
    params:
        factory=lambda wildcards: model_of(wildcards.experiment).factory,
        code=code_of("evaluate"),
    script:
        "../scripts/evaluate.py"


rule plot_pr_curve:
    input:
        # One line of this for each class; the area under its curve changes with any of its points.
        per_class="results/{experiment}/evaluation/per_class.csv",
        points=ancient("results/{experiment}/evaluation/pr_curve.csv"),
    output:
        curve=report(
            "results/{experiment}/evaluation/pr_curve.svg",
            category="Evaluation",
            caption="../report/pr_curve.rst",
            labels={"experiment": "{experiment}", "what": "precision and recall"},
        ),
    log:
        "results/logs/plot_pr_curve/{experiment}.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        plots=canonical(config["plots"]),
        code=code_of("plot_pr_curve"),
    script:
        "../scripts/plot_pr_curve.py"
