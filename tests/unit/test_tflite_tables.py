"""Tables of a flatbuffer, written and read back."""

import struct

import pytest

from odtl.tflite import tables

SCHEMA = {
    "Zoo": (("name", "string"), ("cages", ["Cage"]), ("gate", "Gate"), ("hours", ["uint"]), ("level", "int")),
    "Cage": (("open", "byte"), ("inside", ("Lion", "Hare")), ("label", "string"), ("tags", ["string"])),
    "Gate": (),
    "Lion": (("weight", "float"),),
    "Hare": (("ears", "int"), ("friends", ["Lion"])),
}
ZOO = {
    "name": "Zürich",
    "cages": [
        {"open": 1, "inside": {"Hare": {"ears": -2, "friends": [{"weight": 0.5}, {}]}}, "tags": ["", "a\nb"]},
        {"inside": {"Lion": {"weight": 190.25}}, "label": "lion"},
    ],
    "gate": {},
    "hours": [9, 4_000_000_000],
    "level": -3,
}


def test_what_is_written_is_read_back():
    assert tables.unpack(SCHEMA, "Zoo", tables.pack(SCHEMA, "Zoo", ZOO, b"ZOO1"), b"ZOO1") == ZOO


def test_bytes_are_those_of_the_format():
    data = tables.pack({"One": (("a", "string"), ("b", "int"))}, "One", {"b": 7}, b"ONE1")
    root = struct.unpack_from("<I", data)[0]
    vtable = root - struct.unpack_from("<i", data, root)[0]
    size, _, first, second = struct.unpack_from("<4H", data, vtable)
    assert (data[4:8], size, first) == (b"ONE1", 8, 0)
    assert struct.unpack_from("<i", data, root + second) == (7,)


def test_field_that_the_schema_lacks_is_an_error():
    with pytest.raises(ValueError, match="Gate has no colour"):
        tables.pack(SCHEMA, "Zoo", {"gate": {"colour": "red"}}, b"ZOO1")


def test_other_identifier_is_an_error():
    with pytest.raises(ValueError, match="identifier b'ZOO1', not b'ZOO2'"):
        tables.unpack(SCHEMA, "Zoo", tables.pack(SCHEMA, "Zoo", ZOO, b"ZOO1"), b"ZOO2")


def test_damage_is_a_value_error_or_other_content_and_ends():
    data = tables.pack(SCHEMA, "Zoo", ZOO, b"ZOO1")
    refused = 0
    for place in [0, 1, 2, 3, *range(8, len(data))]:
        for value in (0, 255):
            damaged = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                tables.unpack(SCHEMA, "Zoo", damaged, b"ZOO1")
            except ValueError:
                refused += 1
    assert refused > len(data) / 4


def test_circle_ends():
    ring = {"Ring": (("next", ["Ring"]),)}
    data = bytearray(tables.pack(ring, "Ring", {"next": [{}] * 9}, b"RING"))
    root = struct.unpack_from("<I", data)[0]
    vector = next(
        place for place in range(8, len(data) - 4) if place > root and struct.unpack_from("<I", data, place)[0] == 9
    )
    for index in range(9):
        # Each element is the table that holds them; offsets are unsigned, and this one wraps around.
        struct.pack_into("<I", data, vector + 4 + 4 * index, (root - (vector + 4 + 4 * index)) % 2**32)
    with pytest.raises(ValueError, match="damaged"):
        tables.unpack(ring, "Ring", bytes(data), b"RING")
