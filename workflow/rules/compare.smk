"""All experiments beside each other.

Needs: results/{experiment}/checkpoint/training.json and evaluation/metrics.json of every training.
Makes: results/comparison/: comparison.csv, a row for each experiment, trainings.csv, a row for each training,
       comparison.svg and comparison.html. Part of a run where there is more than one training; else the target
       `comparison` makes it.
"""

# Experiment -> the folder of each of its trainings -> its seed.
SEEDS = {
    name: {folder: each.seed for folder, each in TRAININGS.items() if each.experiment.name == name}
    for name in sorted({each.experiment.name for each in TRAININGS.values()})
}
# Experiment -> those of its settings in which not all experiments are alike.
DIFFERING = differing(
    {name: {key: value for key, value in SETTINGS[name].items() if key != "seed"} for name in SEEDS},
)


rule compare_experiments:
    input:
        training=expand("results/{experiment}/checkpoint/training.json", experiment=EXPERIMENTS),
        metrics=expand("results/{experiment}/evaluation/metrics.json", experiment=EXPERIMENTS),
    output:
        experiments=report(
            "results/comparison/comparison.csv",
            category="Comparison",
            caption="../report/comparison.rst",
            labels={"what": "a row for each experiment"},
        ),
        trainings=report(
            "results/comparison/trainings.csv",
            category="Comparison",
            caption="../report/comparison.rst",
            labels={"what": "a row for each training"},
        ),
        plot=report(
            "results/comparison/comparison.svg",
            category="Comparison",
            caption="../report/comparison.rst",
            labels={"what": "curves and test AP"},
        ),
        page=report(
            "results/comparison/comparison.html",
            category="Comparison",
            caption="../report/comparison.rst",
            labels={"what": "all on one page"},
        ),
    log:
        "results/logs/compare_experiments.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        trainings={"trainings": SEEDS},
        settings={"differing": DIFFERING},
        plots=canonical(config["plots"]),
        code=code_of("compare_experiments"),
    script:
        "../scripts/compare_experiments.py"


rule comparison:
    input:
        rules.compare_experiments.output,
