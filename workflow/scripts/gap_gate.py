"""What keeps a training from starting on labels that cannot give what is asked for.

It is beside the library, as `job` is: a change of it must not train a model again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odtl.gaps import Labels, check_gaps
from odtl.label_map import read_label_map


def check(settings: Mapping[str, Any], train: Mapping, val: Mapping, classes_json: str, label_map: str) -> None:
    """Print what the labels lack; raise InputError where that must not be trained on.

    settings: `mode`, "refuse" or "report", and whether the classes are `fixed`. train, val: the splits' summaries.
    classes_json: the inventory's classes, by shard.
    """
    by_shard = json.loads(Path(classes_json).read_text(encoding="utf-8"))
    test = {name for shard, names in by_shard.items() if shard.startswith("test-") for name in names}
    labels = Labels(train, val, test, read_label_map(label_map), settings["fixed"])
    for told in check_gaps(labels, settings["mode"]):
        print(told)
