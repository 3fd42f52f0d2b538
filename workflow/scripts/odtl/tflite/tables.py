"""Tables of a flatbuffer as dicts, for schemas that are small enough to be written out.

A schema is {table: ((field, type), ...)}, fields in the order of the .fbs file, which is that of their slots. A type is
  "string", "byte" (enums, too), "int", "uint", "float"
  the name of a table
  [type]                a vector; a list in the dict
  (table, table, ...)   a union: it takes two slots, and its value is a dict {table: fields}
A field that is not in the dict is not written, one that is not in the file is not in the dict.
Format: https://flatbuffers.dev/internals/
"""

import struct
from collections.abc import Iterator, Mapping, Sequence

import flatbuffers
from flatbuffers import encode, number_types
from flatbuffers.table import Table

_NUMBERS = {
    "byte": number_types.Int8Flags,
    "int": number_types.Int32Flags,
    "uint": number_types.Uint32Flags,
    "float": number_types.Float32Flags,
}
_OFFSET = number_types.UOffsetTFlags
# So many values are never in metadata; a damaged file may point in circles.
_MOST_VALUES = 100_000


def pack(schema: Mapping, root: str, content: Mapping, identifier: bytes) -> bytes:
    """Return the flatbuffer of a root table; identifier: the schema's `file_identifier`, four bytes."""
    builder = flatbuffers.Builder(0)
    builder.Finish(_write_table(builder, schema, root, content), identifier)
    return bytes(builder.Output())


def unpack(schema: Mapping, root: str, data: bytes, identifier: bytes) -> dict:
    """Return the root table of a flatbuffer as a dict; ValueError where it has another identifier or is damaged."""
    if bytes(data[4:8]) != identifier:
        raise ValueError(f"identifier {bytes(data[4:8])!r}, not {identifier!r}")
    try:
        return _Reader(schema, bytes(data)).table(root, encode.Get(_OFFSET.packer_type, data, 0))
    # What an offset that points nowhere ends in.
    except (struct.error, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"damaged: {error}") from error


def _slots(schema: Mapping, table: str) -> Iterator[tuple[int, str, object]]:
    """Yield (slot, field, type); of a union the slot of its value, which comes after that of its type."""
    slot = 0
    for field, kind in schema[table]:
        slot += isinstance(kind, tuple)
        yield slot, field, kind
        slot += 1


def _write_table(builder: flatbuffers.Builder, schema: Mapping, table: str, content: Mapping) -> int:
    unknown = set(content) - {field for field, _ in schema[table]}
    if unknown:
        raise ValueError(f"{table} has no {', '.join(sorted(unknown))}")
    slots = list(_slots(schema, table))
    # What a table points to must be finished before the table is begun.
    written = {
        field: _write_value(builder, schema, kind, content[field]) for _, field, kind in slots if field in content
    }
    builder.StartObject(slots[-1][0] + 1 if slots else 0)
    for slot, field, kind in slots:
        if field not in written:
            continue
        if isinstance(kind, tuple):
            builder.PrependUint8Slot(slot - 1, 1 + kind.index(next(iter(content[field]))), 0)
        if isinstance(kind, str) and kind in _NUMBERS:
            builder.Prep(_NUMBERS[kind].bytewidth, 0)
            builder.Place(written[field], _NUMBERS[kind])
            builder.Slot(slot)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, written[field], 0)
    return builder.EndObject()


def _write_value(builder: flatbuffers.Builder, schema: Mapping, kind, value):
    """Write a value and return its offset; a number is returned as it is."""
    if isinstance(kind, list):
        return _write_vector(builder, schema, kind[0], value)
    if isinstance(kind, tuple):
        ((table, content),) = value.items()
        return _write_table(builder, schema, table, content)
    if kind == "string":
        return builder.CreateString(value)
    return value if kind in _NUMBERS else _write_table(builder, schema, kind, value)


def _write_vector(builder: flatbuffers.Builder, schema: Mapping, kind: str, values: Sequence) -> int:
    items = [_write_value(builder, schema, kind, value) for value in values]
    flags = _NUMBERS.get(kind, _OFFSET)
    builder.StartVector(flags.bytewidth, len(items), flags.bytewidth)
    for item in reversed(items):
        if kind in _NUMBERS:
            builder.Place(item, flags)
        else:
            builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


class _Reader:
    def __init__(self, schema: Mapping, data: bytes) -> None:
        self.schema, self.data, self.left = schema, data, _MOST_VALUES

    def table(self, name: str, position: int) -> dict:
        table, content = Table(self.data, position), {}
        for slot, field, kind in _slots(self.schema, name):
            offset = table.Offset(4 + 2 * slot)
            if offset and isinstance(kind, tuple):
                number = table.Get(number_types.Uint8Flags, position + table.Offset(2 + 2 * slot))
                # A kind that a later version of the schema has.
                if 1 <= number <= len(kind):
                    chosen = kind[number - 1]
                    content[field] = {chosen: self.table(chosen, table.Indirect(position + offset))}
            elif offset:
                content[field] = self.value(table, kind, position + offset)
        return content

    def value(self, table: Table, kind, position: int):
        self.left -= 1
        if self.left < 0:
            raise ValueError("more values than any metadata has")
        if isinstance(kind, list):
            return self.vector(table, kind[0], table.Indirect(position))
        if kind == "string":
            return table.String(position).decode("utf-8")
        if kind in _NUMBERS:
            return table.Get(_NUMBERS[kind], position)
        return self.table(kind, table.Indirect(position))

    def vector(self, table: Table, kind: str, position: int) -> list:
        width, first = _NUMBERS.get(kind, _OFFSET).bytewidth, position + _OFFSET.bytewidth
        length = table.Get(_OFFSET, position)
        return [self.value(table, kind, first + width * index) for index in range(length)]
