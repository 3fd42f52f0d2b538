"""Protocol buffers in text form, read without their schema.

Format: https://protobuf.dev/reference/protobuf/textformat-spec/. The words are told apart by protobuf's own tokenizer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf import text_format

from odtl.errors import InputError, Problem

_BRACKETS = {"{": "}", "<": ">"}
# As deep as protobuf itself goes.
_MAX_DEPTH = 100


class Name(str):
    """A bare word: the name of an enum's value, or `true` and `false`, which only a schema could tell from one."""

    __slots__ = ()


@dataclass(frozen=True)
class Field:
    """One `name: value` or `name { ... }`, in the order of the file; a list `[a, b]` is a field for each entry.

    value: a tuple of fields for a message; else a text, a number, or a `Name`.
    line:  where it begins, from 1.
    """

    name: str
    value: "tuple[Field, ...] | str | int | float | Name"
    line: int


def parse(text: str, file: str, cure: str) -> tuple[Field, ...]:
    """Return the fields of a message.

    file: what to call the text in errors.
    cure: what to do about one that cannot be read, a full sentence.
    Raises InputError with the line of what cannot be read.
    """
    tokenizer = text_format.Tokenizer(text.split("\n"))
    try:
        return tuple(_fields(tokenizer, "", 0))
    except (text_format.ParseError, UnicodeError) as error:
        raise InputError(_problem(tokenizer, error, file, cure), "A text form cannot be read") from error


def _problem(tokenizer: text_format.Tokenizer, error: Exception, file: str, cure: str) -> Problem:
    line = error.GetLine() if isinstance(error, text_format.ParseError) else line_of(tokenizer)
    # A tokenizer's error begins with the place and all of the line.
    said = str(error).rsplit("': ", 1)[-1].strip().rstrip(".")
    if "\\" in tokenizer.token:
        cure = r"In a text, \ begins an escape: write paths with / or \\. " + cure
    return Problem(file, f"line {line}", f"{tokenizer.token or 'the end'} ({said})", cure)


def line_of(tokenizer: text_format.Tokenizer) -> int:
    """Return the line of the present word, from 1."""
    # The tokenizer shows its place only through the errors it makes.
    return tokenizer.ParseError("").GetLine()


def _fields(tokenizer: text_format.Tokenizer, closing: str, depth: int) -> Iterator[Field]:
    if depth > _MAX_DEPTH:
        raise tokenizer.ParseError(f"More than {_MAX_DEPTH} messages within each other.")
    while not (tokenizer.TryConsume(closing) if closing else tokenizer.AtEnd()):
        if tokenizer.AtEnd():
            raise tokenizer.ParseError(f'Expected "{closing}".')
        line, name = line_of(tokenizer), _name(tokenizer)
        colon = tokenizer.TryConsume(":")
        for value in _values(tokenizer, colon, depth):
            yield Field(name, value, line)
        tokenizer.TryConsume(",") or tokenizer.TryConsume(";")


def _name(tokenizer: text_format.Tokenizer) -> str:
    """Read a field's name; that of an extension stands in brackets."""
    if not tokenizer.TryConsume("["):
        return tokenizer.ConsumeIdentifier()
    name = tokenizer.ConsumeIdentifier()
    while not tokenizer.TryConsume("]"):
        dot = next((mark for mark in "./" if tokenizer.TryConsume(mark)), "")
        name += dot + tokenizer.ConsumeIdentifier()
    return f"[{name}]"


def _values(tokenizer: text_format.Tokenizer, colon: bool, depth: int) -> Iterator:
    if not tokenizer.TryConsume("["):
        yield _value(tokenizer, colon, depth)
        return
    if tokenizer.TryConsume("]"):
        return
    yield _value(tokenizer, colon, depth)
    while not tokenizer.TryConsume("]"):
        tokenizer.Consume(",")
        yield _value(tokenizer, colon, depth)


def _value(tokenizer: text_format.Tokenizer, colon: bool, depth: int):
    for opening, closing in _BRACKETS.items():
        if tokenizer.TryConsume(opening):
            return tuple(_fields(tokenizer, closing, depth + 1))
    if not colon:
        raise tokenizer.ParseError('Expected ":" or "{".')
    if tokenizer.token[:1] in ("'", '"'):
        return tokenizer.ConsumeByteString().decode("utf-8")
    # Hexadecimal and octal numbers are whole ones; 1e-8, 1.5f and inf are not.
    for consume in (tokenizer.ConsumeInteger, tokenizer.ConsumeFloat):
        try:
            return consume()
        except text_format.ParseError:
            continue
    return Name(tokenizer.ConsumeIdentifier())
