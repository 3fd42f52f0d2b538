"""The exported detector, tried on images.

Needs: results/{experiment}/export/ and the images and videos that results/inventory/detect.csv lists: those that the
       configuration names, or else the test images.
Makes: results/{experiment}/detections/: annotated images and videos, detections.csv and the same as COCO, drafts of
       annotations, and unreadable.csv, what was skipped.
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
        coco="results/{experiment}/detections/detections_coco.json",
        coco_images="results/{experiment}/detections/images_coco.json",
        videos=directory("results/{experiment}/detections/videos"),
        drafts=directory("results/{experiment}/detections/drafts"),
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
        settings={key: value for key, value in config["detect"].items() if key not in ("images", "max_images")},
        listing=lambda wildcards: {"images_to_detect": listing_digest()},
        code=code_of("detect"),
    script:
        "../scripts/detect.py"
