"""A stage's code digest follows what the code does, through all that it imports, and nothing else."""

import pytest

from odtl import sources


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the same name: a imports b, b imports c.d, e stands alone."""
    root = tmp_path / "odtl"
    (root / "c").mkdir(parents=True)
    for name, text in {
        "a": '"""Doc."""\nfrom odtl.b import x\n',
        "b": "from odtl.c import d\n\ndef x():\n    return d.y\n",
        "c/__init__": "",
        "c/d": "y = 1\n",
        "e": "z = 1\n",
    }.items():
        (root / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(sources, "PACKAGE", root)

    def digest(*modules: str) -> str:
        sources._modules.cache_clear()
        return sources.code_digest(*modules)

    yield root, digest
    sources._modules.cache_clear()


def test_change_in_an_imported_module_counts(package):
    root, digest = package
    before = digest("a")
    (root / "c/d.py").write_text("y = 2\n", encoding="utf-8")
    assert digest("a") != before


def test_change_elsewhere_does_not_count(package):
    root, digest = package
    before = digest("a")
    (root / "e.py").write_text("z = 2\n", encoding="utf-8")
    assert digest("a") == before
    assert digest("e") != before


def test_comments_docstrings_and_layout_do_not_count(package):
    root, digest = package
    before = digest("a")
    (root / "b.py").write_text(
        '"""New."""\nfrom odtl.c import d\n\n\ndef x():\n    """New."""\n    # New.\n    return (d.y)\n',
        encoding="utf-8",
    )
    assert digest("a") == before


def test_init_of_a_package_counts_for_its_modules_and_its_imports_count_too(package):
    root, digest = package
    before = {name: digest(name) for name in ("a", "c", "c.d", "e")}
    (root / "c/__init__.py").write_text("from odtl.e import z\n", encoding="utf-8")
    assert {name for name, old in before.items() if digest(name) != old} == {"a", "c", "c.d"}
    before = {name: digest(name) for name in ("a", "c", "c.d")}
    (root / "e.py").write_text("z = 2\n", encoding="utf-8")
    assert all(digest(name) != old for name, old in before.items())


def test_all_modules_of_the_inventory_count_for_it():
    modules = {f"inventory.{path.stem}" for path in (sources.PACKAGE / "inventory").glob("[!_]*.py")}
    assert sources._closure(("inventory",)) > modules | {"annotations.voc", "annotations.csv_table", "file_cache"}


def test_modules_of_this_package_are_found():
    assert "errors" in sources._closure(("config",))


def test_what_is_kept_is_not_read_again_until_it_changes(package, monkeypatch):
    root, digest = package
    monkeypatch.setattr(sources, "_YOUNG_NS", -(10**12))
    before = digest("a")
    read = []
    monkeypatch.setattr(sources, "_read", lambda path, inner=sources._read: read.append(path.name) or inner(path))
    assert digest("a") == before
    assert read == []
    (root / "b.py").write_text("y = 3\n", encoding="utf-8")
    assert digest("a") != before
    assert read == ["b.py"]


def test_damaged_or_unwritable_cache_changes_nothing(package, monkeypatch):
    root, digest = package
    monkeypatch.setattr(sources, "_YOUNG_NS", -(10**12))
    before = digest("a")
    sources._cache_path().write_text("{", encoding="utf-8")
    assert digest("a") == before
    monkeypatch.setattr(sources, "_cache_path", lambda: root / "a.py" / "kept.json")
    assert digest("a") == before


def test_script_counts_with_all_that_it_imports(package):
    root, digest = package
    script = root.parent / "run.py"
    script.write_text("from job import logged\nfrom odtl.a import x\n\nx()\n", encoding="utf-8")
    (root.parent / "job.py").write_text("logged = 1\n", encoding="utf-8")

    def of_script() -> str:
        digest()
        return sources.script_digest("run")

    before = of_script()
    (root.parent / "job.py").write_text("logged = 2\n", encoding="utf-8")
    (root / "e.py").write_text("z = 2\n", encoding="utf-8")
    script.write_text('"""Run."""\nfrom job import logged\nfrom odtl.a import x\n\n\nx()  # Now.\n', encoding="utf-8")
    assert of_script() == before
    (root / "c/d.py").write_text("y = 2\n", encoding="utf-8")
    after = of_script()
    assert after != before
    script.write_text("from odtl.a import x\n\nx() + 1\n", encoding="utf-8")
    assert of_script() != after
