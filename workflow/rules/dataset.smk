"""The data set as a whole: classes and their ids, the tutorials' tables, what was repaired, and a card of it all.

Needs: results/inventory/classes.txt, results/boxes/, results/repairs/.
Makes: results/dataset/label_map.pbtxt, {split}_labels.csv and {split}.json, repairs.csv, card.json and card.txt.
"""


rule write_label_map:
    input:
        classes="results/inventory/classes.txt",
    output:
        # update(): the ids that were given out before are read, and kept.
        label_map=update("results/dataset/label_map.pbtxt"),
    params:
        classes=config["labels"]["classes"],
        code=code_digest("label_map"),
    log:
        "results/logs/write_label_map.log",
    resources:
        mem_mb=500,
        runtime=10,
    conda:
        "../../environment.yml"
    script:
        "../scripts/write_label_map.py"


rule write_split_tables:
    input:
        boxes=lambda wildcards: shards_of("results/boxes/{shard}.csv", wildcards.split),
    output:
        labels="results/dataset/{split}_labels.csv",
        summary="results/dataset/{split}.json",
    params:
        code=code_digest("dataset"),
    log:
        "results/logs/write_split_tables/{split}.log",
    resources:
        mem_mb=1000,
        runtime=30,
    conda:
        "../../environment.yml"
    script:
        "../scripts/write_split_tables.py"


rule write_card:
    input:
        summaries=expand("results/dataset/{split}.json", split=SPLITS),
        repairs=[shards_of("results/repairs/{shard}.csv", split) for split in SPLITS],
        label_map="results/dataset/label_map.pbtxt",
    output:
        repairs="results/dataset/repairs.csv",
        card="results/dataset/card.json",
        text=report(
            "results/dataset/card.txt", category="Data", caption="../report/card.rst", labels={"what": "data set card"}
        ),
    params:
        strict={"strict": config["data"]["strict"]},
        code=code_digest("dataset"),
    log:
        "results/logs/write_card.log",
    resources:
        mem_mb=1000,
        runtime=30,
    conda:
        "../../environment.yml"
    script:
        "../scripts/write_card.py"
