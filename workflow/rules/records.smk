"""Images and boxes in the form that training reads fastest.

Needs: results/boxes/{shard}.csv, the images it names, results/dataset/label_map.pbtxt.
Makes: results/records/{shard}.tfrecord, in the fields of the TensorFlow Object Detection API.
"""


rule write_records:
    input:
        boxes="results/boxes/{shard}.csv",
        label_map="results/dataset/label_map.pbtxt",
    output:
        records="results/records/{shard}.tfrecord",
    log:
        "results/logs/write_records/{shard}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        code=code_digest("records"),
    script:
        "../scripts/write_records.py"
