"""A manifest is what a run was planned for, or the run says so."""

import pytest

from odtl import manifest
from odtl.errors import InputError


def test_manifest_with_its_digest_is_taken(tmp_path):
    path = tmp_path / "train-00000-of-00001.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    manifest.check_digest(path, manifest.digest(path))


def test_manifest_that_has_changed_is_refused(tmp_path):
    path = tmp_path / "train-00000-of-00001.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    before = manifest.digest(path)
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"train-00000-of-00001.jsonl: sha256: .* run again"):
        manifest.check_digest(path, before)
