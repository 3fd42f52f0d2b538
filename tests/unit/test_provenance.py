"""Snakemake's records lie with the results, wherever they were."""

import os
import shutil

from odtl.provenance import keep_records


def folders(root):
    return root / ".snakemake", root / "results/provenance"


def record(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_what_snakemake_writes_lies_with_the_results(tmp_path):
    snakemake, kept = folders(tmp_path)
    keep_records(*folders(tmp_path))
    record(snakemake, "metadata/a", "1")
    assert (kept / "metadata/a").read_text() == "1"
    assert not os.path.isabs(os.readlink(snakemake / "metadata"))


def test_copied_results_bring_their_records(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    keep_records(*folders(one))
    record(one / ".snakemake", "metadata/a", "1")
    shutil.copytree(one / "results", two / "results")
    keep_records(*folders(two))
    assert (two / ".snakemake/metadata/a").read_text() == "1"


def test_records_of_before_are_moved_and_win_over_older_ones(tmp_path):
    snakemake, kept = folders(tmp_path)
    record(snakemake, "metadata/@long/a", "new")
    record(kept, "metadata/@long/a", "old")
    record(kept, "metadata/b", "kept")
    keep_records(snakemake, kept)
    assert (snakemake / "metadata").is_symlink()
    assert (kept / "metadata/@long/a").read_text() == "new"
    assert (snakemake / "metadata/b").read_text() == "kept"
    keep_records(snakemake, kept)
    assert (kept / "metadata/@long/a").read_text() == "new"


def test_link_without_a_target_is_mended(tmp_path):
    snakemake, kept = folders(tmp_path)
    snakemake.mkdir()
    (snakemake / "metadata").symlink_to("elsewhere")
    keep_records(snakemake, kept)
    record(snakemake, "metadata/a", "1")
    assert (kept / "metadata/a").exists()
