"""A fingerprint of the library's own code, so that a changed stage runs again.

What a module imports and means is kept beside its byte code, in `__pycache__`: parsing the whole library takes longer
than all else that a run with nothing to do has to do.
"""

import ast
import contextlib
import functools
import hashlib
import json
import os
import sys
import time
from pathlib import Path

PACKAGE = Path(__file__).parent
# A file may change twice within the resolution of its time stamps.
_YOUNG_NS = 2 * 10**9


def code_digest(*modules: str) -> str:
    """Return a hex digest of the named modules of this package and of all modules of it that they import.

    modules: dotted names without the package, for example "annotations.voc". One inside a package of ours counts
             with that package's __init__; the name of a package stands for its __init__ and all that this imports.

    White space, comments and docstrings do not count: a reworded comment must not train a model again.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(_closure(modules)):
        digest.update(f"{name}\0{_modules()[name]['meaning']}\0".encode())
    return digest.hexdigest()


def script_digest(name: str) -> str:
    """Return a hex digest of a script beside this package and of all modules of the package that it imports.

    name: the script's stem, for example "write_records". What else lies beside it, such as what writes the logs, does
          not count: it must not change results. For the rest see `code_digest`.
    """
    script = _read(PACKAGE.parent / f"{name}.py")
    imported = code_digest(*(each for each in script["imports"] if each in _modules()))
    return hashlib.blake2b(f"{script['meaning']}\0{imported}".encode(), digest_size=16).hexdigest()


def _closure(modules: tuple[str, ...]) -> set[str]:
    known = _modules()
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            # `from odtl.annotations import voc` names a module, `from odtl.errors import Problem` does not.
            waiting += [*(each for each in known[name]["imports"] if each in known), *_packages(name)]
    return found


def _packages(name: str) -> list[str]:
    """Return the packages that a module lies in: importing it runs the code of each one's __init__."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


@functools.cache
def _modules() -> dict[str, dict]:
    """Return what each module of the package imports and means, by dotted name: read again where its file changed."""
    started, kept = time.time_ns(), _load()
    modules, fresh = {}, False
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        status = path.stat()
        key = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        module = kept.get(name)
        if module is None or module["key"] != key:
            module, fresh = {"key": key, **_read(path)}, True
        modules[name] = module
    if fresh:
        _save({name: module for name, module in modules.items() if module["key"][2] < started - _YOUNG_NS})
    return modules


def _read(path: Path) -> dict:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {"imports": sorted(_imports(tree)), "meaning": hashlib.sha256(_meaning(tree).encode()).hexdigest()}


def _imports(tree: ast.Module) -> set[str]:
    """Return what a module imports from this package, without the package's name; some may be no modules."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            module = (node.module or "").split(".")[1:]
            found |= {".".join([*module, alias.name]) for alias in node.names} | (
                {".".join(module)} if module else set()
            )
        elif isinstance(node, ast.Import):
            parts = [alias.name.split(".") for alias in node.names]
            found |= {".".join(part[1:]) for part in parts if part[0] == PACKAGE.name and len(part) > 1}
    return found


def _meaning(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _cache_path() -> Path:
    # What another Python, or another version of this module, made of a file is of no use.
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return PACKAGE / "__pycache__" / f"meanings.{sys.implementation.cache_tag}.{version}.json"


def _load() -> dict[str, dict]:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(_cache_path().read_text(encoding="utf-8"))
    return {}


def _save(modules: dict[str, dict]) -> None:
    """Keep what was read, if that is allowed here; several processes may do so at once."""
    temporary = _cache_path().with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        temporary.parent.mkdir(exist_ok=True)
        temporary.write_text(json.dumps(modules), encoding="utf-8")
        os.replace(temporary, _cache_path())
