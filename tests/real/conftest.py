"""Where the real data is; without it, these tests are skipped with the reason."""

import os
from pathlib import Path

import pytest


def folder_from(variable: str) -> Path:
    """Return the folder that an environment variable names, or skip the test."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: see tests/README.md")
    if not Path(value).is_dir():
        pytest.skip(f"{variable} names no folder")
    return Path(value).resolve()


@pytest.fixture(scope="session")
def real_data() -> Path:
    return folder_from("ODTL_REAL_DATA")


@pytest.fixture(scope="session")
def real_weights() -> Path:
    return folder_from("ODTL_REAL_WEIGHTS")
