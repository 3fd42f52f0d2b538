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
    log:
        "results/logs/write_label_map.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        classes=config["labels"]["classes"],
        code=code_digest("label_map"),
    script:
        "../scripts/write_label_map.py"


rule write_split_tables:
    input:
        boxes=lambda wildcards: shards_of("results/boxes/{shard}.csv", wildcards.split),
    output:
        labels="results/dataset/{split}_labels.csv",
        summary="results/dataset/{split}.json",
    log:
        "results/logs/write_split_tables/{split}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code_digest("dataset"),
    script:
        "../scripts/write_split_tables.py"


rule write_card:
    input:
        summaries=expand("results/dataset/{split}.json", split=SPLITS),
        repairs=[shards_of("results/repairs/{shard}.csv", split) for split in SPLITS],
        inventory=[shards_of("results/inventory/{shard}.jsonl", split) for split in SPLITS],
        label_map="results/dataset/label_map.pbtxt",
    output:
        repairs="results/dataset/repairs.csv",
        card="results/dataset/card.json",
        text=report(
            "results/dataset/card.txt",
            category="Data",
            caption="../report/card.rst",
            labels={"what": "data set card"},
        ),
    log:
        "results/logs/write_card.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        strict={"strict": config["data"]["strict"]},
        code=code_digest("dataset"),
    script:
        "../scripts/write_card.py"
