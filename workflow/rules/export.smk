"""A detector that runs without this workflow.

Needs: results/{experiment}/checkpoint/, the records it was trained with (images to compare on), the label map.
Makes: results/{experiment}/export/: saved_model/, frozen_inference_graph.pb, label_map.pbtxt, metadata.json and
       parity.json - only if what was exported, loaded again, detects what the checkpoint detects.
"""


rule export:
    input:
        experiment="results/{experiment}/experiment.yaml",
        checkpoint=ancient("results/{experiment}/checkpoint/ckpt.index"),
        weights=ancient("results/{experiment}/checkpoint/ckpt.data-00000-of-00001"),
        training="results/{experiment}/checkpoint/training.json",
        # Real images to compare on; not the test images, which change without a new training.
        records=ancient([shards_of("results/records/{shard}.tfrecord", split) for split in ["val", "train"]]),
        label_map="results/dataset/label_map.pbtxt",
    output:
        saved_model=directory("results/{experiment}/export/saved_model"),
        graph="results/{experiment}/export/frozen_inference_graph.pb",
        label_map="results/{experiment}/export/label_map.pbtxt",
        metadata="results/{experiment}/export/metadata.json",
        parity="results/{experiment}/export/parity.json",
    log:
        "results/logs/export/{experiment}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        factory=lambda wildcards: model_of(wildcards.experiment).factory,
        settings=canonical(config["export"]),
        code=code_of("export"),
    script:
        "../scripts/export.py"
