"""The detector to start from.

Needs: the model's entry in the zoo, and the network, a mirror or a folder that the entry names.
Makes: results/pretrained/{model}/, the unpacked checkpoint with source.json: where it came from, and its sum.
"""


rule fetch_pretrained:
    output:
        source="results/pretrained/{model}/source.json",
    params:
        model=lambda wildcards: ZOO[wildcards.model].as_dict(),
        mirror={"mirror": config["pretrained"]["mirror"]},
        checksums={"checksums": config["pretrained"]["checksums"]},
        code=code_digest("zoo"),
    log:
        "results/logs/fetch_pretrained/{model}.log",
    resources:
        mem_mb=500,
        runtime=120,
    conda:
        "../../environment.yml"
    script:
        "../scripts/fetch_pretrained.py"
