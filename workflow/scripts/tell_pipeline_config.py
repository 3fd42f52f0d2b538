"""Tell what became of each setting of a pipeline.config."""

from job import logged
from odtl.files import atomic_open
from odtl.label_map import read_label_map
from odtl.pipeline_config import Target, read_document, translate, without_void
from odtl.pipeline_config.telling import Telling, tell, tell_briefly

with logged(snakemake.log[0]):
    target = Target(**snakemake.params.model)
    document, own = read_document(snakemake.input.pipeline), snakemake.params.own
    translation = translate(document, target)
    old = snakemake.input.get("old_label_map")
    telling = Telling(
        document,
        translation,
        target.name,
        snakemake.params.nearest["nearest"],
        own,
        without_void(translation.settings, own),
        read_label_map(snakemake.input.label_map),
        read_label_map(old) if old else None,
    )
    with atomic_open(snakemake.output.told) as stream:
        stream.write(tell(telling))
    print(tell_briefly(telling, snakemake.output.told))
