"""The data set in the forms of other tools. Nothing here is a part of `all`.

Needs: results/boxes/{shard}.csv, the images it names, the label map.
Makes: results/converted/coco/{split}.json and images/{split}/; voc/{split}/; yolo/images/{split}/, labels/{split}/ and
       data.yaml; csv/labels.csv. The targets are `converted_coco`, `converted_voc`, `converted_yolo`, `converted_csv`,
       and `converted` for all of them. `converted_labelbox` makes results/converted/labelbox/{source}.json of the
       sources that are exports of Labelbox: COCO with the addresses of the images.
"""

# By name, or by number where a source has none: the numbers of those that are called so.
LABELBOX = {}
for number, source in enumerate(config["data"]["sources"]):
    if source["format"] == "labelbox":
        LABELBOX.setdefault(source.get("name") or str(number), []).append(number)


rule convert_coco:
    input:
        boxes=lambda wildcards: ancient(shards_of("results/boxes/{shard}.csv", wildcards.split)),
        sidecars=lambda wildcards: shards_of("results/boxes/{shard}.json", wildcards.split),
        # What their images' addresses and licences are.
        fetched=lambda wildcards: ancient(fetched_ledgers(SHARDS[wildcards.split])),
        fetched_sidecars=lambda wildcards: fetched_sidecars(SHARDS[wildcards.split]),
        label_map="results/dataset/label_map.pbtxt",
        # Asked for by name: else Snakemake would not miss it (see follow_label_map).
        ids="results/dataset/label_map.json",
    output:
        labels="results/converted/coco/{split}.json",
        images=directory("results/converted/coco/images/{split}"),
    log:
        "results/logs/convert_coco/{split}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=120,
    params:
        images={"images": config["convert"]["images"]},
        code=code_of("convert_coco"),
    script:
        "../scripts/convert_coco.py"


rule convert_voc:
    input:
        boxes=lambda wildcards: ancient(shards_of("results/boxes/{shard}.csv", wildcards.split)),
        sidecars=lambda wildcards: shards_of("results/boxes/{shard}.json", wildcards.split),
        # Images that are gone are fetched first (see follow_fetched).
        fetched_sidecars=lambda wildcards: fetched_sidecars(SHARDS[wildcards.split]),
    output:
        folder=directory("results/converted/voc/{split}"),
    log:
        "results/logs/convert_voc/{split}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=120,
    params:
        images={"images": config["convert"]["images"]},
        code=code_of("convert_voc"),
    script:
        "../scripts/convert_voc.py"


rule convert_yolo:
    input:
        boxes=lambda wildcards: ancient(shards_of("results/boxes/{shard}.csv", wildcards.split)),
        sidecars=lambda wildcards: shards_of("results/boxes/{shard}.json", wildcards.split),
        # Images that are gone are fetched first (see follow_fetched).
        fetched_sidecars=lambda wildcards: fetched_sidecars(SHARDS[wildcards.split]),
        label_map="results/dataset/label_map.pbtxt",
        ids="results/dataset/label_map.json",
    output:
        images=directory("results/converted/yolo/images/{split}"),
        labels=directory("results/converted/yolo/labels/{split}"),
    log:
        "results/logs/convert_yolo/{split}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=120,
    params:
        images={"images": config["convert"]["images"]},
        code=code_of("convert_yolo"),
    script:
        "../scripts/convert_yolo.py"


rule write_yolo_data:
    input:
        label_map="results/dataset/label_map.pbtxt",
        ids="results/dataset/label_map.json",
    output:
        data="results/converted/yolo/data.yaml",
    log:
        "results/logs/write_yolo_data.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=code_of("write_yolo_data"),
    script:
        "../scripts/write_yolo_data.py"


rule convert_csv:
    input:
        boxes=ancient(all_shards("results/boxes/{shard}.csv")),
        sidecars=all_shards("results/boxes/{shard}.json"),
        fetched=ancient(fetched_ledgers(all_shards("{shard}"))),
        fetched_sidecars=fetched_sidecars(all_shards("{shard}")),
    output:
        table="results/converted/csv/labels.csv",
    log:
        "results/logs/convert_csv.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=30,
    params:
        code=code_of("convert_csv"),
    script:
        "../scripts/convert_csv.py"


rule convert_labelbox:
    input:
        boxes=ancient(all_shards("results/boxes/{shard}.csv")),
        sidecars=all_shards("results/boxes/{shard}.json"),
        manifests=ancient(all_shards("results/inventory/{shard}.jsonl")),
        label_map="results/dataset/label_map.pbtxt",
        ids="results/dataset/label_map.json",
    output:
        labels="results/converted/labelbox/{source}.json",
    log:
        "results/logs/convert_labelbox/{source}.log",
    wildcard_constraints:
        source="|".join(map(re.escape, LABELBOX)) or "$^",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        sources=lambda wildcards: {"sources": LABELBOX[wildcards.source]},
        manifests=lambda wildcards: {"manifests": [manifest_digest(shard) for shard in all_shards("{shard}")]},
        code=code_of("convert_labelbox"),
    script:
        "../scripts/convert_labelbox.py"


rule converted_coco:
    input:
        PASSED_STRICT,
        expand("results/converted/coco/{split}.json", split=SPLITS),


rule converted_voc:
    input:
        PASSED_STRICT,
        expand("results/converted/voc/{split}", split=SPLITS),


rule converted_yolo:
    input:
        PASSED_STRICT,
        expand("results/converted/yolo/{kind}/{split}", kind=["images", "labels"], split=SPLITS),
        "results/converted/yolo/data.yaml",


rule converted_csv:
    input:
        PASSED_STRICT,
        "results/converted/csv/labels.csv",


rule converted_labelbox:
    input:
        PASSED_STRICT,
        expand("results/converted/labelbox/{source}.json", source=LABELBOX),


rule converted:
    input:
        rules.converted_coco.input,
        rules.converted_voc.input,
        rules.converted_yolo.input,
        rules.converted_csv.input,
