"""What the exports are, for people and for programs.

Needs: results/{experiment}/export/ with its proofs, the training, the evaluation, the data set's card.
Makes: results/{experiment}/export/: label_map.pbtxt, labels.txt, metadata.json, formats.csv, model_card.md;
       results/{experiment}/candidates/latency.json, how long each format takes here.
"""


rule write_export_labels:
    input:
        label_map="results/dataset/label_map.pbtxt",
    output:
        label_map="results/{experiment}/export/label_map.pbtxt",
        labels="results/{experiment}/export/labels.txt",
    log:
        "results/logs/write_export_labels/{experiment}.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=code_of("write_export_labels"),
    script:
        "../scripts/write_export_labels.py"


rule measure_latency:
    input:
        candidates=ancient(of_formats("results/{experiment}/candidates/{format}")),
        sidecars=of_formats("results/{experiment}/candidates/{format}.json"),
        # Their first image is what is detected on; another training image changes the sidecars, too.
        records=ancient(shards_of("results/records/{shard}.tfrecord", "train")),
    output:
        latency="results/{experiment}/candidates/latency.json",
    log:
        "results/logs/measure_latency/{experiment}.log",
    conda:
        "../../environment.yml"
    # Beside other jobs, it would measure those.
    threads: workflow.cores or 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=lambda wildcards: {
            "formats": formats_of(wildcards.experiment),
            "threads": config["export"]["latency_threads"],
        },
        code=code_of("measure_latency"),
    script:
        "../scripts/measure_latency.py"


rule write_model_card:
    input:
        **{split: shards_of("results/records/{shard}.json", split) for split in SPLITS},
        candidates=of_formats("results/{experiment}/candidates/{format}.json"),
        parity=of_formats("results/{experiment}/export/parity/{format}.json"),
        label_map="results/{experiment}/export/label_map.pbtxt",
        latency="results/{experiment}/candidates/latency.json",
        training="results/{experiment}/checkpoint/training.json",
        metrics="results/{experiment}/evaluation/metrics.json",
        per_class="results/{experiment}/evaluation/per_class.csv",
        card="results/dataset/card.json",
        pretrained=pretrained_of,
    output:
        metadata="results/{experiment}/export/metadata.json",
        formats=report(
            "results/{experiment}/export/formats.csv",
            category="Export",
            caption="../report/formats.rst",
            labels={"experiment": "{experiment}", "what": "formats of the export"},
        ),
        card="results/{experiment}/export/model_card.md",
    log:
        "results/logs/write_model_card/{experiment}.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        about=about_export,
        splits=list(SPLITS),
        code=code_of("write_model_card"),
    script:
        "../scripts/write_model_card.py"
