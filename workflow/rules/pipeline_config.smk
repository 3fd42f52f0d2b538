"""What became of an old project's settings: each of them, and why.

Needs: the pipeline.config of the TF Object Detection API that an experiment names, the label map.
Makes: results/{experiment}/pipeline_config.txt. The settings themselves went into the configuration before the DAG was
       built (`TRANSLATED`), so that nothing waits for this.
"""


rule tell_pipeline_config:
    input:
        pipeline=lambda wildcards: own(PIPELINES[wildcards.experiment]),
        old_label_map=lambda wildcards: own(pipeline_config.old_label_map(PIPELINES[wildcards.experiment])),
        label_map="results/dataset/label_map.pbtxt",
        ids="results/dataset/label_map.json",
    output:
        told="results/{experiment}/pipeline_config.txt",
    log:
        "results/logs/tell_pipeline_config/{experiment}.log",
    wildcard_constraints:
        experiment="|".join(map(re.escape, PIPELINES)) or "$^",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        own=lambda wildcards: canonical(WRITTEN_OUT["experiments"][wildcards.experiment]),
        nearest=lambda wildcards: {
            "nearest": pipeline_config.nearest_model(
                pipeline_config.read_document(PIPELINES[wildcards.experiment]), ZOO.values()
            )
        },
        model=lambda wildcards: {
            "name": model_of(wildcards.experiment).name,
            "factory": model_of(wildcards.experiment).factory,
            "settings": canonical(model_of(wildcards.experiment).settings),
        },
        code=code_of("tell_pipeline_config"),
    script:
        "../scripts/tell_pipeline_config.py"
