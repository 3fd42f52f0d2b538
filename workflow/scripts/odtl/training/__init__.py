"""Fine-tuning: official.vision's task and trainer, with a state that survives a kill and progress to follow.

`loop` holds the loop itself, `starting` the weights it starts with, `inputs` its data, `trainer` the steps. What a
killed run goes on from is told in `training_state`, how a training starts after a change in `warm_start`.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from odtl import last_model
from odtl import warm_start as warm
from odtl.experiment import read_experiment
from odtl.files import atomic_open
from odtl.training.crew import Crew
from odtl.training.loop import Run
from odtl.training.memory import told_what_to_lower
from odtl.training.nodes import Nodes
from odtl.training.options import Options
from odtl.training.runtime import quiet
from odtl.training.starting import figures_of
from odtl.training_state import State, alone_in

DATA_SUFFIX = ".data-00000-of-00001"


def train(
    experiment_path: str | os.PathLike,
    factory: str,
    state_folder: str | os.PathLike,
    out_prefix: str | os.PathLike,
    fingerprint: Mapping[str, Any] | str,
    summary_path: str | os.PathLike,
    normalisation: Mapping[str, Any] | None = None,
    classes: Mapping[str, int] | None = None,
    same_classes: Mapping[str, str] | None = None,
    stream: TextIO | None = None,
    warm_start: warm.WarmStart | None = None,
    options: Options | None = None,
    folded_batch_norm: bool = False,
    nodes: Nodes | None = None,
) -> dict[str, Any]:
    """Train a detector, write its best weights and a summary, and return the summary.

    experiment_path: experiment.yaml; it says what to train on, how long, and from which checkpoint.
    factory:         official.vision's name for the kind of experiment.
    state_folder:    where the state lives; a run with the same fingerprint goes on from its last whole checkpoint,
                     any other starts anew and the old state is removed.
    out_prefix:      of the resulting checkpoint, weights only, in official.vision's layout; both files appear at the
                     end, whole, or not at all.
    fingerprint:     of what the experiment file names but does not hold: records, pretrained checkpoint. The
                     experiment's own content is always part of it.
    summary_path:    JSON: steps, which weights were exported and why, AP, speed, what was restored, versions.
    normalisation:   `mean` and `stddev` that the pretrained weights were trained with, as the zoo gives them; None:
                     those of official.vision (see `restoring.normalisation`).
    classes:         name -> id of what the pretrained weights tell apart; the head keeps what it knows of classes that
                     the data have, too. None: not known, so that all of them start fresh.
    same_classes:    name in the data -> name in `classes`, where they differ.
    stream:          where progress is told; standard error if None.
    warm_start:      when the training may go on from the last finished one's model, and on what data. None: never, and
                     nothing is kept for a next one.
    options:         what experiment.yaml has no place for; None: the defaults.
    folded_batch_norm: whether the statistics of the pretrained backbone's batch normalisation are to be measured on
                     training images, since they were folded into its convolutions (see `batch_norm`).
    nodes:           of the cluster's job, one for each process of a training in several; None: all are on this machine.

    What is exported: the weights with the best AP on the validation images; the last ones where there are none, or
    no evaluation could tell an AP. Raises InputError where the experiment or its checkpoint cannot be used, where
    the loss is no longer a number or no longer falls (see `watching`), and where the memory does not suffice.
    """
    quiet()
    config = read_experiment(experiment_path, factory)
    options = options or Options()
    parts = {
        "given": fingerprint,
        "experiment": _digest(config.as_dict()),
        "normalisation": figures_of(normalisation),
        "classes": {"known": dict(classes), "same": dict(same_classes or {})} if classes else None,
        "options": options.identity(),
        "folded_batch_norm": folded_batch_norm,
    }
    with alone_in(state_folder):
        plan = warm.plan_training(config, factory, state_folder, parts, warm_start)
        state = State(state_folder, plan.parts)
        with (
            told_what_to_lower(plan.config, str(experiment_path)),
            state.at_work(),
            Crew(options.spread, nodes) as crew,
        ):
            run = Run(plan, options, state, str(experiment_path), stream, crew)
            run.to_the_end()
            step, prefix, why = run.choose()
        _export(prefix, out_prefix)
        summary = {
            **run.summary(),
            "exported": {"step": step, "reason": why},
            "kept": run.kept(),
            "fingerprint": fingerprint,
            "versions": {name: metadata.version(name) for name in ("tensorflow", "tf-models-official", "numpy")},
        }
        if warm_start:
            summary["lineage"] = warm.lineage_of(
                warm_start, plan.start, last_model.read_last(state.last), prefix, summary
            )
        with atomic_open(summary_path) as file:
            json.dump(summary, file, indent=2, sort_keys=True)
            file.write("\n")
        if warm_start:
            last_model.write_last(state.last, prefix, warm_start.data, plan.settings, summary["lineage"])
        return summary


def _export(prefix: str, out_prefix: str | os.PathLike) -> None:
    """Copy a checkpoint to its final place: its index last, so that whoever sees an index has the data, too."""
    Path(f"{out_prefix}.index").unlink(missing_ok=True)
    for suffix in (DATA_SUFFIX, ".index"):
        with open(prefix + suffix, "rb") as source, atomic_open(str(out_prefix) + suffix, "wb") as target:
            shutil.copyfileobj(source, target)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
