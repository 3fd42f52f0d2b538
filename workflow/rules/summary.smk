"""What was made and where, in a few lines: the end of every run.

Needs: the training and evaluation results of every experiment, results/dataset/card.json.
Makes: results/summary.txt. The target `tidy` makes nothing: it removes files of shards that are no more.
"""


rule write_summary:
    input:
        card="results/dataset/card.json",
        training=expand("results/{experiment}/checkpoint/training.json", experiment=EXPERIMENTS),
        metrics=expand("results/{experiment}/evaluation/metrics.json", experiment=EXPERIMENTS),
        exports=expand("results/{experiment}/export/metadata.json", experiment=EXPERIMENTS),
    output:
        summary=report(
            "results/summary.txt",
            category="Summary",
            caption="../report/summary.rst",
            labels={"what": "what was made"},
        ),
    log:
        "results/logs/write_summary.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        trainings={"trainings": SEEDS},
        code=code_of("write_summary"),
    script:
        "../scripts/write_summary.py"


rule tidy:
    log:
        "results/logs/tidy.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        kept={"shards": [shard for split in SPLITS for shard in SHARDS[split]], "experiments": EXPERIMENTS},
    script:
        "../scripts/tidy.py"
