"""What was found about duplicates, in words for the data card."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odtl.duplicates.reporting import KINDS

WHERE = "results/dataset/duplicates.csv"


def read_findings(duplicates_json: str | os.PathLike, copies_json: str | os.PathLike) -> dict[str, Any]:
    """Return what the card has on duplicates: the summaries of `find_duplicates` and, as `copies`, `compare_copies`."""
    summary, copies = (json.loads(Path(path).read_text(encoding="utf-8")) for path in (duplicates_json, copies_json))
    return {**summary, "copies": copies}


def describe_findings(found: Mapping[str, Any]) -> str:
    """Return one line."""
    pairs = ", ".join(f"{found['pairs'][kind]} {kind}" for kind in KINDS if found["pairs"][kind])
    if not pairs:
        return "duplicates: none"
    return f"duplicates: {pairs} pair(s); {found['leaks']['images']} training image(s) are also in val or test"


def warn_of_findings(found: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that a person should look at."""
    leaks, copies, texts = found["leaks"], found["copies"], []
    if leaks["images"]:
        row = leaks["examples"][0]
        texts.append(
            f"{leaks['images']} training image(s) show the same as images of val or test, such as {row['image']} "
            f"({row['split']}) and {row['other']} ({row['other_split']}): the scores would be better than the model. "
            f"{WHERE} lists them; results/dataset/groups.csv keeps them together, as data.split.groups."
        )
    if found["between_val_and_test"]:
        texts.append(
            f"{found['between_val_and_test']} pair(s) of val and test images show the same: the best checkpoint is "
            "chosen by images that it is then scored on."
        )
    if copies["different"]:
        row = copies["examples"][0]
        texts.append(
            f"{copies['different']} image(s) are in the data twice with different boxes, such as {row['image']} "
            f"({_boxes(row['boxes'])}) and {row['other']} ({_boxes(row['other_boxes'])}): one of the two teaches what "
            "is wrong. results/dataset/copies.csv lists them."
        )
    return texts


def _boxes(count: int) -> str:
    return f"{count} box{'' if count == 1 else 'es'}"
