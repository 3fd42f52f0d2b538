"""Write the full training configuration of an experiment."""

import json
from pathlib import Path

import gap_gate

from job import logged
from odtl.experiment import build_experiment, write_experiment
from odtl.label_map import highest_id
from odtl.schedule import describe, left_to_data


def read_json(path: str) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


with logged(snakemake.log[0]):
    model, settings, records = snakemake.params.model, snakemake.params.settings, snakemake.params.records
    source = snakemake.input.get("pretrained")
    train, val = read_json(snakemake.input.train), read_json(snakemake.input.val)
    gap_gate.check(snakemake.params.gaps, train, val, snakemake.input.classes, snakemake.input.label_map)
    experiment = build_experiment(
        factory=model["factory"],
        settings=model["settings"],
        schedule=settings,
        num_classes=highest_id(snakemake.input.label_map),
        train_records=records["train"],
        val_records=records["val"],
        train_summary=train,
        val_summary=val,
        init_checkpoint=str(Path(source).parent / read_json(source)["prefix"]) if source else None,
        restore=model["restore"] if source else (),
        overrides=settings["overrides"],
    )
    told = describe(experiment, train["images"], val["images"], left_to_data(settings))
    print(f"{snakemake.wildcards.experiment}: {told}")
    write_experiment(experiment, snakemake.output.experiment, told)
