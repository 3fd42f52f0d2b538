"""The label map: which class has which id, in the text form of the TF Object Detection API.

Format: the text form of the message `StringIntLabelMap`, one `item { id: 1 name: 'x' }` per class
(object_detection/protos/string_int_label_map.proto). Ids start at 1: 0 is the background.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from google.protobuf import text_encoding, text_format

from odtl.errors import InputError, Problem
from odtl.files import atomic_open, write_json

_HEADLINE = "The label map cannot be read"
_BRACKETS = {"{": "}", "<": ">"}


def parse(text: str, file: str = "label map") -> dict[str, int]:
    """Return name -> id, in order of id.

    Any order of fields, either kind of quotes, comments and fields other than `id`, `name` and `display_name` are
    fine; `display_name` is taken where there is no `name`. Raises InputError with every id under 1, missing id or
    name, and duplicate, each with `file` and its line.
    """
    tokenizer = text_format.Tokenizer(text.split("\n"))
    try:
        items = []
        while not tokenizer.AtEnd():
            line = _line(tokenizer)
            if tokenizer.ConsumeIdentifier() == "item":
                items.append((line, _parse_item(tokenizer)))
            else:
                _skip_value(tokenizer)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        where = f"line {error.GetLine()}" if isinstance(error, text_format.ParseError) else "text"
        cure = "Write one `item { id: 1 name: 'x' }` for each class."
        raise InputError(Problem(file, where, str(error), cure), _HEADLINE) from error
    return _checked(items, file)


def format(label_map: Mapping[str, int]) -> str:
    """Return the text of a label map, items in order of id, names escaped; `parse` gives the same map back."""
    items = sorted(label_map.items(), key=lambda item: item[1])
    return "\n".join(f"item {{\n  id: {number}\n  name: '{_escape(name)}'\n}}\n" for name, number in items)


def extend(previous: Mapping[str, int], classes: Iterable[str]) -> dict[str, int]:
    """Return `previous` with the classes that it lacks appended, in sorted order, after its highest id.

    A known class keeps its id for ever, also while no image shows it: a model's outputs keep their meaning.
    """
    new = sorted(set(classes) - set(previous))
    first = max(previous.values(), default=0) + 1
    return {**previous, **{name: number for number, name in enumerate(new, start=first)}}


def configured(classes: Sequence[str]) -> dict[str, int]:
    """Return the map in which the classes have the ids 1, 2, ... in the order of the list.

    Raises InputError for a name that is there twice.
    """
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise InputError(
            Problem("config", "labels.classes", f"{name!r} more than once", "Name each class once.") for name in twice
        )
    return {name: number for number, name in enumerate(classes, start=1)}


def predict(
    previous_file: str | os.PathLike, classes: Iterable[str], configured_classes: Sequence[str] | None
) -> dict[str, int]:
    """Return the map that `write_label_map` will write, in order of id; nothing is written.

    previous_file:      the map of the last run; it need not exist yet.
    classes:            the classes found in the data.
    configured_classes: where given, this list is the map, whatever was found and whatever stood there before.
    After `write_label_map` the result is the same: what was appended is then there.
    """
    if configured_classes is not None:
        return configured(configured_classes)
    previous = read_label_map(previous_file) if Path(previous_file).exists() else {}
    return dict(sorted(extend(previous, classes).items(), key=lambda item: item[1]))


def read_label_map(path: str | os.PathLike) -> dict[str, int]:
    """Return name -> id from a label map file; InputError for one that is not UTF-8; see `parse` for the others."""
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {data[error.start]:#x} at {error.start}"
        raise InputError(Problem(str(path), "encoding", found, "Save it in the encoding UTF-8."), _HEADLINE) from error
    return parse(text.replace("\r\n", "\n"), str(path))


def highest_id(path: str | os.PathLike) -> int:
    """Return the highest id in a label map file; InputError where there is no class at all."""
    label_map = read_label_map(path)
    if not label_map:
        cure = (
            "Nothing can be learnt without one: check that data.sources names the right folders and that the "
            "annotations hold objects. results/dataset/card.txt says what became of the images."
        )
        raise InputError(Problem("config", "data.sources", "no labelled object in any image that can be used", cure))
    return max(label_map.values())


def write_label_map(
    classes_file: str | os.PathLike,
    out: str | os.PathLike,
    configured_classes: Sequence[str] | None,
    predicted: Mapping[str, int] | None = None,
    ids_file: str | os.PathLike | None = None,
) -> dict[str, int]:
    """Write the label map to `out`, extending the one that stands there, and return it.

    classes_file:       the classes found in the data, one per line.
    configured_classes: where given, this list is the map, whatever was found and whatever stood there before.
    predicted:          what `predict` said the map would be, which others go by already.
    ids_file:           where the map goes as JSON, too, name -> id: `altered` tells by it what others did to the map.
    Without any class the map is empty: images can be looked at and fetched before they are labelled.
    Raises InputError where the map is not what was predicted.
    """
    label_map = predict(out, read_classes(classes_file), configured_classes)
    if predicted is not None and dict(predicted) != label_map:
        found = f"{len(label_map)} classes, but {len(predicted)} when the run was planned, or other ids"
        raise InputError(Problem(str(out), "classes", found, "It changed while the workflow ran: run again."))
    with atomic_open(out) as stream:
        stream.write(format(label_map))
    if ids_file is not None:
        write_json(ids_file, label_map)
    return label_map


def altered(path: str | os.PathLike, ids_file: str | os.PathLike) -> bool:
    """Say whether a label map is no longer the one that `write_label_map` wrote together with `ids_file`."""
    try:
        written = json.loads(Path(ids_file).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return True
    return not Path(path).exists() or read_label_map(path) != written


def read_classes(path: str | os.PathLike) -> list[str]:
    """Return the classes that a file lists, one per line."""
    return [line for line in Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]


def _checked(items: Iterable[tuple[int, Mapping[str, object]]], file: str) -> dict[str, int]:
    problems, ids, names = [], {}, {}
    for line, item in items:
        where = f"line {line}"
        number, name = item.get("id"), item.get("name") or item.get("display_name")
        if number is None:
            problems.append(Problem(file, where, "an item without id", "Give it an id of its own, from 1."))
        elif number < 1:
            problems.append(Problem(file, where, f"id {number}", "Ids start at 1: 0 is the background."))
        elif number in ids:
            problems.append(Problem(file, where, f"id {number} again (line {ids[number]})", "Each id stands once."))
        if not name:
            problems.append(Problem(file, where, "an item without name", "Give it the name of its class."))
        elif name in names:
            problems.append(Problem(file, where, f"name {name!r} again (line {names[name]})", "Each name stands once."))
        ids.setdefault(number, line)
        names.setdefault(name, line)
    if problems:
        raise InputError(problems, "The label map cannot be used")
    pairs = ((item.get("name") or item["display_name"], item["id"]) for _, item in items)
    return dict(sorted(pairs, key=lambda pair: pair[1]))


def _parse_item(tokenizer: text_format.Tokenizer) -> dict[str, object]:
    tokenizer.TryConsume(":")
    closing = _consume_opening(tokenizer)
    item = {}
    while not tokenizer.TryConsume(closing):
        field = tokenizer.ConsumeIdentifier()
        if field == "id":
            tokenizer.Consume(":")
            item[field] = tokenizer.ConsumeInteger()
        elif field in ("name", "display_name"):
            tokenizer.Consume(":")
            item[field] = tokenizer.ConsumeByteString().decode("utf-8")
        else:
            _skip_value(tokenizer)
        tokenizer.TryConsume(",") or tokenizer.TryConsume(";")
    return item


def _skip_value(tokenizer: text_format.Tokenizer) -> None:
    tokenizer.TryConsume(":")
    if tokenizer.AtEnd():
        raise tokenizer.ParseError("A value is missing.")
    if tokenizer.token not in _BRACKETS:
        tokenizer.NextToken()
        return
    depth = 0
    while True:
        depth += (tokenizer.token in _BRACKETS) - (tokenizer.token in _BRACKETS.values())
        tokenizer.NextToken()
        if depth == 0:
            return
        if tokenizer.AtEnd():
            raise tokenizer.ParseError("A bracket is not closed.")


def _consume_opening(tokenizer: text_format.Tokenizer) -> str:
    for opening, closing in _BRACKETS.items():
        if tokenizer.TryConsume(opening):
            return closing
    raise tokenizer.ParseError('Expected "{".')


def _line(tokenizer: text_format.Tokenizer) -> int:
    # The tokenizer shows its place only through the errors it makes.
    return tokenizer.ParseError("").GetLine()


def _escape(name: str) -> str:
    return text_encoding.CEscape(name, as_utf8=True)
