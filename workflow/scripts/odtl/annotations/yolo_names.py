"""What belongs to YOLO annotations beside them: the names of the classes, and which images are for what.

Formats: data.yaml, https://docs.ultralytics.com/datasets/detect/#dataset-yaml-format; classes.txt (LabelImg) and
obj.names (darknet), a name per line, whose line number from 0 is the class's number.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from odtl.annotations.source_file import read_bytes, unreadable
from odtl.split import SPLITS, split_named

MAX_BYTES = 2**20
MOST_CLASSES = 100_000
MOST_LEVELS = 50
_NAMES_CURE = "Give the names as a list, `names: [cup, leaf]`, or by number, `names: {0: cup, 1: leaf}`."


@dataclass(frozen=True)
class DataYaml:
    """What a data.yaml says.

    names:  of the classes, by number from 0; "" for a number that has none.
    splits: train, val, test -> the paths that stand there, with `path` in front where that is given: folders of images
    or
            lists of them. Only splits that are there.
    """

    names: tuple[str, ...]
    splits: Mapping[str, tuple[str, ...]]


def read_names(path: str | os.PathLike) -> list[str]:
    """Return the names of the classes, by number from 0; "" for a number that has none.

    path: a YAML file (.yaml, .yml) as `read_data_yaml` takes it, else one with a name per line.

    Raises InputError for a file that cannot be read, is over 1 MB, or has no names.
    """
    path = os.fspath(path)
    if path.lower().endswith((".yaml", ".yml")):
        return list(read_data_yaml(path).names)
    names = [line.strip() for line in _text(path).splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise unreadable(path, "file", "no name", "One name per line is expected, that of class 0 first.")
    if len(names) > MOST_CLASSES:
        raise unreadable(path, "file", f"{len(names)} lines", f"At most {MOST_CLASSES} classes can be used.")
    return names


def read_data_yaml(path: str | os.PathLike) -> DataYaml:
    """Return what a data.yaml says; all scalars count as text, so that a class may be called `no` or `1.0`.

    Raises InputError where it is no YAML, uses aliases (which can stand for more than the memory holds), has no names
    or other ones than `nc` counts, or is for key points, whose lines look like outlines but are not.
    """
    path = os.fspath(path)
    content = _load(path)
    if not isinstance(content, dict):
        raise unreadable(path, "file", _kind(content), f"A mapping is expected. {_NAMES_CURE}")
    if "kpt_shape" in content:
        cure = "Annotations of key points have columns that cannot be told from outlines; export boxes instead."
        raise unreadable(path, "kpt_shape", "key points", cure)
    names = _names(path, content.get("names"))
    stated = content.get("nc")
    if isinstance(stated, str) and stated.strip().isdecimal() and stated.strip() != str(len(names)):
        found = f"{stated.strip()}, but {len(names)} names"
        raise unreadable(path, "nc", found, "Correct the list of names, or the number of classes.")
    return DataYaml(names, _splits(content))


def _names(path: str, stated: object) -> tuple[str, ...]:
    if isinstance(stated, list):
        stated = {str(number): name for number, name in enumerate(stated)}
    if not stated and isinstance(stated, dict):
        raise unreadable(path, "names", "no name", _NAMES_CURE)
    if not isinstance(stated, dict):
        raise unreadable(path, "names", _kind(stated), _NAMES_CURE)
    numbered: dict[int, str] = {}
    for key, name in stated.items():
        if not key.strip().isdecimal() or len(key) > 9 or int(key) >= MOST_CLASSES:
            raise unreadable(path, "names", f"the number {key[:40]!r}", _NAMES_CURE)
        if not isinstance(name, str):
            raise unreadable(path, f"names, {key}", _kind(name), _NAMES_CURE)
        numbered[int(key)] = name.strip()
    return tuple(numbered.get(number, "") for number in range(max(numbered) + 1))


def _splits(content: Mapping) -> dict[str, tuple[str, ...]]:
    base = content.get("path")
    base = base.strip() if isinstance(base, str) else ""
    splits: dict[str, list[str]] = {}
    for key, value in content.items():
        # "val" and "valid" both occur.
        split = split_named(key)
        paths = value if isinstance(value, list) else [value]
        paths = [each.strip() for each in paths if isinstance(each, str) and each.strip()]
        if split is not None and paths:
            splits.setdefault(split, []).extend(os.path.join(base, each) for each in paths)
    return {split: tuple(splits[split]) for split in SPLITS if split in splits}


def _load(path: str) -> object:
    try:
        return _built(yaml.parse(_text(path), getattr(yaml, "CBaseLoader", yaml.BaseLoader)))
    except (yaml.YAMLError, ValueError) as error:
        found = " ".join(str(error).split())[:200]
        raise unreadable(path, "YAML", found, "Correct the file; a data.yaml is expected here.") from error


def _built(events: Iterator[yaml.Event]) -> object:
    """Return the first document: mappings, lists and text.

    PyYAML's own way from events to values calls itself for each level, and crashes the process where there are very
    many.
    """
    top: list[object] = []
    # A mapping is a list of its keys and values in turn until it ends.
    stack: list[tuple[list[object], bool]] = [(top, False)]
    for event in events:
        if isinstance(event, yaml.ScalarEvent):
            stack[-1][0].append(event.value)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(stack) > MOST_LEVELS:
                raise ValueError(f"more than {MOST_LEVELS} levels")
            stack.append(([], isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.CollectionEndEvent):
            items, is_mapping = stack.pop()
            stack[-1][0].append(_mapping(items) if is_mapping else items)
        elif isinstance(event, yaml.AliasEvent):
            raise ValueError("an alias (*name); write out what it stands for")
        elif isinstance(event, yaml.DocumentEndEvent):
            break
    return top[0] if top else None


def _mapping(items: list[object]) -> dict[str, object]:
    keys = items[::2]
    if not all(isinstance(key, str) for key in keys):
        raise ValueError("a key that is no text")
    return dict(zip(keys, items[1::2], strict=True))


def _text(path: str) -> str:
    try:
        return read_bytes(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable(path, "file", f"bytes that are no UTF-8 ({error.reason})", "Save it as UTF-8.") from error


def _kind(value: object) -> str:
    if value is None or value == "":
        return "nothing"
    return {dict: "a mapping", list: "a list"}.get(type(value), f"text ({str(value)[:40]!r})")
