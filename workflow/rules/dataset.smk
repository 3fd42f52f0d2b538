"""The data set as a whole: classes and their ids, the tutorials' tables, what was repaired, and a card of it all.

Needs: results/inventory/classes.txt, results/boxes/, results/repairs/, results/dataset/duplicates.json and copies.json.
Makes: results/dataset/label_map.pbtxt, {split}_labels.csv and {split}.json, repairs.csv, card.json and card.txt.
"""


rule write_label_map:
    input:
        classes=ancient("results/inventory/classes.txt"),
    output:
        # update(): the ids that were given out before are read, and kept.
        label_map=update("results/dataset/label_map.pbtxt"),
        ids="results/dataset/label_map.json",
    log:
        "results/logs/write_label_map.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        # A class that vanishes keeps its id, and a list of what was found in any case is no change: the map counts.
        label_map={"label_map": LABEL_MAP},
        code=code_of("write_label_map"),
    script:
        "../scripts/write_label_map.py"


rule write_split_tables:
    input:
        boxes=lambda wildcards: ancient(shards_of("results/boxes/{shard}.csv", wildcards.split)),
        sidecars=lambda wildcards: shards_of("results/boxes/{shard}.json", wildcards.split),
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
        code=code_of("write_split_tables"),
    script:
        "../scripts/write_split_tables.py"


rule write_card:
    input:
        summaries=expand("results/dataset/{split}.json", split=SPLITS),
        sidecars=all_shards("results/boxes/{shard}.json"),
        ledgers=ancient(all_shards("results/repairs/{shard}.csv")),
        inventory=ancient(all_shards("results/inventory/{shard}.jsonl")),
        duplicates="results/dataset/duplicates.json",
        copies="results/dataset/copies.json",
        label_map="results/dataset/label_map.pbtxt",
        # Asked for by name: else Snakemake would not miss it (see follow_label_map).
        ids="results/dataset/label_map.json",
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
        code=code_of("write_card"),
    script:
        "../scripts/write_card.py"


rule data:
    input:
        PASSED_STRICT,
        all_shards("results/records/{shard}.tfrecord"),
        expand("results/dataset/{split}_labels.csv", split=SPLITS),
        "results/dataset/card.txt",
