"""A detector that runs without this workflow, in several formats.

Needs: results/{experiment}/checkpoint/, or other weights that the training has kept; the label map; training images
       for int8 to be calibrated on.
Makes: results/{experiment}/candidates/{format}/ and {format}.json, what is in it. A candidate becomes an export only by
       check_export.smk: so a relabelled test image compares again, and converts nothing.
"""


rule export_graphs:
    input:
        experiment="results/{experiment}/experiment.yaml",
        checkpoint=ancient("results/{experiment}/checkpoint/ckpt.index"),
        weights=ancient("results/{experiment}/checkpoint/ckpt.data-00000-of-00001"),
        training="results/{experiment}/checkpoint/training.json",
        label_map="results/dataset/label_map.pbtxt",
    output:
        saved_model=directory("results/{experiment}/candidates/saved_model"),
        frozen_graph=directory("results/{experiment}/candidates/frozen_graph"),
        saved_model_sidecar="results/{experiment}/candidates/saved_model.json",
        frozen_graph_sidecar="results/{experiment}/candidates/frozen_graph.json",
    log:
        "results/logs/export_graphs/{experiment}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        factory=lambda wildcards: model_of(wildcards.experiment).factory,
        settings={"checkpoint": config["export"]["checkpoint"]},
        # Where the training keeps other weights than the best ones; training.json has their digests.
        state="results/{experiment}/training",
        code=code_of("export_graphs"),
    script:
        "../scripts/export_graphs.py"


rule convert_checkpoint:
    input:
        experiment="results/{experiment}/experiment.yaml",
        checkpoint=ancient("results/{experiment}/checkpoint/ckpt.index"),
        weights=ancient("results/{experiment}/checkpoint/ckpt.data-00000-of-00001"),
        training="results/{experiment}/checkpoint/training.json",
        label_map="results/dataset/label_map.pbtxt",
        # Another training image trains again, and so changes training.json.
        records=ancient(shards_of("results/records/{shard}.tfrecord", "train")),
    output:
        folder=directory("results/{experiment}/candidates/{format}"),
        sidecar="results/{experiment}/candidates/{format}.json",
    log:
        "results/logs/convert_checkpoint/{experiment}-{format}.log",
    wildcard_constraints:
        format="tflite_[a-z0-9]+|onnx",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        factory=lambda wildcards: model_of(wildcards.experiment).factory,
        settings={"checkpoint": config["export"]["checkpoint"]},
        state="results/{experiment}/training",
        code=code_of("convert_checkpoint"),
    script:
        "../scripts/convert_checkpoint.py"
