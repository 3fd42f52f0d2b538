"""A frozen graph as TensorBoard's graph page shows it, without TensorFlow."""

import os
from collections.abc import Iterable
from pathlib import Path

from odtl.files import atomic_folder
from odtl.tf_example import frame

# A value of at most so many bytes, such as a shape, says something about the graph; weights only make it large.
LARGEST_VALUE = 256


def write_graph(graph: str | os.PathLike, folder: str | os.PathLike) -> None:
    """Write a frozen graph (a serialized GraphDef), without its weights, as the only events of a folder.

    Format: TFRecords of tensorflow/core/util/event.proto, the first of which tells the version.
    """
    from tensorboard.compat.proto import event_pb2, graph_pb2

    definition = graph_pb2.GraphDef.FromString(Path(graph).read_bytes())
    strip_values(definition.node)
    for function in definition.library.function:
        strip_values(function.node_def)
    events = (
        event_pb2.Event(file_version="brain.Event:2"),
        event_pb2.Event(graph_def=definition.SerializeToString(), wall_time=os.stat(graph).st_mtime),
    )
    with atomic_folder(folder) as place:
        # TensorBoard takes for events what has this in its name.
        content = b"".join(frame(event.SerializeToString()) for event in events)
        (place / "events.out.tfevents.graph").write_bytes(content)


def strip_values(nodes: Iterable) -> None:
    """Replace the values of large constants by how large they are; type and shape stay."""
    for node in nodes:
        tensor = node.attr["value"].tensor if "value" in node.attr else None
        if node.op == "Const" and tensor.ByteSize() > LARGEST_VALUE:
            note = f"<{tensor.ByteSize()} bytes>".encode()
            kind, shape = tensor.dtype, type(tensor.tensor_shape).FromString(tensor.tensor_shape.SerializeToString())
            tensor.Clear()
            tensor.dtype, tensor.tensor_content = kind, note
            tensor.tensor_shape.CopyFrom(shape)
