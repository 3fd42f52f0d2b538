"""The exported detector, tried on images.

Needs: results/{experiment}/export/ and the images that the configuration names (by default the test images).
Makes: results/{experiment}/detections/: annotated images and detections.csv.
"""


rule detect:
    input:
        model="results/{experiment}/export/frozen_inference_graph.pb",
    output:
        table="results/{experiment}/detections/detections.csv",
        images=report(
            directory("results/{experiment}/detections/images"),
            patterns=["{name}.jpg"],
            category="Detections",
            caption="../report/detections.rst",
            labels={"experiment": "{experiment}", "image": "{name}"},
        ),
    log:
        "results/logs/detect/{experiment}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
        mem_mb=3000,
        runtime=240,
    params:
        settings=config["detect"],
        code=code_digest("inference"),
    script:
        "../scripts/detect.py"
