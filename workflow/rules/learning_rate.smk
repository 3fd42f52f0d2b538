"""A learning rate for the data and the model at hand: only made when asked for.

Needs: results/{experiment}/experiment.yaml and all that it names: records, pretrained checkpoint.
Makes: results/{experiment}/learning_rate/: learning_rate.json, the suggestion and what it was read from, and
       learning_rate.svg.
"""


rule find_learning_rate:
    input:
        experiment="results/{experiment}/experiment.yaml",
        records=ancient(shards_of("results/records/{shard}.tfrecord", "train")),
        sidecars=shards_of("results/records/{shard}.json", "train"),
        pretrained=pretrained_of,
        # What of them matters is in the records.
        boxes=ancient(shards_of("results/boxes/{shard}.csv", "train")),
        label_map=ancient("results/dataset/label_map.pbtxt"),
    output:
        rate="results/{experiment}/learning_rate/learning_rate.json",
    log:
        "results/logs/find_learning_rate/{experiment}.log",
    conda:
        "../../environment.yml"
    threads: training_threads
    resources:
        gpu=1,
        mem_mb=4000,
        runtime=120,
    params:
        factory=lambda wildcards: model_of(wildcards.experiment).factory,
        normalisation=lambda wildcards: {"normalisation": canonical(model_of(wildcards.experiment).normalisation)},
        batch_norm=lambda wildcards: model_of(wildcards.experiment).batch_norm or "as saved",
        options=options_of,
        code=code_of("find_learning_rate"),
    script:
        "../scripts/find_learning_rate.py"


rule plot_learning_rate:
    input:
        rate="results/{experiment}/learning_rate/learning_rate.json",
    output:
        curve=report(
            "results/{experiment}/learning_rate/learning_rate.svg",
            category="Training",
            caption="../report/learning_rate.rst",
            labels={"experiment": "{experiment}", "what": "loss over the learning rate"},
        ),
    log:
        "results/logs/plot_learning_rate/{experiment}.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        plots=canonical(config["plots"]),
        code=code_of("plot_learning_rate"),
    script:
        "../scripts/plot_learning_rate.py"


rule learning_rates:
    input:
        # Those that are written out; of a sweep's, or of another seed's, the file can be asked for.
        collect(
            "results/{experiment}/learning_rate/learning_rate.svg",
            experiment=sorted(config["experiments"]),
        ),
