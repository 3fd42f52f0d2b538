"""The detector to start from.

Needs: the model's entry in the zoo, and the network, a mirror or a folder that the entry names.
Makes: results/pretrained/{model}/, the unpacked checkpoint with source.json: where it came from, and its sum.
"""


rule fetch_pretrained:
    output:
        source="results/pretrained/{model}/source.json",
    log:
        "results/logs/fetch_pretrained/{model}.log",
    # Where a cluster shares this folder, here is where the network is; else what is fetched would not reach its nodes.
    localrule: STORAGE is None
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=120,
    params:
        # Where it comes from (mirror, tables) is read from the configuration itself, which is not tracked: the same
        # checkpoint from another place is no reason to train again.
        model=lambda wildcards: checkpoint_identity(wildcards.model),
        code=code_of("fetch_pretrained"),
    script:
        "../scripts/fetch_pretrained.py"
