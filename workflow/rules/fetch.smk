"""Images that are no files yet: fetched from the network, or taken out of existing records.

Needs: results/inventory/{shard}.jsonl, for shards with images that have an address; the network.
Makes: results/fetched/{shard}.csv, what became of each address, with {shard}.json, its digest. The images themselves are
       in results/images, which no rule declares: so they outlive a kill, a failure and a change of the list.
"""

# One job at a time: each asks many servers at once, and few people's connection or servers are the faster for more.
workflow.global_resources.setdefault("downloads", 1)


rule fetch_images:
    input:
        manifest=ancient("results/inventory/{shard}.jsonl"),
    output:
        ledger="results/fetched/{shard}.csv",
        sidecar="results/fetched/{shard}.json",
    log:
        "results/logs/fetch_images/{shard}.log",
    # Where a cluster shares this folder, here is where the network is; else what is fetched would not reach its nodes.
    localrule: STORAGE is None
    conda:
        "../../environment.yml"
    # To look at what came takes a second core now and then.
    threads: 2
    resources:
        downloads=1,
        mem_mb=1500,
        runtime=480,
    params:
        # How they are fetched (config: fetch) is not tracked: what is here already is the same.
        origins=lambda wildcards: {"origins": origins_digest(wildcards.shard)},
        code=code_of("fetch_images"),
    script:
        "../scripts/fetch_images.py"


rule fetch:
    input:
        [sidecar for shards in SHARDS.values() for sidecar in fetched_sidecars(shards)],
