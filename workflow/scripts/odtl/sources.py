"""A fingerprint of the library's own code, so that a changed stage runs again."""

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parent


def code_digest(*modules: str) -> str:
    """Return a hex digest of the named modules of this package and of all modules of it that they import.

    modules: dotted names without the package, for example "annotations.voc". One inside a package of ours counts
             with that package's __init__; the name of a package stands for its __init__ and all that this imports.

    White space, comments and docstrings do not count: a reworded comment must not train a model again.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(_closure(modules)):
        digest.update(f"{name}\0{_meaning(name)}\0".encode())
    return digest.hexdigest()


def _closure(modules: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [*_imports(name), *_packages(name)]
    return found


def _packages(name: str) -> list[str]:
    """Return the packages that a module lies in: importing it runs the code of each one's __init__."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


@functools.cache
def _tree(name: str) -> ast.Module:
    return ast.parse(_path(name).read_text(encoding="utf-8"))


def _path(name: str) -> Path:
    module = PACKAGE.joinpath(*name.split(".")).with_suffix(".py")
    return module if module.exists() else PACKAGE.joinpath(*name.split("."), "__init__.py")


@functools.cache
def _imports(name: str) -> list[str]:
    found = []
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            module = ".".join((node.module or "").split(".")[1:])
            # `from odtl.annotations import voc` names a module, `from odtl.errors import Problem` does not.
            members = [".".join(filter(None, [module, alias.name])) for alias in node.names]
            submodules = [member for member in members if _path(member).exists()]
            found += [*submodules, *([module] if module else [])]
        elif isinstance(node, ast.Import):
            parts = [alias.name.split(".") for alias in node.names]
            found += [".".join(part[1:]) for part in parts if part[0] == PACKAGE.name and len(part) > 1]
    return found


@functools.cache
def _meaning(name: str) -> str:
    tree = ast.parse(_path(name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
