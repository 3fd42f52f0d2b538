"""The exported detector, tried on images.

Needs: results/{experiment}/export/ and the images that results/inventory/detect.csv lists: those of a folder that the
       configuration names, or else the test images.
Makes: results/{experiment}/detections/: annotated images, detections.csv, and unreadable.csv, what was skipped.
"""


rule detect:
    input:
        model=ancient("results/{experiment}/export/frozen_inference_graph.pb"),
        # It holds the digest of the graph.
        parity="results/{experiment}/export/parity/frozen_graph.json",
        label_map="results/{experiment}/export/label_map.pbtxt",
        images=ancient("results/inventory/detect.csv"),
        fetched=[] if config["detect"]["images"] else ancient(fetched_ledgers(SHARDS["test"])),
        fetched_sidecars=[] if config["detect"]["images"] else fetched_sidecars(SHARDS["test"]),
    output:
        table="results/{experiment}/detections/detections.csv",
        unreadable="results/{experiment}/detections/unreadable.csv",
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
        settings={"score_threshold": config["detect"]["score_threshold"]},
        listing=lambda wildcards: {"images_to_detect": listing_digest()},
        code=code_of("detect"),
    script:
        "../scripts/detect.py"
