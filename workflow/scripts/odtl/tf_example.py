"""tf.train.Example messages and the framing of TFRecord files, without TensorFlow.

Formats: TFRecord framing, length and data each with a masked CRC32C (tensorflow/core/lib/io/record_writer.h);
tf.train.Example (tensorflow/core/example/example.proto and feature.proto).
"""

import struct
from collections.abc import Mapping

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from odtl.bundle import masked_crc

Features = Mapping[str, list[bytes] | list[float] | list[int]]


def parse_example(message: bytes) -> Features:
    """Return field name -> list of values of a tf.train.Example; google.protobuf's DecodeError if it is none."""
    example = _EXAMPLE.FromString(message)
    return {
        name: list(getattr(feature, kind).value) if (kind := feature.WhichOneof("kind")) else []
        for name, feature in example.features.feature.items()
    }


def serialize(features: Features) -> bytes:
    """Return a tf.train.Example as bytes, its fields in sorted order.

    An empty list has no type of its own: the field's name decides, as readers by a fixed schema expect.
    """
    example = _EXAMPLE()
    for name, values in features.items():
        feature = example.features.feature[name]
        values_of = getattr(feature, _kind(name, values))
        # An empty list is still there, and typed, as the API writes it.
        values_of.SetInParent()
        values_of.value.extend(values)
    return example.SerializeToString(deterministic=True)


def frame(message: bytes) -> bytes:
    """Return one record as it stands in a TFRecord file: length, its CRC, the message, its CRC; little-endian."""
    length = struct.pack("<Q", len(message))
    return b"".join((length, struct.pack("<I", masked_crc(length)), message, struct.pack("<I", masked_crc(message))))


def _kind(name: str, values: list) -> str:
    if not values:
        return _KINDS.get(name.rsplit("/", 1)[-1], "int64_list")
    if isinstance(values[0], bytes):
        return "bytes_list"
    return "float_list" if isinstance(values[0], float) else "int64_list"


_KINDS = {
    **dict.fromkeys(("xmin", "xmax", "ymin", "ymax"), "float_list"),
    **dict.fromkeys(("text", "view", "encoded", "filename", "format", "source_id", "sha256"), "bytes_list"),
}


# tf.train.Example, as feature.proto and example.proto define it. TensorFlow's own needs all of TensorFlow and may be
# registered only once in a process: hence a package and a pool of our own. A package's name does not reach the wire.
_EXAMPLE_PROTO = """
name: "odtl/example.proto" package: "odtl" syntax: "proto3"
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type {
  name: "Feature"
  oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 oneof_index: 0 type: TYPE_MESSAGE type_name: ".odtl.BytesList" }
  field { name: "float_list" number: 2 oneof_index: 0 type: TYPE_MESSAGE type_name: ".odtl.FloatList" }
  field { name: "int64_list" number: 3 oneof_index: 0 type: TYPE_MESSAGE type_name: ".odtl.Int64List" }
}
message_type {
  name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".odtl.Features.FeatureEntry" }
  nested_type {
    name: "FeatureEntry"
    options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".odtl.Feature" }
  }
}
message_type {
  name: "Example"
  field { name: "features" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".odtl.Features" }
}
"""


def _example_class() -> type:
    file = text_format.Parse(_EXAMPLE_PROTO, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("odtl.Example"))


_EXAMPLE = _example_class()
