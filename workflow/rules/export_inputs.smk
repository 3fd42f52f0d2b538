"""What the jobs of an export work on: which formats an experiment has, and what each of them is compared with.

Needs, makes: nothing; `export.smk`, `check_export.smk` and `model_card.smk` use it.
"""

from odtl.export import formats as export_formats


def formats_of(experiment):
    """Return the formats that an experiment's detector is exported in: TFLite knows only the one-stage ones."""
    formats = export_formats.wanted(config["export"]["formats"])
    return [name for name in formats if not name.startswith("tflite") or can_be_tflite(experiment)]


def can_be_tflite(experiment):
    """Say whether an experiment's kind of detector can be converted to TFLite."""
    return model_of(experiment).factory.startswith("retinanet")


def notes_of(experiment):
    """Return what the model card says of formats that are asked for and not made."""
    asked = any(name.startswith("tflite") for name in config["export"]["formats"])
    if not asked or can_be_tflite(experiment):
        return []
    return ["There is no TFLite file: only one-stage detectors (RetinaNet) can be converted."]


def of_formats(pattern):
    """Return a function that gives the files of a pattern for each format of an experiment."""
    return lambda wildcards: expand(pattern, experiment=wildcards.experiment, format=formats_of(wildcards.experiment))


def records_to_compare():
    """Return the records by split, as inputs of a job that compares exports; only the test split changes by itself."""
    return {split: ancient(shards_of("results/records/{shard}.tfrecord", split)) for split in SPLITS}


def gate_inputs(export_format):
    """Return the inputs of the job that compares an export with its checkpoint."""
    candidate = f"results/{{experiment}}/candidates/{export_format}"
    return {
        "candidate": ancient(candidate),
        "sidecar": f"{candidate}.json",
        "reference": ancient("results/{experiment}/candidates/reference/detections.json"),
        "reference_sidecar": "results/{experiment}/candidates/reference/summary.json",
        "label_map": "results/dataset/label_map.pbtxt",
        "sidecars": shards_of("results/records/{shard}.json", "test"),
        **records_to_compare(),
    }


def gate_settings(export_format):
    """Return what the comparison of an export goes by."""
    export = config["export"]
    return {"tolerances": canonical(export["tolerances"][export_format]), "images": export["images"]}


def about_export(wildcards):
    """Return what the model card says of an experiment beside what files say."""
    model = model_of(wildcards.experiment)
    return {
        "formats": formats_of(wildcards.experiment),
        "threads": config["export"]["latency_threads"],
        "factory": model.factory,
        # How the next training starts, and what it keeps, says nothing of this one.
        "settings": {
            key: value
            for key, value in SETTINGS[wildcards.experiment].items()
            if key not in ("warm_start", "keep_checkpoints")
        },
        "model": {
            "name": model.name,
            "family": model.family,
            "licence": canonical(model.licence),
            "trained_on": model.trained_on,
        },
        "notes": notes_of(wildcards.experiment),
    }
