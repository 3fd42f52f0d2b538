"""The full training configuration, to be read and to be run.

Needs: results/dataset/{train,val}.json, the label map, the pretrained checkpoint, the experiment's settings.
Makes: results/{experiment}/experiment.yaml, which official.vision's own train.py accepts.
"""


rule write_experiment:
    input:
        train="results/dataset/train.json",
        val="results/dataset/val.json",
        label_map="results/dataset/label_map.pbtxt",
        # Asked for by name: else Snakemake would not miss it (see follow_label_map).
        ids="results/dataset/label_map.json",
        pretrained=pretrained_of,
        # No job makes it. A class that is in no test image any more must not train again.
        classes=ancient("results/inventory/classes.json"),
    output:
        experiment="results/{experiment}/experiment.yaml",
    log:
        "results/logs/write_experiment/{experiment}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=lambda wildcards: {
            key: value
            for key, value in SETTINGS[wildcards.experiment].items()
            if key not in ("warm_start", "early_stopping", "keep_checkpoints")
        },
        model=lambda wildcards: {
            "factory": model_of(wildcards.experiment).factory,
            "settings": canonical(model_of(wildcards.experiment).settings),
            "restore": model_of(wildcards.experiment).restore,
        },
        records={split: shards_of("results/records/{shard}.tfrecord", split) for split in ["train", "val"]},
        # Snakemake does not compare what depends on the input: it refuses a training, and changes none.
        gaps=lambda wildcards, input: {
            "mode": config["data"]["gaps"],
            "fixed": config["labels"]["classes"] is not None,
        },
        code=code_of("write_experiment"),
    script:
        "../scripts/write_experiment.py"
