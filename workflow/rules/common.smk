"""What every stage leans on: the checked configuration, the inventory, the names of shards and experiments.

Needs: the configuration, the sources it names.
Makes: results/inventory/{shard}.jsonl, one line per image, classes.txt, and detect.csv, the images to
       try the detector on - before the DAG is built, by the main process only, only where their content has changed.
"""

import atexit
import contextlib
import functools
import re
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

STARTED = time.time()
HOME = Path(workflow.basedir)
sys.path.insert(0, str(HOME / "workflow/scripts"))
# Snakemake loads pandas wherever it is installed, only to see whether a param is a table. None of ours is, and loading
# it takes a fifth of the time of a run with nothing to do.
sys.modules.setdefault("pandas", None)

from odtl import disk, inventory, label_map, listing, manifest, pipeline_config, run_lock, running_jobs, schedule
from odtl import scratch, zoo
from odtl.comparison.gathering import differing
from odtl.config import canonical, check_config, check_files, experiment_settings
from odtl.distribution import Distribution
from odtl.duplicates import groups_file
from odtl.errors import InputError
from odtl.experiments import trainings_of, written_out
from odtl.file_cache import key_of
from odtl.files import folder_sha256, sha256_of
from odtl.provenance import keep_records
from odtl.sources import script_digest
from odtl.split import SPLITS, shard_name, shard_pattern

# Where what is not a result is kept from one run to the next.
STATE = ".snakemake/odtl"
# Without a limit, two trainings would start on one card; `--resources mem_mb=...` would drop a profile's limit. Where a
# cluster hands them out, this is what one job may ask for, and profiles/default, which is read there as well, says 1.
if workflow.resource_scopes.is_local("gpu"):
    workflow.global_resources["gpu"] = 64 * 64
workflow.global_resources.setdefault("gpu", 1)


def load_inputs():
    """Check the configuration and bring the inventory up to date.

    Returns the zoo, the digest of each manifest, and why the sources cannot be read where a search is asked for, which
    may make what they lack; else that ends the run. A process that does not bring the inventory up to date has no
    digests: it takes the manifests as they are.
    """
    if workflow.is_main_process:
        check_files(workflow.configfiles)
    models = zoo.load([HOME / "workflow/zoo.yaml", *config["pretrained"]["zoo"]])
    check_config(config, HOME / "workflow/schemas/config.schema.yaml", models)
    # A job that Snakemake starts takes the manifests as they are, and none is changed under another run.
    digests, refusal = {}, None
    if LOCK and LOCK.held:
        try:
            digests = inventory.refresh(config["data"], config["labels"], f"{STATE}/sources", "results/inventory")
            list_images_to_detect(digests)
            store_inventory("results/inventory", f"{STATE}/stored")
        except InputError as error:
            # What else is asked for is not known here: `manifest_digest` refuses what needs the sources.
            if not any(word == "searches" or word.startswith("results/searches/") for word in sys.argv):
                raise
            refusal = error
            print(f"Only searches can run until this is put right: {error}", file=sys.stderr)
    return models, digests, refusal


def list_images_to_detect(digests):
    """Write the list of images that the detector is tried on."""
    path, inputs, limit = "results/inventory/detect.csv", config["detect"]["images"], config["detect"]["max_images"]
    if inputs:
        listing.write_listing(listing.list_inputs(inputs, limit, f"{STATE}/detect"), path)
        return
    shards = [shard_name("test", i, config["data"]["shards"]) for i in range(config["data"]["shards"])]
    manifests = [str(manifest.manifest_path("results/inventory", shard)) for shard in shards]
    mark = [limit, [digests[shard] for shard in shards]]
    listing.refresh_listing(path, mark, lambda: listing.list_manifests(manifests, limit), f"{STATE}/detect-manifests")


@contextlib.contextmanager
def told_clearly():
    """Tell what is wrong with the input or the disk without a traceback through Snakemake, which would bury it."""
    try:
        yield
    except InputError as error:
        raise WorkflowError(str(error)) from None
    except KeyboardInterrupt:
        raise WorkflowError("Interrupted before any job was started.") from None
    except OSError as error:
        if problem := disk.problem_of(error):
            raise WorkflowError(str(InputError(problem, "The disk refused"))) from None
        raise


def take_lock():
    """Take the folder for this run, or for the jobs of this process; return the lock, None for a job's process."""
    # Jobs belong to the process that starts them, which on a cluster is not the main one.
    running_jobs.announce(STATE)
    if not workflow.is_main_process:
        # Before Snakemake clears away what the job is to make: it may have waited in a queue for longer than its run.
        running_jobs.check_run()
        return None
    lock = run_lock.take(STATE, ".snakemake", "results")
    running_jobs.announce_owner(STATE, lock.held)
    return lock


def check_folder():
    """Refuse to run jobs beside another run, or where nothing can be written."""
    if LOCK:
        with told_clearly():
            LOCK.check()
            disk.check_writable("results")


def repeat_refusal():
    """Say once more why a run was refused: Snakemake's own last words would have a living run's lock removed."""
    if not workflow.dryrun:
        try:
            LOCK.check()
        except InputError as error:
            print(f"\n{error}", file=sys.stderr)


def tell_full_disk():
    """Say that the disk is full where Snakemake itself had to write: it blames the permissions."""
    with contextlib.suppress(OSError):
        if not workflow.dryrun and (problem := disk.full("results")):
            print(f"\n{InputError(problem, 'The disk refused')}", file=sys.stderr)


def tell_how_to_go_on():
    """Say what an error or Ctrl-C leaves: Snakemake's own last words read as if all were lost."""
    print(
        "\nNot finished. What was finished before is kept: put right what is told above, if anything is wrong, and give "
        "the same command again. A training goes on from its last checkpoint.",
        file=sys.stderr,
    )


with told_clearly():
    LOCK = take_lock()
    ZOO, DIGESTS, REFUSAL = load_inputs()

if LOCK:
    atexit.register(tell_full_disk if LOCK.held else repeat_refusal)

# By the name of the folder: with sweeps and several seeds these are more than the configuration has experiments.
TRAININGS = trainings_of(config)
EXPERIMENTS = list(TRAININGS)
WRITTEN_OUT = written_out(config)
with told_clearly():
    TRANSLATED = pipeline_config.put_in_place(WRITTEN_OUT, ZOO)
PIPELINES = pipeline_config.pipelines_of(WRITTEN_OUT)
SETTINGS = {name: experiment_settings(TRANSLATED, name) for name in EXPERIMENTS}
with told_clearly():
    zoo.check_same_classes(SETTINGS, ZOO)
MODELS = sorted({settings["model"] for settings in SETTINGS.values()})
SHARDS = {
    split: [shard_name(split, i, config["data"]["shards"]) for i in range(config["data"]["shards"])] for split in SPLITS
}


wildcard_constraints:
    split="|".join(SPLITS),
    shard=shard_pattern(config["data"]["shards"]),
    experiment="|".join(map(re.escape, EXPERIMENTS)),
    search="|".join(map(re.escape, sorted(config["searches"]))) or "$^",
    model="|".join(map(re.escape, MODELS)),
    precision="float32|float16|dynamic|int8",


def model_of(experiment):
    """Return the zoo's entry for an experiment's model."""
    return ZOO[SETTINGS[experiment]["model"]]


def shards_of(pattern, split):
    """Return the files of one split's shards."""
    return expand(pattern, shard=SHARDS[split])


def all_shards(pattern):
    """Return the files of all shards."""
    return [path for split in SPLITS for path in shards_of(pattern, split)]


def pretrained_of(wildcards):
    """Return the checkpoint that an experiment starts from; nothing where it starts from random weights."""
    settings = SETTINGS[wildcards.experiment]
    return f"results/pretrained/{settings['model']}/source.json" if settings["pretrained"] else []


def options_of(wildcards):
    """Return the settings of a training that experiment.yaml has no place for."""
    names = {"freeze", "early_stopping", "deterministic", "mixed_precision", "augmentation", "oversampling"}
    names |= {"distribution", "devices", "workers"}
    return {key: value for key, value in SETTINGS[wildcards.experiment].items() if key in names}


def spread_of(wildcards):
    """Return on how many devices a training computes."""
    return Distribution.of(SETTINGS[wildcards.experiment])


def in_several(wanted):
    """Return a resource that a training in several processes has, by its spread; it has none of it in one process."""

    def resource(wildcards):
        spread = spread_of(wildcards)
        return wanted(spread) if spread.workers > 1 else None

    return resource


def node_resources():
    """Return what makes Slurm give each process of a training a node; `mpi` leaves it to the job to start them there.

    None of it where no training has several processes: it would hide what a user says of the same for all rules.
    """
    if all(Distribution.of(settings).workers == 1 for settings in SETTINGS.values()):
        return {}
    return {
        "tasks": in_several(lambda spread: spread.workers),
        "tasks_per_gpu": in_several(lambda spread: 0),
        "mpi": in_several(lambda spread: "srun"),
        "slurm_extra": in_several(lambda spread: f"--gpus-per-node={spread.devices}" if spread.devices > 1 else None),
    }


def training_threads(wildcards):
    """Return the share of the cores that a training has beside as many of its kind as there are GPUs for; at least one.

    One at a time takes all there are. On a cluster the share is a node's, and its job has just that.
    """
    cores = workflow.cores
    if not (workflow.is_main_process and cores):
        return 64
    at_a_time = workflow.global_resources["gpu"].value // spread_of(wildcards).replicas
    return max(cores // max(min(at_a_time, len(EXPERIMENTS)), 1), 1)


@functools.cache
def checkpoint_identity(name):
    """Return what tells one pretrained checkpoint from another, whatever place it comes from."""
    model = ZOO[name]
    content = folder_sha256(model.path) if model.path and model.path.is_dir() else model.sha256
    return {"archive": model.archive_file, "sha256": content}


def print_summary():
    """Print what was made, if this run came so far."""
    summary = Path("results/summary.txt")
    if summary.exists() and summary.stat().st_mtime > STARTED:
        print(f"\n{summary.read_text(encoding='utf-8')}")


# What a training, and whatever uses the data set as a whole, waits for under `data.strict`.
PASSED_STRICT = ["results/dataset/strict.json"] if config["data"]["strict"] else []
