"""Snakemake's records of what each result was made from, kept with the results."""

import os
import shutil
from pathlib import Path

# What Snakemake goes by to tell what is up to date, and what a kill left half-made.
RECORDS = ("metadata", "incomplete")


def keep_records(snakemake_folder: str | os.PathLike, folder: str | os.PathLike) -> None:
    """Keep Snakemake's records in `folder`, and put a link to each where Snakemake looks for it.

    So whoever copies the results has the records, too; without them, changes of settings would go unnoticed.
    snakemake_folder: `.snakemake` of the working folder. Records that are there already are moved.
    """
    for name in RECORDS:
        link, target = Path(snakemake_folder) / name, Path(folder) / name
        target.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink() and not link.exists():
            link.unlink()
        if link.is_dir() and not link.is_symlink():
            # Snakemake wrote here last: these are the newer ones.
            shutil.copytree(link, target, dirs_exist_ok=True)
            shutil.rmtree(link)
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(target, link.parent))
