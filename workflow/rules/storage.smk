"""Results in a bucket: where their copies lie here, and what Snakemake itself does not move between the two.

Needs: --default-storage-provider and --default-storage-prefix. Without them nothing here does anything.
Makes: results, a link to the folder in which Snakemake keeps the copies: so a path means the same with a bucket and
       without, in the configuration of a training as in a message. Stores results/inventory/, which no job makes.
"""

import os
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import SharedFSUsage

STORAGE = workflow.storage_registry.default_storage_provider
# Whether jobs see the files that are here; where they do not, what lies at a job may be of an earlier run.
SHARED = SharedFSUsage.INPUT_OUTPUT in workflow.storage_settings.shared_fs_usage
ELSEWHERE = not workflow.is_main_process and not SHARED


def stored(path):
    """Return Snakemake's object for what is stored of a path below the working folder."""
    return STORAGE.object(f"{workflow.storage_settings.default_storage_prefix.rstrip('/')}/{path}")


def link_results():
    """Let `results` lead to Snakemake's copies of what is stored."""
    link = Path("results")
    if STORAGE is None:
        if link.is_symlink() and ".snakemake/storage/" in os.readlink(link):
            raise WorkflowError(
                "results leads to the copies of what is in a bucket, and nothing that this run makes would get there: "
                "add --default-storage-provider and the other options of docs/storage.md. To go on without the bucket, "
                "remove the link `results`."
            )
        return
    target = os.path.relpath(stored("results").local_path())
    if workflow.is_main_process and not workflow.storage_settings.keep_storage_local:
        # The next run would fetch again what this one needs to see what has changed.
        raise WorkflowError(
            "Results in a bucket: add --keep-storage-local-copies. What is read more than once stays here as well."
        )
    os.makedirs(target, exist_ok=True)
    if link.is_symlink() and os.readlink(link) != target and workflow.is_main_process:
        link.unlink()
    elif link.exists() and not link.is_symlink():
        raise WorkflowError(
            "results is a folder, and the results of this run belong into a bucket. Use another working folder, or move "
            "it away; `aws s3 cp --recursive` brings what it holds into the bucket."
        )
    if not link.is_symlink():
        link.symlink_to(target)


def bring(path, again=False):
    """Return a result's path, after it was fetched from where it is stored if it is not here; again: even if it is."""
    if STORAGE is not None and (again or ELSEWHERE or not os.path.exists(path)):
        found = stored(path)
        if found.exists():
            found.local_path().parent.mkdir(parents=True, exist_ok=True)
            found.retrieve_object()
    return path


def forget(path):
    """Remove a result, here and where it is stored, so that it is made again."""
    Path(path).unlink(missing_ok=True)
    if STORAGE is not None and (found := stored(path)).exists():
        found.remove()


def store_inventory(folder, state):
    """Store those files of the inventory that are not as they were when they were stored last.

    state: where to keep that. It is asked of one file only whether it is still there: the others go with it.
    """
    if STORAGE is None:
        return
    version = f"stored 1 {workflow.storage_settings.default_storage_prefix}"
    files = {str(path): key_of(path) for path in sorted(Path(folder).iterdir()) if path.is_file()}
    known = scratch.load(state, version) or {}
    if known and not stored(next(iter(known))).exists():
        known = {}
    stale = [path for path, key in files.items() if known.get(path) != key]
    for path in stale:
        stored(path).store_object()
    if stale:
        scratch.save(state, version, files)


def own(path):
    """Return a file of the user's own as an input: it is here, wherever results are."""
    return local(path) if path else []


link_results()
