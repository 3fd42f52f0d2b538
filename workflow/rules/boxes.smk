"""From what the annotations say to what is true of the pixels.

Needs: results/inventory/{shard}.jsonl and the images it names.
Makes: results/boxes/{shard}.csv, the canonical boxes in upright pixels, and results/repairs/{shard}.csv, a row for
       each thing that was changed or refused.
"""


rule make_boxes:
    input:
        manifest="results/inventory/{shard}.jsonl",
    output:
        boxes="results/boxes/{shard}.csv",
        repairs="results/repairs/{shard}.csv",
    log:
        "results/logs/make_boxes/{shard}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        # A manifest that changed while the job ran, or came with an old time stamp, is seen by its digest only.
        manifest=lambda wildcards: manifest_digest(wildcards.shard),
        code=code_digest("boxes"),
    script:
        "../scripts/make_boxes.py"
