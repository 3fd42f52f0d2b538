"""pyproject.toml, the locks and environment.yml say the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What `make {name}` adds.
OPTIONAL = ["gpu", "onnx", "s3", "kubernetes", "slurm"]


def locked(name: str) -> dict[str, Requirement]:
    """Return the requirements of a lock file by canonical name; a name may stand once for each platform."""
    text = (ROOT / f"requirements/{name}.lock").read_text(encoding="utf-8")
    lines = re.findall(r"^([A-Za-z0-9].*?)\s*\\?$", text, flags=re.MULTILINE)
    return {str(Requirement(line)): Requirement(line) for line in lines}


def version_of(lock: dict[str, Requirement], name: str) -> str:
    found = [r for r in lock.values() if canonicalize_name(r.name) == canonicalize_name(name)]
    assert found, f"{name} is not in the lock"
    return str(next(iter(found[0].specifier)).version)


@pytest.mark.parametrize(("lock", "extra"), [("run", None), ("dev", "dev"), *((name, name) for name in OPTIONAL)])
def test_lock_satisfies_pyproject(lock, extra):
    wanted = PROJECT["dependencies"] + (PROJECT["optional-dependencies"][extra] if extra else [])
    held = locked(lock)
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(version_of(held, requirement.name)), requirement


@pytest.mark.parametrize("lock", ["run", "dev", *OPTIONAL])
def test_lock_holds_exact_versions_with_hashes(lock):
    text = (ROOT / f"requirements/{lock}.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[\w.\[\]-]+==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


@pytest.mark.parametrize("extra", ["dev", *OPTIONAL])
def test_extras_only_add_to_the_run_lock(extra):
    # On which platforms a package is needed, others that need it may widen.
    versions = {(each.name, str(each.specifier)) for each in locked(extra).values()}
    assert {(each.name, str(each.specifier)) for each in locked("run").values()} <= versions


def test_conda_environment_holds_the_versions_of_the_run_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert {str(Requirement(line)) for line in pip} == set(locked("run"))
    python = next(entry for entry in environment["dependencies"] if str(entry).startswith("python "))
    assert python.split()[1] == PROJECT["requires-python"]
