"""May this data set be trained on? Not where training images show what the model is to be judged by."""

import itertools
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from odtl.duplicates.finding import compare_all, placed_images
from odtl.duplicates.hashes import is_current, look_at, read_hashes
from odtl.errors import InputError, Problem
from odtl.files import write_json
from odtl.manifest import read_manifest

_WORDS = {"identical": "the same file", "near": "nearly the same picture", "mirror": "the mirror image of it"}


def check_leaks(summary_json: str | os.PathLike, proposal_csv: str, verdict_json: str | os.PathLike, mode: str) -> None:
    """Write the verdict on the summary that `find_duplicates` wrote.

    proposal_csv: where the groups that would mend it are, for the message.
    mode:         "refuse" or "report".

    Raises InputError under "refuse" if training images are in val or test, too.
    """
    leaks = json.loads(Path(summary_json).read_text(encoding="utf-8"))["leaks"]
    if mode == "refuse" and leaks["images"]:
        raise refusal(leaks, proposal_csv)
    write_json(verdict_json, {"mode": mode, "images": leaks["images"], "pairs": leaks["pairs"]})


def refuse_leaks(manifests: Iterable[str | os.PathLike], hashes: str | os.PathLike, proposal_csv: str) -> None:
    """Raise the InputError that `check_leaks` raises, by what there is now; nothing has to have been made before.

    manifests: of all shards. hashes: the folder of `hash_images`; what it does not have, or not of these images, is
    looked at anew. An image that is still to be fetched does not count.
    """
    folder, used, rows = Path(hashes), {}, []
    for manifest in manifests:
        lines, stem = read_manifest(manifest), Path(manifest).stem
        used.update(placed_images(manifest, lines))
        table = folder / f"{stem}.csv"
        rows.append(read_hashes(table) if is_current(table, folder / f"{stem}.json", lines) else look_at(lines))
    leaks = compare_all(itertools.chain.from_iterable(rows), used)[0].summary()["leaks"]
    if leaks["images"]:
        raise refusal(leaks, proposal_csv)


def refusal(leaks: Mapping[str, Any], proposal_csv: str) -> InputError:
    """Return the error that says what leaks, and what helps."""
    problems = [_example(row) for row in leaks["examples"]]
    if left := sum(leaks["pairs"].values()) - len(problems):
        cure = "results/dataset/duplicates.csv lists them; results/dataset/check.html shows some (make check)."
        problems.append(Problem("and more", "pairs", f"{left} others", cure))
    copy = f"cp {proposal_csv} groups.csv"
    cure = (
        f"Keep them together: `{copy}`, set data.split.groups to groups.csv, and run again; that moves as few images "
        "as possible, also where folders or lists name the splits. Or remove the copies. Or set data.leaks to report, "
        "and train on them all the same."
    )
    problems.append(Problem("config", "data.split.groups", "splits that are not told apart", cure))
    kinds = ", ".join(f"{count} {kind}" for kind, count in leaks["pairs"].items() if count)
    headline = (
        f"{leaks['images']} training image(s) show the same as images of val or test ({kinds} pair(s)): "
        "scores would be better than the model"
    )
    return InputError(problems, headline)


def _example(row: Mapping[str, Any]) -> Problem:
    found = f"{_WORDS[row['kind']]} in {row['other_split']}, {row['other']}"
    return Problem(row["image"], row["split"], found, "One of the two splits must have both.")
