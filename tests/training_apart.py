"""A tiny training in a process of its own, for tests: TensorFlow is told at its start how many devices there are.

    python training_apart.py FOLDER NAME SETTINGS

FOLDER holds train.tfrecord, and val.tfrecord where the settings have `val`. SETTINGS, JSON, are those of an experiment.
The last line that is printed is JSON: `summary`; `images` and `losses` of each step; `scored`, the images that the
evaluations have seen.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "workflow/scripts"), str(HERE / "unit"), str(HERE)]


def main(folder: Path, name: str, settings: dict) -> None:
    from loopback import raise_loopback
    from test_training import make_experiment, run

    from odtl.training.examples import Examples
    from odtl.training.options import Options
    from odtl.training.watching import Watch

    raise_loopback()
    steps, look, scored, look_at_found = [], Watch.look, [], Examples.look

    def look_and_tell(watch, reports):
        steps.extend(reports)
        return look(watch, reports)

    def look_and_count(examples, step_outputs):
        for value in step_outputs.values():
            if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict):
                scored.extend(int(number) for part in value[1]["source_id"] for number in part.numpy().ravel())
        look_at_found(examples, step_outputs)

    Watch.look, Examples.look = look_and_tell, look_and_count
    path = make_experiment(folder, name, overrides={"task": {"init_checkpoint": None}}, **settings)
    summary, told = run(folder, path, name, options=Options.of(settings))
    print(told)
    images = [sorted(int(number) for number in step["images"].numpy().ravel()) for step in steps]
    losses = [float(step["loss"]) for step in steps]
    print(json.dumps({"summary": summary, "images": images, "losses": losses, "scored": sorted(scored)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
