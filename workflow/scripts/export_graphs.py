"""Write a trained detector as SavedModel and as frozen graph: candidates, until the gate has compared them."""

from job import logged
from odtl.export.choice import choose
from odtl.export.graphs import export_graphs
from odtl.export.sidecars import describe

# On the CPU: a GPU belongs to the jobs that ask for one.
with logged(snakemake.log[0], gpus=0):
    choice = choose(snakemake.params.settings["checkpoint"], snakemake.input.training, snakemake.params.state)
    facts = export_graphs(
        snakemake.input.experiment,
        snakemake.params.factory,
        choice.prefix,
        snakemake.input.label_map,
        snakemake.output.saved_model,
        snakemake.output.frozen_graph,
    )
    describe(snakemake.output.saved_model_sidecar, snakemake.output.saved_model, choice, facts)
    describe(snakemake.output.frozen_graph_sidecar, snakemake.output.frozen_graph, choice, facts)
