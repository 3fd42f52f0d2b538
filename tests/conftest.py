"""For all tests."""

from pathlib import Path

# Beside those of e2e and interrupted, which come first anyway: else they are the last of all, and one core waits.
LONG = {"test_distribution.py", "test_model_families.py", "test_training.py"}


def pytest_collection_modifyitems(items):
    """Let the longest files begin first."""
    items.sort(key=lambda item: Path(item.path).name not in LONG)
