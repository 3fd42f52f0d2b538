"""Runs a notebook, as a person does from its first cell to its last."""

import os
from pathlib import Path

import nbformat
import pytest


def run_notebook(path: Path, environment: dict[str, str], timeout: float = 600) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of all its cells; an error of one of them is raised.

    environment: variables for it. Skips the test where what runs notebooks is not installed.
    """
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed, which runs notebooks")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed, which runs notebooks")
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env={**os.environ, **environment})
    return notebook
