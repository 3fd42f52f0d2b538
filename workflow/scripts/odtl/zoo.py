"""The model zoo: which pretrained models there are, how each was set up, and how its weights get here.

A model table is a YAML file with `models: {name: entry}`; docs/models.md explains each key of an entry.
"""

import contextlib
import fcntl
import hashlib
import json
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

import yaml
from jsonschema import Draft202012Validator, ValidationError

from odtl.bundle import check_checkpoint
from odtl.download import NotFoundError, Policy, download, without_password
from odtl.errors import InputError, Problem, nearest
from odtl.files import atomic_folder, sha256_of, write_json

_MAX_MEMBERS = 10_000
_MAX_UNPACKED_BYTES = 8 << 30
_ARCHIVE_SUFFIX = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$")

_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["family", "factory", "settings", "restore", "licence", "input_size"],
    "oneOf": [{"required": ["archive"]}, {"required": ["path"]}],
    "properties": {
        "family": {"type": "string", "minLength": 1},
        "factory": {"type": "string", "minLength": 1},
        "settings": {"type": "object"},
        "restore": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": ["backbone", "decoder", "head", "classes"]},
        },
        "archive": {
            "type": "object",
            "additionalProperties": False,
            "required": ["file", "url"],
            "properties": {
                "file": {"type": "string", "pattern": r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"},
                "url": {"type": ["string", "null"], "pattern": "^https?://"},
            },
        },
        "path": {"type": "string", "minLength": 1},
        "sha256": {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"},
        "licence": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name", "source"],
            "properties": {"name": {"type": "string", "minLength": 1}, "source": {"type": "string", "minLength": 1}},
        },
        "trained_on": {"type": ["string", "null"]},
        "coco_ap": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
        "parameters": {"type": ["number", "null"], "exclusiveMinimum": 0},
        "input_size": {"type": "integer", "minimum": 32},
        "normalisation": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": ["mean", "stddev", "source"],
            "properties": {
                "mean": {"$ref": "#/$defs/channels"},
                "stddev": {"$ref": "#/$defs/channels"},
                "source": {"type": "string"},
            },
        },
        "notes": {"type": ["string", "null"]},
    },
    "$defs": {"channels": {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "number"}}},
}

# The same in C where there is one: ten times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Model:
    """One model of the zoo.

    name:          what an experiment's `model` says.
    family:        the kind of detector, for people.
    factory:       the name of its experiment in `official.core.exp_factory`.
    settings:      what differs from the factory's configuration, nested as in experiment.yaml; with
                   task.model.input_size, which follows from `input_size`.
    restore:       the parts that the checkpoint gives; see `checkpoints.restore_parts`.
    licence:       name and source.
    input_size:    height and width in pixels.
    archive_file, archive_url: the archive's name, and where it is published (None: only in a mirror).
    path:          the folder of the checkpoint where it is in the repository; then there is no archive.
    sha256:        of the archive, or of the folder at `path` (see `folder_sha256`); None: see `fetch`.
    trained_on:    the data that the weights saw.
    coco_ap:       published AP on COCO val2017, in percent, or None.
    parameters:    published number in millions, or None.
    normalisation: mean and stddev per channel (RGB, of values in [0, 1]) at its training, with source, or None.
    """

    name: str
    family: str
    factory: str
    settings: Mapping[str, Any]
    restore: tuple[str, ...]
    licence: Mapping[str, str]
    input_size: int
    archive_file: str | None = None
    archive_url: str | None = None
    path: Path | None = None
    sha256: str | None = None
    trained_on: str | None = None
    coco_ap: float | None = None
    parameters: float | None = None
    normalisation: Mapping[str, Any] | None = None
    notes: str | None = None


@dataclass(frozen=True)
class Fetching:
    """How `fetch` goes about it: the download's patience, where its messages go, and how it waits."""

    policy: Policy = field(default_factory=Policy)
    report: Callable[[str], None] = print
    sleep: Callable[[float], None] = time.sleep


def load(paths: Iterable[str | os.PathLike]) -> dict[str, Model]:
    """Return name -> Model of all model tables, in their order.

    A `path` in a table is relative to the table's own folder. Raises InputError with every unknown or missing key,
    wrong value, and name that stands in two tables.
    """
    models: dict[str, Model] = {}
    problems: list[Problem] = []
    for path in map(Path, paths):
        for name, entry in _entries(path, problems):
            if name in models:
                cure = "It stands in an earlier table, too: give it another name."
                problems.append(Problem(str(path), f"models.{name}", "the name again", cure))
            else:
                models[name] = _model(name, entry, path.parent)
    if problems:
        raise InputError(problems, "The model zoo cannot be used")
    return models


def fetch(
    model: Model,
    target_folder: str | os.PathLike,
    mirror: str | None = None,
    checksums_path: str | os.PathLike | None = None,
    fetching: Fetching | None = None,
) -> dict[str, Any]:
    """Put a model's checkpoint and `source.json` into `target_folder`, whole or not at all; return the latter.

    The source is the model's `path`, else `mirror`, else its published address. `mirror` is a folder or an http(s)
    address that holds the archive under its name; a folder may also hold it unpacked, under its name without
    `.tar.gz`.

    checksums_path: a JSON file, to be kept with the project: name -> sha256. What is not pinned in the zoo is
    recorded there at the first fetch, and must be the same ever after.

    source.json: `model`, `prefix` (checkpoint prefix relative to the folder), `sha256`, `url` (an address or a path),
    `licence`. Raises InputError where nothing is found, a checksum differs, an archive is unsafe or damaged, or there
    is no whole checkpoint in it.
    """
    fetching = fetching or Fetching()
    parent = Path(target_folder).parent
    parent.mkdir(parents=True, exist_ok=True)
    # Not where the system keeps temporary files: that may be small, or in memory.
    with (
        tempfile.TemporaryDirectory(dir=parent, prefix=".download-") as scratch,
        atomic_folder(target_folder) as folder,
    ):
        found = _find(model, mirror, Path(scratch), fetching)
        digest = folder_sha256(found.path) if found.path.is_dir() else sha256_of(found.path)
        key = f"{model.name}/" if found.path.is_dir() else model.name
        # A pinned sum of an archive says nothing of the same archive unpacked.
        pin = model.sha256 if model.path or not found.path.is_dir() else None
        expected = pin or _read_checksums(checksums_path).get(key)
        if expected and expected != digest:
            raise _mismatch(model, found.url, expected, digest, None if pin else checksums_path, key)
        _unpack(found.path, folder)
        prefix = find_checkpoint(folder, found.url)
        check_checkpoint(prefix)
        source = {
            "model": model.name,
            "prefix": prefix.relative_to(folder).as_posix(),
            "sha256": digest,
            "url": found.url,
            "licence": dict(model.licence),
        }
        write_json(folder / "source.json", source)
        # What the repository itself holds is under its version control.
        if not expected and not model.path and checksums_path:
            _record_checksum(checksums_path, key, digest, found.url)
            fetching.report(f"{model.name}: sha256 {digest} recorded in {checksums_path}; keep that file.")
    return source


def find_checkpoint(folder: str | os.PathLike, source: str = "") -> Path:
    """Return the prefix of the checkpoint that lies anywhere in `folder`.

    Of several, the one that a file `checkpoint` beside it names, else the one with the highest step in its name.
    Raises InputError where there is none, or where that leaves more than one.
    """
    folder = Path(folder)
    prefixes = sorted(path.with_suffix("") for path in folder.rglob("*.index"))
    named = [prefix for prefix in prefixes if prefix.name == _latest(prefix.parent / "checkpoint")]
    best = named or _highest_step(prefixes)
    if len(best) == 1:
        return best[0]
    found = ", ".join(prefix.relative_to(folder).as_posix() for prefix in best) or "none"
    cure = "It must hold one TensorFlow checkpoint (`.index` and `.data-...` files), or a file `checkpoint` beside it."
    raise InputError(Problem(source or str(folder), "checkpoint", found, cure), "There is not one checkpoint")


def folder_sha256(folder: str | os.PathLike) -> str:
    """Return the SHA-256 over the files of a folder: of each, in order of path, `{sha256}  {path}` and a newline."""
    folder = Path(folder)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listing = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in files)
    return hashlib.sha256(listing.encode("utf-8")).hexdigest()


def table(models: Mapping[str, Model]) -> str:
    """Return the models as a Markdown table, smallest input first within a family."""
    head = (
        "model",
        "family",
        "input",
        "COCO AP",
        "parameters (M)",
        "trained on",
        "restored",
        "licence of the weights",
    )
    rows = [head, ("---",) * len(head)]
    for model in sorted(models.values(), key=lambda model: (model.family, model.input_size, model.name)):
        rows.append(
            (
                f"`{model.name}`",
                model.family,
                str(model.input_size),
                "-" if model.coco_ap is None else f"{model.coco_ap:g}",
                "-" if model.parameters is None else f"{model.parameters:g}",
                model.trained_on or "-",
                ", ".join(model.restore),
                model.licence["name"],
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


@dataclass(frozen=True)
class _Found:
    """A checkpoint's archive or folder on this disk, and where it came from."""

    path: Path
    url: str


def _entries(path: Path, problems: list[Problem]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problems.append(Problem(str(path), "file", str(error), "A model table is a YAML file: see docs/models.md."))
        return
    models = content.get("models") if isinstance(content, Mapping) else None
    # x- is for what entries share by YAML anchors.
    others = [key for key in content or () if key != "models" and not str(key).startswith("x-")]
    if not isinstance(models, Mapping) or others:
        cure = "A model table holds `models:` with one entry per model: see docs/models.md."
        problems.append(Problem(str(path), "top level", ", ".join(map(str, others)) or type(models).__name__, cure))
        return
    problems.extend(_repeated_names(path))
    for name, entry in models.items():
        errors = sorted(Draft202012Validator(_SCHEMA).iter_errors(entry), key=lambda error: error.json_path)
        problems.extend(problem for error in errors for problem in _explain(error, str(path), str(name)))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(name)):
            cure = "A name holds letters, digits, dots, hyphens and underscores: it becomes a folder."
            problems.append(Problem(str(path), f"models.{name}", "the name", cure))
        elif not errors:
            yield str(name), entry


def _repeated_names(path: Path) -> Iterator[Problem]:
    """Yield a problem for each name that stands twice in one table: a YAML reader keeps the last in silence."""
    top = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    models = next(value for key, value in top.value if key.value == "models")
    seen: dict[str, int] = {}
    for key, _ in models.value:
        line = key.start_mark.line + 1
        if key.value in seen:
            cure = "Give one of them another name."
            yield Problem(str(path), f"models.{key.value}", f"lines {seen[key.value]} and {line}", cure)
        seen[key.value] = line


def _explain(error: ValidationError, file: str, name: str) -> Iterator[Problem]:
    where = ".".join(["models", name, *map(str, error.absolute_path)])
    if error.validator == "additionalProperties":
        known = sorted(error.schema["properties"])
        for key in sorted(set(error.instance) - set(known), key=str):
            cure = f"There is no such key.{nearest(key, known)} Keys here: {', '.join(known)}."
            yield Problem(file, f"{where}.{key}", repr(error.instance[key]), cure)
    elif error.validator == "oneOf" and isinstance(error.instance, Mapping):
        present = " and ".join(key for key in ("archive", "path") if key in error.instance) or "neither"
        yield Problem(file, where, present, "Give either `archive` (file and url) or `path`.")
    else:
        yield Problem(file, where, repr(error.instance), f"{error.message}: see docs/models.md.")


def _model(name: str, entry: Mapping[str, Any], folder: Path) -> Model:
    plain = {key: value for key, value in entry.items() if key not in ("archive", "path", "restore", "settings")}
    archive, size, settings = entry.get("archive") or {}, entry["input_size"], entry["settings"]
    task = settings.get("task") or {}
    return Model(
        name=name,
        settings={**settings, "task": {**task, "model": {"input_size": [size, size, 3], **(task.get("model") or {})}}},
        restore=tuple(entry["restore"]),
        archive_file=archive.get("file"),
        archive_url=archive.get("url"),
        # Normalised by name only, so that a relative path stays relative.
        path=Path(os.path.normpath(folder / entry["path"])) if "path" in entry else None,
        **plain,
    )


def _find(model: Model, mirror: str | None, scratch: Path, fetching: Fetching) -> _Found:
    if model.path:
        return _in_repository(model)
    if mirror and (found := _in_mirror(model, mirror, scratch, fetching)):
        return found
    if not model.archive_url:
        tried = f"not in the mirror {without_password(mirror)}" if mirror else "no address, and no mirror is set"
        cure = f"Put {model.archive_file} (or it unpacked, in a folder) into a mirror and set pretrained.mirror."
        raise InputError(Problem(model.name, "archive", tried, cure), "The weights cannot be found")
    return _download(model.archive_url, model, scratch, fetching)


def _in_repository(model: Model) -> _Found:
    if not model.path.is_dir():
        cure = (
            "The folder belongs to the project: restore it from version control, or rebuild it as docs/models.md says."
        )
        raise InputError(Problem(str(model.path), model.name, "no such folder", cure), "The weights cannot be found")
    # Within the project it is the same wherever the project lies.
    here = Path.cwd()
    inside = model.path.is_relative_to(here)
    return _Found(model.path, (model.path.relative_to(here) if inside else model.path).as_posix())


def _in_mirror(model: Model, mirror: str, scratch: Path, fetching: Fetching) -> _Found | None:
    if urlsplit(mirror).scheme in ("http", "https"):
        with contextlib.suppress(NotFoundError):
            return _download(f"{mirror.rstrip('/')}/{quote(model.archive_file)}", model, scratch, fetching)
    elif not Path(mirror).is_dir():
        cure = "Set it to a folder, or to an http(s) address, that holds the archives; or to null."
        raise InputError(Problem("config", "pretrained.mirror", mirror, cure), "There is no such mirror")
    else:
        archive, unpacked = Path(mirror) / model.archive_file, Path(mirror) / folder_name(model.archive_file)
        for path in (archive, unpacked):
            if path.is_file() or (path == unpacked and path.is_dir()):
                return _Found(path, path.as_posix())
    if model.archive_url:
        fetching.report(f"{model.name}: {model.archive_file} is not in the mirror {without_password(mirror)}")
    return None


def folder_name(archive_file: str) -> str:
    """Return the name of the folder that stands for an archive that is unpacked: its name without `.tar.gz`."""
    return _ARCHIVE_SUFFIX.sub("", archive_file)


def _download(url: str, model: Model, scratch: Path, fetching: Fetching) -> _Found:
    path = scratch / model.archive_file
    download(url, path, fetching.policy, fetching.report, fetching.sleep)
    return _Found(path, without_password(url))


def _unpack(source: Path, folder: Path) -> None:
    if source.is_dir():
        # Contents only: a read-only mirror must not make a read-only copy.
        for path in (path for path in sorted(source.rglob("*")) if path.is_file()):
            copy = folder / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        return
    try:
        with tarfile.open(source) as archive:
            _extract_all(archive, source, folder)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        # The decompressors' own have no number; a full disk has one, and is not the archive's fault.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        cure = "It must be a tar archive (.tar.gz): check what stands at the address, a login page for example."
        found = f"{type(error).__name__}: {error}"
        raise InputError(Problem(source.name, "archive", found, cure), "The archive cannot be read") from error


def _extract_all(archive: tarfile.TarFile, source: Path, folder: Path) -> None:
    total = 0
    for count, member in enumerate(archive, start=1):
        total += member.size
        refusal = _refusal(member)
        if count > _MAX_MEMBERS or total > _MAX_UNPACKED_BYTES:
            refusal = f"more than {_MAX_MEMBERS:,} members or {_MAX_UNPACKED_BYTES:,} bytes"
        if refusal:
            cure = "No checkpoint needs that, so the archive is refused: take it from a place you trust."
            raise InputError(Problem(source.name, member.name, refusal, cure), "The archive is not safe")
        archive.extract(member, folder, filter="data")


def _refusal(member: tarfile.TarInfo) -> str | None:
    path = PurePosixPath(member.name)
    if path.is_absolute():
        return "an absolute name"
    if ".." in path.parts:
        return "a name that leaves the folder"
    if member.issym() or member.islnk():
        return f"a link to {member.linkname}"
    if not (member.isreg() or member.isdir()):
        return "neither a file nor a folder"
    return None


def _latest(checkpoint_file: Path) -> str | None:
    """Return the name that a `checkpoint` file (text form of CheckpointState) gives as the latest."""
    if not checkpoint_file.is_file():
        return None
    text = checkpoint_file.read_text(encoding="utf-8", errors="replace")
    match = re.search(r'^\s*model_checkpoint_path:\s*"([^"]*)"', text, re.MULTILINE)
    return PurePosixPath(match[1]).name if match else None


def _highest_step(prefixes: list[Path]) -> list[Path]:
    steps = [int(match[1]) if (match := re.search(r"-(\d+)$", prefix.name)) else -1 for prefix in prefixes]
    return [prefix for prefix, step in zip(prefixes, steps, strict=True) if step == max(steps)]


def _mismatch(
    model: Model, url: str, expected: str, found: str, checksums_path: str | os.PathLike | None, key: str
) -> InputError:
    place = f'"{key}" in {checksums_path}' if checksums_path else f"models.{model.name}.sha256 in the zoo"
    cure = (
        f"Expected sha256 {expected} ({place}). A damaged copy is cured by fetching it again; if the publisher has "
        "replaced the file and you trust the new one, remove the expected sum there and run again."
    )
    return InputError(Problem(url, model.name, f"sha256 {found}", cure), "The weights are not those known before")


def _read_checksums(path: str | os.PathLike | None) -> dict[str, str]:
    if path is None or not Path(path).exists():
        return {}
    cure = "It maps a model's name to a sha256: restore it from version control, or delete it to record anew."
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(Problem(str(path), "file", str(error), cure)) from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise InputError(Problem(str(path), "file", "another structure", cure))
    return content


def _record_checksum(path: str | os.PathLike, key: str, digest: str, url: str) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The folder is what is locked: the file itself is replaced, and a lock file would be left behind.
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        known = _read_checksums(path)
        if known.get(key, digest) != digest:
            cure = "Two runs fetched different bytes at once: run again."
            raise InputError(Problem(url, key, f"sha256 {digest}, and {known[key]} a moment ago", cure))
        write_json(path, dict(sorted({**known, key: digest}.items())))
    finally:
        os.close(descriptor)
