"""What changed since the last finished run, and why each job runs: told by every dry run, and as a run starts.

Needs: results/inventory/, the configuration, the jobs that Snakemake finds stale.
Makes: results/last_run/, what the last finished run went by; results/logs/changes.txt and changes.csv, what the last
       run told as it started, and every single change.
"""

import contextlib
import datetime
import logging
import os
from collections import Counter

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.logging import get_event, logger
from snakemake.persistence import NO_PARAMS_CHANGE
from snakemake_interface_logger_plugins.common import LogEvent

from odtl import changes
from odtl.files import atomic_open

# `make changes` sets it: "all" for every single change, anything else for a part; and for nothing but the changes.
WANTED = os.environ.get("ODTL_CHANGES", "")
FLOW = {each.name: place for place, each in enumerate(workflow.rules)}


class Listener(logging.Handler):
    """Does what `onstart` and `onsuccess` cannot, which neither a dry run has, nor a run that has nothing to do."""

    heard = False

    def emit(self, record):
        nothing_to_do = record.getMessage() == NOTHING_TO_BE_DONE_MSG
        if not self.heard and (nothing_to_do or get_event(record) == LogEvent.RUN_INFO):
            self.heard = True
            if workflow.dryrun:
                tell_dry_run()
            elif nothing_to_do:
                keep_idle_run()


def tell_dry_run():
    """Print the changes and what would run."""
    with no_failure():
        limits = {"most": None} if WANTED == "all" else {"more": "make changes ALL=1 lists them"}
        if not LOCK.held:
            print("\nAnother run is going on: images and settings are told as they were when it began.")
        print(f"\n{tell_changes(find_changes(), **limits)}", flush=True)


def tell_run():
    """Log the changes and what is about to run, and keep them in results/logs/."""
    with no_failure():
        found = find_changes()
        text = tell_changes(found, more="results/logs/changes.csv has them all")
        changes.write_changes(found, "results/logs/changes.csv")
        with atomic_open("results/logs/changes.txt") as stream:
            stream.write(text)
        logger.info(text)


def keep_last_run():
    """Make this run the one that later ones are compared with, if it made all there is to make."""
    dag = workflow.dag
    if dag.rules_allowed_for_needrun or dag.batch or not any(job.rule.name == "all" for job in dag.targetjobs):
        return
    with no_failure():
        digests = {shard: manifest_digest(shard) for shards in SHARDS.values() for shard in shards}
        classes = inventory.read_classes("results/inventory")
        now = datetime.datetime.now().astimezone()
        if not changes.keep_last_run(config, classes, digests, "results/inventory", "results/last_run", now):
            logger.warning("The inventory changed during the run: what changed will be told against an older one.")


def keep_idle_run():
    """Make a run that had nothing to do the last finished one, if what it found is not what that one went by."""
    with no_failure():
        found = find_changes()
        if found or found.last is None:
            keep_last_run()


@contextlib.contextmanager
def no_failure():
    """Log an error of the block: a training must not be lost because its changes could not be told."""
    try:
        yield
    except Exception as error:
        # Sources that cannot be read are told of when something needs them.
        if not REFUSAL:
            logger.warning(f"What changed since the last run cannot be told or kept: {type(error).__name__}: {error}")


def find_changes():
    """Compare the inventory and the configuration with those of the last finished run."""
    manifests = {
        shard: (manifest.manifest_path("results/inventory", shard), manifest_digest(shard))
        for shards in SHARDS.values()
        for shard in shards
    }
    classes = inventory.read_classes("results/inventory")
    return changes.find_changes(changes.read_last_run("results/last_run"), config, classes, manifests)


def tell_changes(found, **limits):
    """Return what changed and what runs because of it, as text."""
    # What makes nothing is never stale.
    jobs = [job for job in workflow.dag.jobs if job.output and not job.rule.norun]
    stale = sorted(filter(workflow.dag.needrun, jobs), key=lambda job: (FLOW[job.rule.name], str(job.wildcards)))
    return changes.tell(found, [stale_job(job) for job in stale], Counter(job.rule.name for job in jobs), **limits)


def stale_job(job):
    """Return what Snakemake found of a job that is to run."""
    reason, settings = workflow.dag.reason(job), workflow.dag_settings
    made_before = any(workflow.persistence.metadata(file) for file in reason.missing_output)
    # Snakemake itself stops at the first reason that it finds. What was never made has no parameters to compare.
    params = workflow.persistence.params_changed(job) if made_before or not reason.missing_output else NO_PARAMS_CHANGE
    made = workflow.dag.dependencies[job].items()
    remade = {other.rule.name for other, files in made if not reason.updated_input_run.isdisjoint(files)}
    on_demand = bool(settings.forceall or settings.forcetargets or settings.forcerun)
    return changes.StaleJob(
        job.rule.name,
        name=", ".join(job.wildcards_dict.values()),
        experiment=job.wildcards_dict.get("experiment", ""),
        missing=tuple(reason.missing_output),
        made_before=made_before,
        updated=tuple(reason.updated_input - reason.updated_input_run),
        follows=tuple(sorted(remade, key=FLOW.get)),
        before=frozenset(params.only_old),
        after=frozenset(params.only_new),
        # What an interrupted run left half-made is forced, too.
        unfinished=reason.forced and not on_demand,
        forced=reason.forced and on_demand,
        script_changed=bool(reason.code_changed),
        inputs_changed=bool(reason.input_changed),
        software_changed=bool(reason.software_stack_changed),
    )


if workflow.is_main_process:
    for terminal in logger.handlers if WANTED else []:
        terminal.setLevel(logging.WARNING)
    logger.addHandler(Listener())
