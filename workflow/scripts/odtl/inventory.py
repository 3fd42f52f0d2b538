"""What there is: every image and annotation of the sources, by meaning, as one small manifest per shard.

The main process scans the sources before the DAG is built. A manifest is written only when its content has changed, so
a touched file, a re-saved annotation with the same meaning or a copy of the whole project makes nothing stale.
Nothing is judged here but what concerns the match of images and annotations; the boxes stage does the rest.
"""

import contextlib
import difflib
import functools
import gc
import hashlib
import json
import marshal
import os
import re
import stat
import sys
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from odtl.annotations.model import Annotation
from odtl.errors import InputError, Problem
from odtl.files import atomic_open, sha256_of, write_text_if_changed
from odtl.manifest import manifest_path
from odtl.repairs import REJECTED, STATUS_OF
from odtl.split import SPLITS, assign, group_of, parse_shard_name, shard_name, shard_names, shard_of

IMAGE_EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
FOLDER_SPLITS = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
CLASSES_FILE = "classes.txt"

# A file may change twice within the resolution of its time stamps: one that young is read again the next time.
_YOUNG_NS = 2 * 10**9
_PROGRESS_SECONDS = 5.0
_CHUNK = 128
_HASH_AT_ONCE = 16 * 2**20
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode

Report = Callable[[str], None]


@dataclass(frozen=True)
class Inventory:
    """The manifests' texts by shard (all splits and shards, empty ones too), and the classes in use, sorted."""

    manifests: Mapping[str, str]
    classes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of images and of annotations without image."""
        return sum(text.count("\n") for text in self.manifests.values())


def scan(
    data_config: Mapping, labels_config: Mapping, cache_path: str | os.PathLike, report: Report | None = None
) -> Inventory:
    """List the sources, read what is new or changed, match annotations with images, and give each its shard.

    data_config:   the user's `data` section: `sources`, `split`, `shards`.
    labels_config: the user's `labels` section: `classes` (a list, or None for whatever occurs) and `aliases`.
    cache_path:    what was read before, by path, size, times and inode; a damaged one is ignored.
    report:        called with a line of progress now and then; by default it is printed to stderr.

    An annotation belongs to the image with the same path without extension; else to the nearest one with the same base
    name; else to the one that it names itself, with a row in the ledger. It never leaves its folder if that holds
    images, nor goes from a folder that is named train, val or test to another of these. Where several claim one image,
    the one that names it wins; where none or all do, the image is rejected, with a row for each.

    Hidden files and folders (".name") are not looked at. Links are followed, each folder once.

    Raises InputError with every problem that concerns the sources as a whole: a folder or table that is not there, no
    images, no annotations, one id twice.
    """
    with _collector_paused():
        return _scan(_list_sources(data_config), data_config, labels_config, cache_path, report)


def write(inventory: Inventory, folder: str | os.PathLike) -> dict[str, str]:
    """Write the manifests and classes.txt into `folder`, each only when its content has changed.

    Manifests of shards that are no more are removed. Returns the SHA-256 (hex) of each shard's text.
    """
    folder = Path(folder)
    for name, text in inventory.manifests.items():
        write_text_if_changed(manifest_path(folder, name), text)
    write_text_if_changed(folder / CLASSES_FILE, "".join(f"{name}\n" for name in inventory.classes))
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(ValueError):
            parse_shard_name(path.stem)
            if path.stem not in inventory.manifests:
                path.unlink()
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in inventory.manifests.items()}


def refresh(
    data_config: Mapping,
    labels_config: Mapping,
    cache_path: str | os.PathLike,
    folder: str | os.PathLike,
    report: Report | None = None,
) -> dict[str, str]:
    """Scan and write, but take a short cut when no file, setting or manifest has changed since the last time.

    Arguments as for `scan` and `write`; returns the SHA-256 (hex) of each shard's manifest. Every file is still
    looked at (one stat each), but nothing is parsed, not even the cache.
    """
    with _collector_paused():
        return _refresh(data_config, labels_config, cache_path, folder, report)


def read_classes(folder: str | os.PathLike) -> list[str]:
    """Return the classes in use, sorted, as `write` left them in `folder`."""
    return (Path(folder) / CLASSES_FILE).read_text(encoding="utf-8").splitlines()


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector: it would go through millions of small objects, none in a cycle, over and over."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _refresh(
    data_config: Mapping,
    labels_config: Mapping,
    cache_path: str | os.PathLike,
    folder: str | os.PathLike,
    report: Report | None,
) -> dict[str, str]:
    started = time.time_ns()
    sources = _list_sources(data_config)
    state_path = Path(f"{os.fspath(cache_path)}.state")
    fingerprint = _fingerprint(sources, data_config, labels_config)
    if (digests := _unchanged(state_path, fingerprint, Path(folder))) is not None:
        return digests
    digests = write(_scan(sources, data_config, labels_config, cache_path, report), folder)
    keys = {name: _stat_key(os.stat(Path(folder) / name)) for name in _outputs(digests)}
    files = [key for source in sources for *_, key in source.every_file()]
    if not any(key is None or key[2] > started - _YOUNG_NS for key in files):
        with atomic_open(state_path) as stream:
            json.dump({"fingerprint": fingerprint, "digests": digests, "keys": keys}, stream)
    return digests


# --- Listing -----------------------------------------------------------------------------------------------------

# size, mtime_ns, ctime_ns, inode; None for what is no regular file or cannot be looked at.
_Key = list[int] | None
# Path relative to the root it was found under, with "/"; path to open; key.
_File = tuple[str, str, _Key]


@dataclass(frozen=True)
class _Source:
    name: str
    format: str
    split: str
    images: list[_File]
    # (the split that the configuration gives to these annotations or None, their files)
    annotations: list[tuple[str | None, list[_File]]]

    def every_file(self) -> Iterator[_File]:
        yield from self.images
        for _, files in self.annotations:
            yield from files


def _list_sources(data_config: Mapping) -> list[_Source]:
    problems: list[Problem] = []
    sources = [_list_source(number, source, problems) for number, source in enumerate(data_config["sources"])]
    if not problems and not any(files for source in sources for _, files in source.annotations):
        cure = "Point data.sources[].annotations at the folder or table that holds them."
        problems.append(Problem("config", "data.sources", "no annotation at all", cure))
    if problems:
        raise InputError(problems, "the data sources cannot be used as they are")
    return sources


def _list_source(number: int, source: Mapping, problems: list[Problem]) -> _Source:
    field = f"data.sources[{number}]"
    root = _tidy(source["images"])
    is_csv = source["format"] == "csv"
    parts = _annotation_parts(source.get("annotations"))
    beside = not parts and not is_csv
    extensions = IMAGE_EXTENSIONS | {".xml"} if beside else IMAGE_EXTENSIONS
    found = _walk(root, extensions, f"{field}.images", problems)
    annotations: list[tuple[str | None, list[_File]]] = []
    if beside:
        annotations = [(None, [file for file in found if _is_xml(file[0])])]
        found = [file for file in found if not _is_xml(file[0])]
    for split, path in parts:
        where = f"{field}.annotations"
        files = _one_file(path, where, problems) if is_csv else _walk(path, frozenset((".xml",)), where, problems)
        annotations.append((split, files))
    if is_csv and not parts:
        cure = "A source of format csv needs the path of its table(s)."
        problems.append(Problem("config", f"{field}.annotations", "nothing", cure))
    if not found and os.path.isdir(root):
        names = ", ".join(sorted(extension[1:] for extension in IMAGE_EXTENSIONS))
        problems.append(
            Problem("config", f"{field}.images", f"no image in {root}", f"Files named {names} are looked for.")
        )
    return _Source(
        source.get("name") or "", source["format"], source.get("split") or "from_folders", found, annotations
    )


def _annotation_parts(annotations: object) -> list[tuple[str | None, str]]:
    if annotations is None:
        return []
    if isinstance(annotations, Mapping):
        return [(split, _tidy(annotations[split])) for split in SPLITS if annotations.get(split)]
    paths = [annotations] if isinstance(annotations, str | os.PathLike) else annotations
    return [(None, _tidy(path)) for path in paths]


def _tidy(path: str | os.PathLike) -> str:
    return os.path.normpath(os.fspath(path))


def _one_file(path: str, field: str, problems: list[Problem]) -> list[_File]:
    try:
        status = os.stat(path)
    except OSError as error:
        problems.append(Problem("config", field, f"{path} ({error.strerror})", "Correct the path of the table."))
        return []
    if not stat.S_ISREG(status.st_mode):
        problems.append(Problem("config", field, f"{path}, which is no file", "Format csv takes the path of a table."))
        return []
    return [(os.path.basename(path), path, _stat_key(status))]


def _walk(root: str, extensions: frozenset[str], field: str, problems: list[Problem]) -> list[_File]:
    """List the files below `root` that have one of the extensions, in any case, sorted by relative path."""
    files: list[_File] = []
    seen: set[tuple[int, int]] = set()
    # Links last: a folder that is reached both ways then has its own name, not the link's.
    folders, links = [""], []
    while folders or links:
        relative = folders.pop() if folders else links.pop(0)
        path = f"{root}/{relative}" if relative else root
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                below, linked = _list_folder(entries, f"{relative}/" if relative else "", path, extensions, files)
        except OSError as error:
            cure = "Correct the path, or make the folder readable."
            problems.append(Problem("config", field, f"{path} ({error.strerror})", cure))
            continue
        folders += below
        links = sorted(links + linked)
    files.sort()
    for relative, *_ in files:
        if not relative.isascii() and not _is_text(relative):
            name = os.fsencode(relative).decode("latin-1")
            problems.append(Problem("config", field, f"a file name that is no UTF-8: {name}", "Rename the file."))
    return files


def _list_folder(
    entries: Iterable[os.DirEntry], prefix: str, path: str, extensions: frozenset[str], files: list[_File]
) -> tuple[list[str], list[str]]:
    below, linked = [], []
    for entry in entries:
        name = entry.name
        if name[0] == ".":
            continue
        if _is_folder(entry):
            (linked if entry.is_symlink() else below).append(prefix + name)
        elif name[name.rfind(".") :].lower() in extensions:
            try:
                key = _stat_key(entry.stat())
            except OSError:
                key = None
            files.append((prefix + name, f"{path}/{name}", key))
    return below, linked


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself; reading it as a file says what is wrong with it.
        return False


def _stat_key(status: os.stat_result) -> _Key:
    if not stat.S_ISREG(status.st_mode):
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _is_xml(name: str) -> bool:
    return name[-4:].lower() == ".xml"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- Reading what is new -----------------------------------------------------------------------------------------


def _read_changed(
    sources: Sequence[_Source], cache_path: str | os.PathLike, report: Report | None
) -> dict[str, object]:
    """Return what each file holds, by path: read anew where the cache does not know it as it is now."""
    started = time.time_ns()
    old = _load_cache(cache_path)
    entries: dict[str, list] = {}
    changed: list[tuple[str, str, _Key]] = []
    for source in sources:
        for kind, files in (("image", source.images), *((source.format, files) for _, files in source.annotations)):
            for _, path, key in files:
                entry = old.get(path)
                if entry is not None and entry[0] == key and key is not None:
                    entries[path] = entry
                else:
                    changed.append((kind, path, key))
    if changed:
        for path, key, value in _read_all(changed, report or _print_progress):
            entries[path] = [key, value]
    if changed or len(old) != len(entries):
        limit = started - _YOUNG_NS
        settled = {path: entry for path, entry in entries.items() if entry[0] is not None and entry[0][2] < limit}
        _save_cache(cache_path, settled)
    return {path: entry[1] for path, entry in entries.items()}


def _read_all(changed: Sequence[tuple[str, str, _Key]], report: Report) -> Iterator[tuple[str, _Key, object]]:
    chunks = [changed[start : start + _CHUNK] for start in range(0, len(changed), _CHUNK)]
    begun = told = time.monotonic()
    done = 0
    problems: list[Problem] = []
    with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
        for results in pool.map(_read_chunk, chunks):
            for path, key, value in results:
                if isinstance(value, InputError):
                    problems += value.problems
                else:
                    yield path, key, value
            done += len(results)
            if time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                left = (told - begun) / done * (len(changed) - done)
                report(f"inventory: {done:,} of {len(changed):,} new or changed files read, about {left:.0f} s left")
    if problems:
        raise InputError(problems, "the data sources cannot be used as they are")


def _read_chunk(chunk: Sequence[tuple[str, str, _Key]]) -> list[tuple[str, _Key, object]]:
    return [(path, key, _READERS[kind](path, key)) for kind, path, key in chunk]


def _read_image(path: str, key: _Key) -> object:
    try:
        if key is None:
            # Opening a pipe or a device that has been named .jpg would wait for ever.
            raise FileNotFoundError("no regular file, or a link to nothing")
        if key[0] > _HASH_AT_ONCE:
            return sha256_of(path)
        with open(path, "rb", buffering=0) as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError as error:
        return {"problems": [["image_unreadable", "image", str(error.strerror or error), "left out"]]}


def _read_voc(path: str, _key: _Key) -> object:
    from odtl.annotations import voc

    try:
        return _pack(voc.read(path))
    except InputError as error:
        reason = "annotation_unsafe" if isinstance(error, voc.UnsafeAnnotationError) else "annotation_unreadable"
        return {"problems": [[reason, problem.field, problem.found, _left_out(problem)] for problem in error.problems]}


def _read_csv(path: str, _key: _Key) -> object:
    from odtl.annotations import csv_table

    try:
        table = csv_table.read(path)
    except InputError as error:
        return error
    problems = [
        [entry.filename, entry.reason, entry.problem.field, entry.problem.found, _left_out(entry.problem)]
        for entry in table.problems
    ]
    return {"annotations": {name: _pack(entry) for name, entry in table.annotations.items()}, "rows": problems}


def _left_out(problem: Problem) -> str:
    return f"left out. {problem.cure}"


_READERS = {"image": _read_image, "voc": _read_voc, "csv": _read_csv}


def _pack(annotation: Annotation) -> list:
    boxes = [[int(edge) if edge % 1 == 0 and abs(edge) < 1e15 else edge for edge in box] for box in annotation.boxes]
    flags = [list(annotation.difficult), list(annotation.truncated)]
    return [annotation.filename, annotation.width, annotation.height, boxes, list(annotation.labels), *flags]


def _load_cache(path: str | os.PathLike) -> dict[str, list]:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        with open(path, encoding="utf-8") as stream:
            cache = json.load(stream)
        if cache["code"] == _code_digest():
            return {name: entry for name, entry in cache["files"].items() if len(entry) == 2}
    return {}


def _save_cache(path: str | os.PathLike, entries: Mapping[str, list]) -> None:
    with atomic_open(path) as stream:
        stream.write(json.dumps({"code": _code_digest(), "files": entries}, separators=(",", ":")))


@functools.cache
def _code_digest() -> str:
    """Return a digest of the sources that decide what is read out of a file: another version must read it anew."""
    here = Path(__file__).parent
    names = ("inventory.py", "split.py", "annotations/model.py", "annotations/voc.py", "annotations/csv_table.py")
    return hashlib.sha256(b"\0".join((here / name).read_bytes() for name in names)).hexdigest()


def _print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- The short cut -----------------------------------------------------------------------------------------------


def _fingerprint(sources: Sequence[_Source], data_config: Mapping, labels_config: Mapping) -> str:
    settings = json.dumps([_code_digest(), data_config, labels_config], sort_keys=True, default=str)
    hasher = hashlib.sha256(settings.encode())
    for source in sources:
        # Version 2 of marshal writes equal content as equal bytes; later ones look at object identity too.
        hasher.update(marshal.dumps([source.images, source.annotations], 2))
    return hasher.hexdigest()


def _unchanged(state_path: Path, fingerprint: str, folder: Path) -> dict[str, str] | None:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        state = json.loads(state_path.read_text(encoding="utf-8"))
        if state["fingerprint"] == fingerprint and all(
            _stat_key(os.stat(folder / name)) == key for name, key in state["keys"].items()
        ):
            return state["digests"]
    return None


def _outputs(digests: Mapping[str, str]) -> list[str]:
    return [CLASSES_FILE, *(f"{name}.jsonl" for name in digests)]


# --- Matching ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Claim:
    """An annotation, and the image that it may belong to.

    stem:   path, without extension, that the image should have relative to the image folder.
    named:  the image's path as the annotation itself states it, with "/"; "" if it does not.
    only_named: whether that is all it has: it is a row of a table, not a file that lies beside its image.
    place:  folder split of where the annotation is; it never belongs to an image of another one.
    """

    path: str
    stem: str
    named: str
    split: str | None
    place: str | None
    packed: list | None
    problems: tuple[tuple[str, str, str, str], ...] = ()
    only_named: bool = False


@dataclass(frozen=True)
class _Match:
    """What each image got: its claim if there is one, its problems; and the claims that are left over."""

    claims: Mapping[str, _Claim]
    problems: Mapping[str, list[dict[str, str]]]
    orphans: list[tuple[_Claim, str]]


def _match(images: Sequence[str], claims: Sequence[_Claim], by_path: Callable[[_Claim], list[str]]) -> _Match:
    """Give each image its annotation.

    by_path: the images that the claim's own place says it belongs to; without one, the base names decide.
    """
    names = _BaseNames(images)
    wanted: dict[str, list[tuple[tuple, _Claim, bool]]] = defaultdict(list)
    for claim in claims:
        rank, found = _candidates(claim, by_path(claim), names)
        for image in found:
            wanted[image].append((rank, claim, len(found) > 1))
    taken: dict[str, _Claim] = {}
    problems: dict[str, list[dict[str, str]]] = defaultdict(list)
    used: set[_Claim] = set()
    for image, entries in wanted.items():
        best = min(rank for rank, *_ in entries)
        entries = [(claim, unsure) for rank, claim, unsure in entries if rank == best]
        winner = _winner(image, entries)
        if winner is None:
            others = sorted({claim.path for claim, _ in entries})
            found = f"more than one image or annotation for {image}: {', '.join(others)}"
            done = "left out; give image and annotation the same name, or say which it is in <filename>"
            problems[image] += [_problem("annotation_ambiguous", path, "file name", found, done) for path in others]
            used.update(claim for claim, _ in entries)
            continue
        taken[image] = winner
        used.add(winner)
        used.update(claim for claim, _ in entries if _same_meaning(claim, winner))
        if best[0] == 3 or (winner.only_named and _composed(_basename(winner.named)) != _composed(_basename(image))):
            done = f"matched with {image}, which it names"
            problems[image].append(_problem("matched_by_filename", winner.path, "filename", winner.named, done))
    wants = {claim: image for image, entries in wanted.items() for _, claim, _ in entries}
    orphans = [(claim, _why_orphan(claim, wants.get(claim), taken)) for claim in claims if claim not in used]
    return _Match(taken, problems, orphans)


class _BaseNames:
    """Images by base name, with and without extension; composed and decomposed accents count as the same."""

    def __init__(self, images: Sequence[str]) -> None:
        self._images = images
        self.folders = frozenset(map(_folder, images))

    @functools.cached_property
    def full(self) -> dict[str, list[str]]:
        return self._index(lambda name: name)

    @functools.cached_property
    def stems(self) -> dict[str, list[str]]:
        return self._index(_stem)

    def _index(self, key: Callable[[str], str]) -> dict[str, list[str]]:
        index = defaultdict(list)
        for image in self._images:
            index[_composed(key(_basename(image)))].append(image)
        return dict(index)


def _candidates(claim: _Claim, own: list[str], names: _BaseNames) -> tuple[tuple, list[str]]:
    """Return a rank (lower is a stronger claim) and the images of that rank; several mean that it is not clear."""
    if own:
        return (1, 0), _prefer_named(claim, own)
    # Where the annotation's own folder holds images, its image is one of them: frames of two videos share their names.
    home = _folder(claim.stem)
    home = home if home in names.folders else ""
    ranks = [(2, names.stems, _stem(claim.stem)), (3, names.full, claim.named), (3, names.stems, _stem(claim.named))]
    for rank, index, target in ranks:
        found = index.get(_composed(_basename(target)), []) if target else []
        found = [image for image in found if claim.place is None or _folder_split(image) in (None, claim.place)]
        found = [image for image in found if home in ("", _folder(image))]
        if found:
            nearness = {image: _nearness(_stem(image), _stem(target) if rank == 3 else target) for image in found}
            nearest = max(nearness.values())
            found = _prefer_split(claim, [image for image in found if nearness[image] == nearest])
            return (rank, -nearest), _prefer_named(claim, found)
    return (4, 0), []


def _prefer_named(claim: _Claim, found: list[str]) -> list[str]:
    named = [image for image in found if _composed(_basename(image)) == _composed(_basename(claim.named))]
    return named if len(named) == 1 else found


def _prefer_split(claim: _Claim, found: list[str]) -> list[str]:
    same = [image for image in found if claim.split is not None and _folder_split(image) == claim.split]
    return same or found


def _winner(image: str, entries: Sequence[tuple[_Claim, bool]]) -> _Claim | None:
    if any(unsure for _, unsure in entries):
        return None
    claims = [claim for claim, _ in entries]
    if len(claims) > 1:
        naming = [claim for claim in claims if _composed(_basename(claim.named)) == _composed(_basename(image))]
        claims = naming if naming else claims
    return claims[0] if all(_same_meaning(claims[0], other) for other in claims) else None


def _same_meaning(one: _Claim, other: _Claim) -> bool:
    if one is other:
        return True
    if one.packed is None or other.packed is None or one.split != other.split:
        return False
    # As text: NaN equals NaN there.
    return _encode(one.packed[1:]) == _encode(other.packed[1:])


def _why_orphan(claim: _Claim, wanted: str | None, taken: Mapping[str, _Claim]) -> str:
    if wanted in taken:
        return f"no image of its own; {wanted} is annotated by {taken[wanted].path}"
    return f"no image for it (names {claim.named!r})" if claim.named else "no image for it"


def _nearness(one: str, other: str) -> int:
    """Return how many folders two paths share, from the front and from the back."""
    one_parts, other_parts = one.split("/")[:-1], other.split("/")[:-1]
    front = _shared(one_parts, other_parts)
    return front + _shared(one_parts[front:][::-1], other_parts[front:][::-1])


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _problem(reason: str, file: str, field: str, found: str, done: str) -> dict[str, str]:
    return {"reason": reason, "file": file, "field": field, "found": found, "done": done}


def _slashes(path: str) -> str:
    # A name written on Windows; a drive or a leading "./" tells nothing about the image folder.
    return re.sub(r"^([A-Za-z]:)?/+|^(\./)+", "", path.replace("\\", "/"))


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _basename(path: str) -> str:
    return path[path.rfind("/") + 1 :]


def _stem(path: str) -> str:
    """Return a path without its extension, if it has the extension of an image."""
    dot = path.rfind(".")
    return path[:dot] if dot > 0 and path[dot:].lower() in IMAGE_EXTENSIONS else path


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _folder_split(relative: str) -> str | None:
    return _split_of_folder(_folder(relative))


@functools.lru_cache(maxsize=4096)
def _split_of_folder(folder: str) -> str | None:
    for part in folder.split("/"):
        if (split := FOLDER_SPLITS.get(part.lower())) is not None:
            return split
    return None


# --- From matches to manifests -----------------------------------------------------------------------------------


def _scan(
    sources: Sequence[_Source],
    data_config: Mapping,
    labels_config: Mapping,
    cache_path: str | os.PathLike,
    report: Report | None,
) -> Inventory:
    values = _read_changed(sources, cache_path, report)
    shards, split_config = int(data_config["shards"]), data_config["split"]
    classify = _Classifier(labels_config)
    texts: dict[str, list[tuple[str, str]]] = {name: [] for name in shard_names(shards)}
    ids: dict[str, str] = {}
    duplicates: list[Problem] = []
    matched = [(_Placer(source, split_config, shards), *_match_source(source, values)) for source in sources]
    # All images first: an annotation without image never takes the id of an image.
    for source, (place, match, _) in zip(sources, matched, strict=True):
        for relative, path, _ in source.images:
            _place(_image_entry(relative, path, values[path], match, classify), place, texts, ids, duplicates)
    for place, match, loose in matched:
        for claim, why in match.orphans:
            _place(_orphan_entry(claim, why, classify), place, texts, ids, duplicates)
        for path, problem in loose:
            _place(_row_entry(path, problem), place, texts, ids, duplicates)
    if duplicates:
        raise InputError(duplicates, "the data sources cannot be used as they are")
    manifests = {name: "".join(f"{text}\n" for _, text in sorted(lines)) for name, lines in texts.items()}
    return Inventory(manifests, tuple(sorted(classify.used)))


@dataclass(frozen=True)
class _Entry:
    """One line in the making: `relative` is the image's path in its source, or the one it would have."""

    relative: str
    fallback: str
    split: str | None
    line: dict


def _place(
    entry: _Entry,
    place: "_Placer",
    texts: Mapping[str, list[tuple[str, str]]],
    ids: dict[str, str],
    duplicates: list[Problem],
) -> None:
    image_id, group, shard = place(entry.relative, entry.split)
    line = {**entry.line, "id": image_id, "group": group}
    if image_id in ids:
        if line["image"] is not None:
            found = f"{image_id} in both {ids[image_id]} and {line['image']}"
            cure = "Give each source a name, which is put in front of its ids."
            if len(duplicates) < 20:
                duplicates.append(Problem("config", "data.sources[].name", found, cure))
            return
        # Not an image but an annotation without one: its own file tells it apart.
        line["id"] = place.prefix + entry.fallback
        while line["id"] in ids:
            line["id"] += " (again)"
    ids[line["id"]] = line["image"] or entry.fallback
    texts[shard].append((line["id"], _encode(line)))


class _Classifier:
    """From labels to classes, by aliases and the fixed list; remembers the classes of usable images."""

    def __init__(self, labels_config: Mapping) -> None:
        self._aliases = {_one_line(label): name for label, name in (labels_config.get("aliases") or {}).items()}
        fixed = labels_config.get("classes")
        self._fixed = None if fixed is None else frozenset(fixed)
        self._known: dict[str, str | None] = {}
        self.used: set[str] = set()

    def __call__(self, label: str) -> str | None:
        if label not in self._known:
            name = _one_line(label)
            name = self._aliases.get(name, name)
            self._known[label] = name if name and (self._fixed is None or name in self._fixed) else None
        return self._known[label]

    def unknown(self, annotation: Mapping) -> Iterator[dict[str, str]]:
        """Yield a problem for each box whose label is not in the fixed list, with the nearest class that is."""
        for index, (label, name) in enumerate(zip(annotation["labels"], annotation["classes"], strict=True), 1):
            if name is None and _one_line(label):
                found = f"class {label!r}, which is not in the list"
                done = f"box left out{self._advice(label)}"
                yield _problem("label_unknown", annotation["file"], f"box {index}", found, done)

    def _advice(self, label: str) -> str:
        names = {name.lower(): name for name in sorted(self._fixed or ())}
        nearest = difflib.get_close_matches(label.lower(), names, n=1, cutoff=0.5)
        return f"; the nearest class is {names[nearest[0]]!r}: an alias would keep it" if nearest else ""


def _one_line(label: str) -> str:
    return " ".join(label.split())


class _Placer:
    """From an image's path in its source to its id, group and shard."""

    def __init__(self, source: _Source, config: Mapping, shards: int) -> None:
        self.prefix = f"{source.name}/" if source.name else ""
        self._mode = source.split
        self._fractions = config["fractions"]
        self._seed = str(config.get("seed") or "")
        self._pattern = re.compile(config["group"]) if config.get("group") else None
        self._shards = shards
        present = {split for split, _ in source.annotations if split is not None}
        if self._mode == "from_folders":
            present |= {_folder_split(relative) for relative, *_ in source.images}
        share = float(config.get("val_from_train") or 0)
        # Only where the source has no val of its own.
        self._train = None if "val" in present or not share else {"train": 1 - share, "val": share}

    def __call__(self, relative: str, split: str | None) -> tuple[str, str, str]:
        image_id = self.prefix + relative
        group = group_of(image_id, self._pattern)
        return (
            image_id,
            group,
            shard_name(self._split(relative, group, split), shard_of(image_id, self._shards), self._shards),
        )

    def _split(self, relative: str, group: str, split: str | None) -> str:
        if self._mode in SPLITS:
            return self._mode
        if split is None and self._mode == "from_folders":
            split = _folder_split(relative)
        if split is None:
            return assign(group, self._fractions, self._seed)
        return assign(group, self._train, self._seed) if split == "train" and self._train else split


def _match_source(source: _Source, values: Mapping[str, object]) -> tuple[_Match, list[tuple[str, dict]]]:
    images = [relative for relative, *_ in source.images]
    if source.format == "csv":
        claims, loose = _csv_claims(source, values)
        return _match(images, claims, _exact_name(images)), loose
    return _match(images, _voc_claims(source, values), _same_stem(images)), []


def _image_entry(relative: str, path: str, value: object, match: _Match, classify: _Classifier) -> _Entry:
    claim = match.claims.get(relative)
    problems = list(match.problems.get(relative, ()))
    sha256 = value if isinstance(value, str) else None
    if sha256 is None:
        problems += [_problem(reason, path, *rest) for reason, *rest in value["problems"]]
    annotation = None
    if claim is not None:
        problems += [_problem(reason, claim.path, *rest) for reason, *rest in claim.problems]
        annotation = _annotation(claim, classify)
    if annotation is not None:
        problems += classify.unknown(annotation)
        if not any(STATUS_OF[problem["reason"]] == REJECTED for problem in problems):
            classify.used.update(name for name in annotation["classes"] if name is not None)
    line = {"image": path, "sha256": sha256, "annotation": annotation, "problems": problems}
    return _Entry(relative, path, None if claim is None else claim.split, line)


def _orphan_entry(claim: _Claim, why: str, classify: _Classifier) -> _Entry:
    missing = _problem("image_missing", claim.path, "file", why, "left out; add the image or remove the annotation")
    problems = [*(_problem(reason, claim.path, *rest) for reason, *rest in claim.problems), missing]
    line = {"image": None, "sha256": None, "annotation": _annotation(claim, classify), "problems": problems}
    return _Entry(_would_be(claim), claim.path, claim.split, line)


def _row_entry(path: str, problem: dict[str, str]) -> _Entry:
    """Return the entry of a table's row that belongs to no image."""
    line = {"image": None, "sha256": None, "annotation": None, "problems": [problem]}
    return _Entry(f"{_basename(path)}, {problem['field']}", f"{path}, {problem['field']}", None, line)


def _would_be(claim: _Claim) -> str:
    """Return the path that a missing image would have, so that its line is where the image's will be."""
    name = _basename(claim.named)
    if not name or _stem(name) == name:
        return claim.stem
    return _folder(claim.stem) + name


def _annotation(claim: _Claim, classify: _Classifier) -> dict | None:
    if claim.packed is None:
        return None
    _, width, height, boxes, labels, difficult, truncated = claim.packed
    return {
        "file": claim.path,
        "width": width,
        "height": height,
        "boxes": boxes,
        "labels": labels,
        "classes": [classify(label) for label in labels],
        "difficult": difficult,
        "truncated": truncated,
    }


def _voc_claims(source: _Source, values: Mapping[str, object]) -> list[_Claim]:
    claims = []
    for split, files in source.annotations:
        for relative, path, _ in files:
            value = values[path]
            place = split or _folder_split(relative)
            if isinstance(value, list):
                claims.append(_Claim(path, relative[:-4], _slashes(value[0] or ""), split, place, value))
            else:
                claims.append(_Claim(path, relative[:-4], "", split, place, None, tuple(map(tuple, value["problems"]))))
    return claims


def _csv_claims(source: _Source, values: Mapping[str, object]) -> tuple[list[_Claim], list[tuple[str, dict]]]:
    """Return the tables' annotations, and the problems of rows that belong to no image."""
    claims, loose = [], []
    for split, files in source.annotations:
        for _, path, _ in files:
            table = values[path]
            problems = defaultdict(list)
            for filename, *problem in table["rows"]:
                if filename:
                    problems[filename].append(tuple(problem))
                else:
                    reason, *rest = problem
                    loose.append((path, _problem(reason, path, *rest)))
            for filename, packed in table["annotations"].items():
                named = _slashes(filename)
                claim = _Claim(path, _stem(named), named, split, None, packed, tuple(problems[filename]), True)
                claims.append(claim)
    return claims, loose


def _same_stem(images: Sequence[str]) -> Callable[[_Claim], list[str]]:
    index: dict[str, list[str]] = {}
    for image in images:
        index.setdefault(_stem(image), []).append(image)
        # Some tools name the annotation of a.jpg a.jpg.xml.
        index.setdefault(image, []).append(image)
    return lambda claim: index.get(claim.stem, [])


def _exact_name(images: Sequence[str]) -> Callable[[_Claim], list[str]]:
    known = frozenset(images)
    return lambda claim: [claim.named] if claim.named in known else []
