"""From what the annotations say to what is true of the pixels.

Needs: results/inventory/{shard}.jsonl and the images it names; where it names addresses, results/fetched/{shard}.csv.
Makes: results/boxes/{shard}.csv, the canonical boxes in upright pixels, and results/repairs/{shard}.csv, a row for
       each thing that was changed or refused; results/boxes/{shard}.json, how many, and the digests of both.
"""


rule make_boxes:
    input:
        manifest=ancient("results/inventory/{shard}.jsonl"),
        fetched=lambda wildcards: ancient(fetched_ledgers([wildcards.shard])),
        fetched_sidecar=lambda wildcards: fetched_sidecars([wildcards.shard]),
    output:
        boxes="results/boxes/{shard}.csv",
        repairs="results/repairs/{shard}.csv",
        sidecar="results/boxes/{shard}.json",
    log:
        "results/logs/make_boxes/{shard}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        # The job verifies it: a manifest that changes meanwhile is not taken for this one.
        manifest=lambda wildcards: manifest_digest(wildcards.shard),
        settings={"decode": config["data"]["decode_images"]},
        code=code_of("make_boxes"),
    script:
        "../scripts/make_boxes.py"
