"""Images and boxes in the form that training reads fastest.

Needs: results/boxes/{shard}.csv, the images it names, the ids of its classes.
Makes: results/records/{shard}.tfrecord, in the fields of the TensorFlow Object Detection API, and {shard}.json, its
       digest and how much is in it.
"""


rule write_records:
    input:
        boxes=ancient("results/boxes/{shard}.csv"),
        sidecar="results/boxes/{shard}.json",
        # Images that are gone are fetched first (see follow_fetched).
        fetched_sidecar=lambda wildcards: fetched_sidecars([wildcards.shard]),
    output:
        records="results/records/{shard}.tfrecord",
        sidecar="results/records/{shard}.json",
    log:
        "results/logs/write_records/{shard}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        # As the label map will give them: its file would make all shards wait for it, and run with it.
        ids=lambda wildcards: {"class_ids": class_ids(wildcards.shard)},
        code=code_of("write_records"),
    script:
        "../scripts/write_records.py"
