"""The data check: the data stages alone, and what a person must know before a training.

Needs: results/dataset/, results/boxes/, the images that are shown.
Makes: results/dataset/check.html, one page with thumbnails. The target `check` prints the card as well.
       results/dataset/strict.json, only where nothing was repaired, rejected or cannot be told.
"""


rule write_check:
    input:
        card="results/dataset/card.json",
        repairs=ancient("results/dataset/repairs.csv"),
        duplicates=ancient("results/dataset/duplicates.csv"),
        copies=ancient("results/dataset/copies.csv"),
        label_map="results/dataset/label_map.pbtxt",
        boxes=ancient(all_shards("results/boxes/{shard}.csv")),
        sidecars=all_shards("results/boxes/{shard}.json"),
        inventory=ancient(all_shards("results/inventory/{shard}.jsonl")),
    output:
        page=report(
            "results/dataset/check.html",
            category="Data",
            caption="../report/check.rst",
            labels={"what": "data check, with pictures"},
        ),
    log:
        "results/logs/write_check.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=code_of("write_check"),
    script:
        "../scripts/write_check.py"


rule check_strict:
    input:
        ledgers=ancient(all_shards("results/repairs/{shard}.csv")),
        sidecars=all_shards("results/boxes/{shard}.json"),
        copies="results/dataset/copies.csv",
        inventory=ancient(all_shards("results/inventory/{shard}.jsonl")),
    output:
        passed="results/dataset/strict.json",
    log:
        "results/logs/check_strict.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=30,
    params:
        code=code_of("check_strict"),
    script:
        "../scripts/check_strict.py"


rule check:
    input:
        text="results/dataset/card.txt",
        page="results/dataset/check.html",
        repairs="results/dataset/repairs.csv",
        copies="results/dataset/copies.csv",
        inventory=all_shards("results/inventory/{shard}.jsonl"),
    log:
        "results/logs/check.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        strict=config["data"]["strict"],
    script:
        "../scripts/tell_check.py"
