"""Searches run when they are asked for, once, and never for anything else."""

import json
import shutil

import pytest
from loopback import respond, serving, status

from helpers import ROOT, Project, draw_data

SEARCHES = {
    "peaches": {"provider": "wikimedia", "query": "peach", "max_results": 5},
    "mugs": {"provider": "google", "query": "mug", "max_results": 20},
}
CONFIG = {"data": {"sources": [{"format": "voc", "images": "images"}]}, "searches": SEARCHES}
LIST = "results/searches/peaches.csv"


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("GOOGLE_API_KEY", "GOOGLE_CSE_ID"):
        monkeypatch.delenv(name, raising=False)
    draw_data(tmp_path / "images", 6)
    return Project(tmp_path, **CONFIG)


def peaches(handler):
    info = {"url": "https://upload.example/a.jpg", "mime": "image/jpeg", "descriptionurl": "https://commons.example/a"}
    body = {"query": {"pages": [{"title": "File:A.jpg", "index": 1, "imageinfo": [info]}]}}
    respond(handler, 200, json.dumps(body).encode())


def test_all_does_not_search_and_the_target_runs_each_search(project):
    assert "search_images" not in project.plan().jobs
    assert project.plan("searches").jobs == {"searches": 1, "search_images": 2}
    assert project.plan(LIST).jobs == {"search_images": 1}


def test_a_missing_key_is_told_clearly(project):
    run = project.snakemake("results/searches/mugs.csv")
    assert run.status != 0
    assert "environment: GOOGLE_API_KEY: found nothing. To search with google it must hold your key" in run.output
    assert "environment: GOOGLE_CSE_ID: found nothing." in run.output
    assert "Traceback" not in run.output
    assert not (project.folder / "results/searches/mugs.csv").exists()


def test_a_source_may_wait_for_its_search(project):
    """Without its list the data set is refused, and the search that makes it still runs."""
    source = {"format": "urls", "urls": LIST, "name": "found"}
    project.configure(**CONFIG | {"data": {"sources": [*CONFIG["data"]["sources"], source]}})
    run = project.plan()
    assert run.status != 0
    assert f"A search makes this list: `snakemake {LIST} --cores 1`, with the same configuration." in run.output
    for targets in ([LIST], ["searches"], ["results/searches/mugs.csv", LIST]):
        run = project.plan(*targets)
        assert run.status == 0, run.output
        assert run.jobs["search_images"] >= 1
        assert "cannot be told" not in run.output
    run = project.plan("searches", "all")
    assert run.status != 0
    assert "Only searches can run until this is put right" in run.output


def test_a_search_is_repeated_only_where_its_settings_differ(project, tmp_path):
    copy = tmp_path / "copy"
    for name in ("workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, copy)
    # The zoo names it.
    label_map = "resources/pretrained/demo/label_map.pbtxt"
    (copy / label_map).parent.mkdir(parents=True)
    shutil.copy(ROOT / label_map, copy / label_map)
    project.root = copy
    provider = copy / "workflow/scripts/odtl/searching/wikimedia.py"
    with serving(peaches, peaches, status(404)) as server:
        text = provider.read_text(encoding="utf-8")
        assert "https://commons.wikimedia.org/w/api.php" in text
        provider.write_text(text.replace("https://commons.wikimedia.org/w/api.php", server.base), encoding="utf-8")
        run = project.snakemake(LIST)
        assert run.status == 0, run.output
        row = "https://upload.example/a.jpg,,,https://commons.example/a,,wikimedia,A.jpg,,,,,"
        assert (project.folder / LIST).read_text().splitlines()[1] == row
        # Neither a touched list nor changed code asks again.
        (project.folder / LIST).touch()
        provider.write_text(provider.read_text(encoding="utf-8") + "\nOTHER = 1\n", encoding="utf-8")
        assert project.plan(LIST).jobs == {}
        project.configure(**CONFIG | {"searches": {"peaches": {**SEARCHES["peaches"], "class": "peach"}}})
        run = project.snakemake(LIST)
        assert run.finished == {"search_images": 1}, run.output
        assert ".jpg,peach," in (project.folder / LIST).read_text()
        # A list of other settings must not stand where their search has failed.
        project.configure(**CONFIG | {"searches": {"peaches": {**SEARCHES["peaches"], "query": "plum"}}})
        run = project.snakemake(LIST)
        assert run.status != 0
        assert "wikimedia: search: found the answer 404" in run.output
        assert not (project.folder / LIST).exists()
        assert len(server.requests) == 3
        assert project.plan(LIST).jobs == {"search_images": 1}
