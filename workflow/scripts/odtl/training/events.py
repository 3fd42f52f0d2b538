"""TensorBoard's view of a training: losses, learning rate, AP."""

import os
from collections.abc import Mapping
from pathlib import Path


class Events:
    """Write events into `{folder}/train` and `{folder}/validation`."""

    def __init__(self, folder: str | os.PathLike) -> None:
        import tensorflow as tf

        self._writers = {
            name: tf.summary.create_file_writer(str(Path(folder) / name)) for name in ("train", "validation")
        }

    def scalars(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """Add values to the events of `train` or `validation`."""
        import tensorflow as tf

        with self._writers[name].as_default(step=step):
            for key, value in values.items():
                tf.summary.scalar(key, value)
        self._writers[name].flush()

    def close(self) -> None:
        """End the files."""
        for writer in self._writers.values():
            writer.close()
