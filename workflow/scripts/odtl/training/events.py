"""TensorBoard's view of a training: losses, learning rate, AP, example images."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path


class Events:
    """Write events into `{folder}/train` and `{folder}/validation`."""

    def __init__(self, folder: str | os.PathLike) -> None:
        import tensorflow as tf

        self._writers = {
            name: tf.summary.create_file_writer(str(Path(folder) / name)) for name in ("train", "validation")
        }

    def scalars(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """Add values to the events of `train` or `validation`, named as official.vision's trainer names them."""
        import tensorflow as tf

        with self._writers[name].as_default(step=step):
            for key, value in values.items():
                if tag := tag_of(key):
                    tf.summary.scalar(tag, value)
        self._writers[name].flush()

    def images(self, step: int, pictures: Iterable[tuple[str, bytes, tuple[int, int]]]) -> None:
        """Add images, (name, JPEG, (width, height)), to the events of `validation`."""
        import tensorflow as tf
        from tensorboard.plugins.image.metadata import create_summary_metadata

        with self._writers["validation"].as_default(step=step):
            for name, encoded, (width, height) in pictures:
                # As tf.summary.image writes it, which would make a PNG of it: ten times as large.
                value = tf.constant([str(width).encode(), str(height).encode(), encoded])
                metadata = create_summary_metadata(display_name=None, description=_CAPTION)
                tf.summary.write(f"examples/{name}", value, metadata=metadata)
        self._writers["validation"].flush()

    def close(self) -> None:
        """End the files."""
        for writer in self._writers.values():
            writer.close()


_CAPTION = "On the left what is labelled, on the right what is found."


def tag_of(name: str) -> str | None:
    """Return under which name TensorBoard shows a value: alike for training and validation, grouped by the first part.

    None for what is there under another name: the trainer's own mean of the total loss.
    """
    if name in ("training_loss", "validation_loss"):
        return None
    if match := re.fullmatch(r"(\w+)_loss", name):
        return f"loss/{match[1]}"
    return f"{name[:2]}/{name}" if re.fullmatch(r"A[PR][a-z0-9]*", name) else name
