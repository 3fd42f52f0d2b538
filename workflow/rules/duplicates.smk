"""Images that show the same, in and across splits: a model must not be judged by what it has learnt from.

Needs: results/inventory/{shard}.jsonl and the images it names; results/boxes/, to compare the boxes of copies.
Makes: results/hashes/{shard}.csv, what each image looks like, and {shard}.json, its digest;
       results/dataset/duplicates.csv and duplicates.json, which are alike; groups.csv, groups that would keep them
       together; leaks.json, without which nothing is evaluated; copies.csv and copies.json, the same file labelled twice.

A training does not wait for these: it looks itself (leak_gate), with what is in results/hashes/ by then.
"""

GROUPS = config["data"]["split"]["groups"]

with told_clearly():
    GROUPS_DIGEST = groups_file.digest_of(GROUPS)


rule hash_images:
    input:
        manifest=ancient("results/inventory/{shard}.jsonl"),
        fetched=lambda wildcards: ancient(fetched_ledgers([wildcards.shard])),
        fetched_sidecar=lambda wildcards: fetched_sidecars([wildcards.shard]),
    output:
        hashes="results/hashes/{shard}.csv",
        sidecar="results/hashes/{shard}.json",
    log:
        "results/logs/hash_images/{shard}.log",
    # Before the records: a training that starts without them looks at the images once more.
    priority: 1
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        images=lambda wildcards: {"images": part_digests(wildcards.shard)["images"]},
        code=code_of("hash_images"),
    script:
        "../scripts/hash_images.py"


rule find_duplicates:
    input:
        hashes=ancient(all_shards("results/hashes/{shard}.csv")),
        sidecars=all_shards("results/hashes/{shard}.json"),
        inventory=ancient(all_shards("results/inventory/{shard}.jsonl")),
        configured=ancient(own(GROUPS)),
    output:
        duplicates="results/dataset/duplicates.csv",
        groups="results/dataset/groups.csv",
        summary="results/dataset/duplicates.json",
    log:
        "results/logs/find_duplicates.log",
    conda:
        "../../environment.yml"
    resources:
        # Thumbnails, hashes and ids of all images at once: 1.1 KB each, as in the tables.
        mem_mb=lambda wildcards, input: 1000 + round(input.size_mb),
        runtime=60,
    params:
        placing=lambda wildcards: {"placing": placing_digests()},
        groups={"groups": GROUPS_DIGEST},
        code=code_of("find_duplicates"),
    script:
        "../scripts/find_duplicates.py"


rule check_leaks:
    input:
        summary="results/dataset/duplicates.json",
        groups=ancient("results/dataset/groups.csv"),
    output:
        verdict="results/dataset/leaks.json",
    log:
        "results/logs/check_leaks.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        leaks={"leaks": config["data"]["leaks"]},
        code=code_of("check_leaks"),
    script:
        "../scripts/check_leaks.py"


rule compare_copies:
    input:
        duplicates=ancient("results/dataset/duplicates.csv"),
        summary="results/dataset/duplicates.json",
        boxes=ancient(all_shards("results/boxes/{shard}.csv")),
        sidecars=all_shards("results/boxes/{shard}.json"),
    output:
        copies="results/dataset/copies.csv",
        summary="results/dataset/copies.json",
    log:
        "results/logs/compare_copies.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code_of("compare_copies"),
    script:
        "../scripts/compare_copies.py"
