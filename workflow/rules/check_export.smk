"""The gate: what does not find what its checkpoint finds is not published.

Needs: results/{experiment}/candidates/, the test records (val, then train, where there are none), the evaluation.
Makes: results/{experiment}/candidates/reference/, what the checkpoint finds; results/{experiment}/export/: each format,
       and parity/{format}.json, the proof. A rule fails where its format is out of tolerance, and leaves none of it.
"""


rule write_reference:
    input:
        **records_to_compare(),
        experiment="results/{experiment}/experiment.yaml",
        checkpoint=ancient("results/{experiment}/checkpoint/ckpt.index"),
        weights=ancient("results/{experiment}/checkpoint/ckpt.data-00000-of-00001"),
        training="results/{experiment}/checkpoint/training.json",
        sidecars=shards_of("results/records/{shard}.json", "test"),
        label_map="results/dataset/label_map.pbtxt",
        # Of the best checkpoint it has all that is needed here.
        metrics="results/{experiment}/evaluation/metrics.json",
        detections=ancient("results/{experiment}/evaluation/detections.json"),
    output:
        reference="results/{experiment}/candidates/reference/detections.json",
        sidecar="results/{experiment}/candidates/reference/summary.json",
    log:
        "results/logs/write_reference/{experiment}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        factory=lambda wildcards: model_of(wildcards.experiment).factory,
        settings={key: config["export"][key] for key in ["checkpoint", "images"]},
        state="results/{experiment}/training",
        splits=list(SPLITS),
        code=code_of("write_reference"),
    script:
        "../scripts/write_reference.py"


rule check_saved_model:
    input:
        **gate_inputs("saved_model"),
    output:
        published=directory("results/{experiment}/export/saved_model"),
        parity="results/{experiment}/export/parity/saved_model.json",
    log:
        "results/logs/check_export/{experiment}-saved_model.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=3000,
        runtime=240,
    params:
        export_format="saved_model",
        settings=gate_settings("saved_model"),
        splits=list(SPLITS),
        code=code_of("check_export"),
    script:
        "../scripts/check_export.py"


use rule check_saved_model as check_frozen_graph with:
    input:
        **gate_inputs("frozen_graph"),
    output:
        published="results/{experiment}/export/frozen_inference_graph.pb",
        parity="results/{experiment}/export/parity/frozen_graph.json",
    log:
        "results/logs/check_export/{experiment}-frozen_graph.log",
    params:
        export_format="frozen_graph",
        settings=gate_settings("frozen_graph"),
        splits=list(SPLITS),
        code=code_of("check_export"),


use rule check_saved_model as check_tflite with:
    input:
        **gate_inputs("tflite_{precision}"),
    output:
        published="results/{experiment}/export/detector_{precision}.tflite",
        parity="results/{experiment}/export/parity/tflite_{precision}.json",
    log:
        "results/logs/check_export/{experiment}-tflite_{precision}.log",
    params:
        export_format="tflite_{precision}",
        settings=lambda wildcards: gate_settings(f"tflite_{wildcards.precision}"),
        splits=list(SPLITS),
        code=code_of("check_export"),


use rule check_saved_model as check_onnx with:
    input:
        **gate_inputs("onnx"),
    output:
        published="results/{experiment}/export/detector.onnx",
        parity="results/{experiment}/export/parity/onnx.json",
    log:
        "results/logs/check_export/{experiment}-onnx.log",
    params:
        export_format="onnx",
        settings=gate_settings("onnx"),
        splits=list(SPLITS),
        code=code_of("check_export"),
