"""Print the models that an experiment can start from, fast ones first.

    python workflow/scripts/list_models.py [config.yaml]

It is no rule: one chooses a model before there are data.
"""

import sys
from pathlib import Path

import yaml

from odtl.errors import InputError
from odtl.model_table import model_table, read_times
from odtl.zoo import load

WORKFLOW = Path(__file__).resolve().parents[1]
NOTES = """
CPU time: of one image, the smallest model's taken as 1; ms: the same in milliseconds on the machine where it was
measured. COCO AP: as published, in percent. Parameters in millions, as published; those with * are counted.
docs/models.md says what each column means.
"""


def main(config_files: list[str]) -> None:
    tables = [WORKFLOW / "zoo.yaml"]
    for file in config_files:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        tables += (content.get("pretrained") or {}).get("zoo") or []
    try:
        print(model_table(load(tables), read_times(WORKFLOW / "model_times.json")), end="")
    except InputError as error:
        sys.exit(str(error))
    print(NOTES, end="")


if __name__ == "__main__":
    main(sys.argv[1:])
