"""The weights of a checkpoint and of a layer, by their place in the graph of objects that TensorFlow saves."""

import os


class SavedWeights:
    """The weights of a checkpoint, by their place in its object graph."""

    def __init__(self, prefix: str | os.PathLike) -> None:
        import tensorflow as tf
        from tensorflow.core.protobuf import trackable_object_graph_pb2

        self._reader = tf.train.load_checkpoint(str(prefix))
        self._shapes = self._reader.get_variable_to_shape_map()
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        if "_CHECKPOINTABLE_OBJECT_GRAPH" in self._shapes:
            graph.ParseFromString(self._reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        self._nodes = graph.nodes

    def keys_of(self, name: str, module) -> dict[int, str]:
        """Return id(variable) -> key for the variables of `module` that the checkpoint's part `name` has, too."""
        import tensorflow as tf

        keys, seen, queue = {}, set(), [(self._part(name), module)]
        while queue:
            number, here = queue.pop(0)
            if number is None or id(here) in seen:
                continue
            seen.add(id(here))
            for attribute in self._nodes[number].attributes:
                if attribute.name == "VARIABLE_VALUE":
                    keys[id(here)] = attribute.checkpoint_key
            children = self._children(number)
            queue += [(children.get(local), child) for local, child in tf.train.TrackableView.children(here).items()]
        return keys

    def shape(self, key: str) -> list[int]:
        return self._shapes[key]

    def tensor(self, key: str):
        return self._reader.get_tensor(key)

    def _part(self, name: str) -> int | None:
        if not self._nodes:
            return None
        root = self._children(0)
        inner = self._children(root["model"]) if "model" in root else {}
        # A Keras model tracks its parts as the attributes that hold them.
        return next(
            (found[at] for found, at in ((root, name), (inner, name), (inner, f"_{name}")) if at in found), None
        )

    def _children(self, number: int) -> dict[str, int]:
        return {child.local_name: child.node_id for child in self._nodes[number].children}


def weights_by_place(name: str, module) -> dict[str, object]:
    """Return path in the object graph -> variable, for each weight of a layer once."""
    import tensorflow as tf

    wanted = {id(weight) for weight in module.weights}
    places, seen, queue = {}, set(), [(name, module)]
    while queue:
        path, here = queue.pop(0)
        if id(here) in seen:
            continue
        seen.add(id(here))
        if id(here) in wanted:
            places[path] = here
        queue += [(f"{path}/{local}", child) for local, child in tf.train.TrackableView.children(here).items()]
    return places
