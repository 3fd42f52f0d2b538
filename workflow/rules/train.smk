"""Fine-tuning.

Needs: results/{experiment}/experiment.yaml and all that it names: records, pretrained checkpoint.
Makes: results/{experiment}/checkpoint/, the best weights, and training.json, how they came about.
Keeps: results/{experiment}/training/, TensorBoard events and the state from which a killed run resumes. It is not an
       output, so that Snakemake does not delete it; a fingerprint keeps it from being mixed with other data. In it,
       last/, the model that a warm start goes on from.
"""


rule train:
    input:
        experiment="results/{experiment}/experiment.yaml",
        records=ancient([shards_of("results/records/{shard}.tfrecord", split) for split in ["train", "val"]]),
        sidecars=[shards_of("results/records/{shard}.json", split) for split in ["train", "val"]],
        pretrained=pretrained_of,
        # A data set that must not be trained on stops here; a change in the test images does not train again.
        strict=ancient(PASSED_STRICT),
        # No job makes it: it is what the job itself looks for leaks between the splits in.
        inventory=ancient(all_shards("results/inventory/{shard}.jsonl")),
        # What a warm start compares; what of it matters to the training is in the records.
        boxes=ancient([shards_of("results/boxes/{shard}.csv", split) for split in ["train", "val"]]),
        label_map=ancient("results/dataset/label_map.pbtxt"),
    output:
        index="results/{experiment}/checkpoint/ckpt.index",
        data="results/{experiment}/checkpoint/ckpt.data-00000-of-00001",
        summary="results/{experiment}/checkpoint/training.json",
    log:
        "results/logs/train/{experiment}.log",
    conda:
        "../../environment.yml"
    threads: training_threads
    resources:
        **node_resources(),
        gpu=lambda wildcards: spread_of(wildcards).replicas,
        # Each process of a training has a model, images and buffers of its own.
        mem_mb=lambda wildcards: 4000 * spread_of(wildcards).workers,
        runtime=1440,
        nodes=lambda wildcards: spread_of(wildcards).workers,
    params:
        factory=lambda wildcards: model_of(wildcards.experiment).factory,
        state="results/{experiment}/training",
        pretrained=lambda wildcards: {
            "normalisation": canonical(model_of(wildcards.experiment).normalisation),
            "classes": canonical(model_of(wildcards.experiment).classes),
            "same_classes": canonical(SETTINGS[wildcards.experiment]["same_classes"]),
        },
        batch_norm=lambda wildcards: model_of(wildcards.experiment).batch_norm or "as saved",
        options=options_of,
        # Snakemake does not compare what depends on the input: how the next training starts must not cause one.
        leaks=lambda wildcards, input: config["data"]["leaks"],
        warm_start=lambda wildcards, input: SETTINGS[wildcards.experiment]["warm_start"],
        kept=lambda wildcards, input: {
            "keep_checkpoints": SETTINGS[wildcards.experiment]["keep_checkpoints"],
        },
        follows=lambda wildcards, input: schedule.places_left_to_data(SETTINGS[wildcards.experiment]),
        code=code_of("train"),
    script:
        "../scripts/train.py"


rule plot_training:
    input:
        summary="results/{experiment}/checkpoint/training.json",
    output:
        curve=report(
            "results/{experiment}/checkpoint/training_curve.svg",
            category="Training",
            caption="../report/training_curve.rst",
            labels={
                "experiment": "{experiment}",
                "what": "loss and AP over the steps",
            },
        ),
    log:
        "results/logs/plot_training/{experiment}.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        plots=canonical(config["plots"]),
        code=code_of("plot_training"),
    script:
        "../scripts/plot_training.py"
