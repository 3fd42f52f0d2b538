"""Resolve the dependencies of pyproject.toml into requirements/*.lock and environment.yml.

    make lock

Needs `uv` on the path (pip install uv). The lock files hold exact versions with hashes, for every Python that the
project supports; environment.yml holds the same versions for conda.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Lock file: extras of pyproject.toml.
LOCKS = {
    "run": [],
    "dev": ["dev", "onnx", "s3", "kubernetes"],
    "gpu": ["gpu"],
    "onnx": ["onnx"],
    "s3": ["s3"],
    "kubernetes": ["s3", "kubernetes"],
    "slurm": ["slurm"],
}
HEADER = "# Written by `make lock` from pyproject.toml; do not edit.\n"


def compile_lock(name: str, extras: list[str]) -> None:
    """Write one lock file; versions that the run lock holds already are kept the same in the others."""
    target = ROOT / "requirements" / f"{name}.lock"
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"]
    for extra in extras:
        options += ["--extra", extra]
    if name != "run":
        options += ["--constraints", "requirements/run.lock"]
    subprocess.run(
        ["uv", "pip", "compile", "--quiet", *options, "pyproject.toml", "--output-file", target], cwd=ROOT, check=True
    )


def pins(lock: str) -> list[str]:
    """Return the `name==version` lines of a lock file's text, with their environment markers."""
    return re.findall(r"^([A-Za-z0-9][^\s;]*==[^\s;\\]+(?: ; [^\\\n]*?)?)\s*\\?$", lock, flags=re.MULTILINE)


def environment(lock: str) -> str:
    """Return the text of environment.yml: the lock's versions for conda."""
    lines = [
        HEADER.rstrip(),
        "name: object-detection-transfer-learning",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        "  - python >=3.11,<3.13",
        "  - pip",
        "  - pip:",
        *(f'    - "{pin}"' if ";" in pin else f"    - {pin}" for pin in pins(lock)),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name, extras in LOCKS.items():
        compile_lock(name, extras)
    text = (ROOT / "requirements/run.lock").read_text(encoding="utf-8")
    (ROOT / "environment.yml").write_text(environment(text), encoding="utf-8")
