"""Say what the exports are: to programs, and to people."""

from pathlib import Path

from job import logged
from odtl.export.metadata import Sources, gather, remove_others, write_metadata
from odtl.export.model_card import MODEL_CARD, model_card

with logged(snakemake.log[0]):
    given, about = snakemake.input, snakemake.params.about
    formats, threads = about["formats"], about["threads"]
    folder = Path(snakemake.output.metadata).parent
    for name in remove_others(folder, formats):
        print(f"Removed what is no longer among `export.formats`: {name}.")
    sources = Sources(
        candidates=dict(zip(formats, given.candidates, strict=True)),
        parity=dict(zip(formats, given.parity, strict=True)),
        latency=given.latency,
        training=given.training,
        metrics=given.metrics,
        per_class=given.per_class,
        card=given.card,
        pretrained=given.get("pretrained") or None,
        sidecars={split: given.get(split) for split in snakemake.params.splits},
    )
    metadata = gather(sources, snakemake.wildcards.experiment, about["factory"], about["settings"], folder)
    card = model_card(metadata, about["model"], threads, about["notes"])
    write_metadata(metadata, card, folder, threads, MODEL_CARD)
