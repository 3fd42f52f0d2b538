"""TensorFlow checkpoints on disk, looked at without TensorFlow: which tensors there are, and whether all is there.

A checkpoint `prefix` is `{prefix}.index`, a sorted string table of BundleEntryProto by tensor name whose first key is
empty and holds the BundleHeaderProto, and `{prefix}.data-{shard:05d}-of-{shards:05d}`, the raw tensors.
Formats: tensorflow/core/protobuf/tensor_bundle.proto; tensorflow/core/lib/io/table_format.txt (LevelDB's table).
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from odtl.errors import InputError, Problem

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_BLOCK_TRAILER_BYTES = 5
_CURE = "The checkpoint is damaged or of another kind: fetch it again."


@dataclass(frozen=True)
class Entry:
    """One tensor of a checkpoint.

    shape: its dimensions; () for a scalar.
    shard, offset, size: the number of the data file, and the tensor's place and length in it in bytes.
    """

    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


def read_index(index_file: str | os.PathLike) -> tuple[dict[str, Entry], int]:
    """Return (tensor name -> Entry, number of data files) of a `.index` file.

    Raises InputError where the file is not such a table, or a block's checksum is wrong.
    """
    path = Path(index_file)
    data = path.read_bytes()
    try:
        pairs = list(_table(data))
        if not pairs or pairs[0][0] != b"":
            raise ValueError("no header")
        shards = next((value for field, value in _fields(pairs[0][1]) if field == 1), 0)
        return {key.decode("utf-8"): _entry(value) for key, value in pairs[1:]}, int(shards)
    except (ValueError, IndexError, struct.error) as error:
        raise InputError(Problem(str(path), "index", str(error), _CURE), "The checkpoint cannot be read") from error


def check_checkpoint(prefix: str | os.PathLike) -> dict[str, Entry]:
    """Return the tensors of a checkpoint; InputError where a data file is missing or ends before its last tensor.

    prefix: the path without `.index`.
    """
    entries, shards = read_index(f"{prefix}.index")
    if not entries:
        raise InputError(Problem(f"{prefix}.index", "tensors", "none", _CURE), "The checkpoint is empty")
    problems = []
    for shard in range(shards):
        path = Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}")
        needed = max((entry.offset + entry.size for entry in entries.values() if entry.shard == shard), default=0)
        if not path.is_file():
            problems.append(Problem(str(path), "data file", "nothing", _CURE))
        elif path.stat().st_size < needed:
            problems.append(Problem(str(path), "data file", f"{path.stat().st_size} of {needed} bytes", _CURE))
    if problems:
        raise InputError(problems, "The checkpoint is not whole")
    return entries


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the (key, value) pairs of a sorted string table."""
    if len(data) < _FOOTER_BYTES or int.from_bytes(data[-8:], "little") != _MAGIC:
        raise ValueError("no checkpoint index (its last bytes are not those of one)")
    footer = data[-_FOOTER_BYTES:]
    _, _, at = _handle(footer, 0)
    offset, size, _ = _handle(footer, at)
    for _, handle in _block(data, offset, size):
        yield from _block(data, *_handle(handle, 0)[:2])


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return offset, size, at


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    whole = data[offset : offset + size + _BLOCK_TRAILER_BYTES]
    if len(whole) < size + _BLOCK_TRAILER_BYTES:
        raise ValueError("an index that ends too early")
    kind, crc = struct.unpack_from("<BI", whole, size)
    if masked_crc(whole[: size + 1]) != crc:
        raise ValueError("an index with a wrong checksum")
    if kind != 0:
        raise ValueError("a compressed index, which TensorFlow itself never writes")
    block = whole[:size]
    restarts = struct.unpack_from("<I", block, size - 4)[0]
    end, at, key = size - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        yield key, block[at + unshared : at + unshared + length]
        at += unshared + length


def masked_crc(data: bytes) -> int:
    """Return the CRC32C of `data`, rotated and shifted as LevelDB's tables and TFRecords have it.

    Source: tensorflow/core/lib/hash/crc32c.h (Mask).
    """
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _entry(message: bytes) -> Entry:
    fields = dict(_fields(message))
    dimensions = (dict(_fields(value)) for field, value in _fields(fields.get(2, b"")) if field == 2)
    shape = tuple(dimension.get(1, 0) for dimension in dimensions)
    return Entry(shape, fields.get(3, 0), fields.get(4, 0), fields.get(5, 0))


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of a protocol buffer: int for numbers, bytes for what has a length."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
            case 2:
                length, at = _varint(message, at)
                value, at = message[at : at + length], at + length
            case 1 | 5 as kind:
                length = 8 if kind == 1 else 4
                value, at = int.from_bytes(message[at : at + length], "little"), at + length
            case kind:
                raise ValueError(f"a message with wire type {kind}")
        yield tag >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
