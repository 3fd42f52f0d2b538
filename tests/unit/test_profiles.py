"""The profiles agree with each other and with the rules they name."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = set(
    re.findall(
        r"^(?:rule|use rule \w+ as) (\w+)",
        "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk")),
        flags=re.MULTILINE,
    )
)


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text(encoding="utf-8"))


def test_cluster_has_all_that_one_machine_has_but_its_limits():
    default, slurm = read("default"), read("slurm")
    assert {key: slurm.get(key) for key in default if key != "resources"} == {
        key: value for key, value in default.items() if key != "resources"
    }
    # Snakemake reads both, and profiles/default has the last word: a limit on GPUs must not be one of the cluster.
    assert slurm["set-resource-scopes"] == dict.fromkeys(default["resources"], "local")


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_profile_names_rules_that_are_there(name):
    profile = read(name)
    for key in ("groups", "set-threads", "set-resources"):
        assert set(profile.get(key, ())) <= RULES, key
    assert set(profile.get("group-components", ())) <= set(profile.get("groups", {}).values())


def test_profile_names_no_partition_and_no_account():
    assert not re.search("partition|account", "".join(map(str, read("slurm"))))
    assert "default-resources" not in read("slurm")
