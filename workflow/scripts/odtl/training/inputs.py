"""The data of a training: from the records to batches, as official.vision's own parsers make them."""

from odtl.training.options import Options


def build_inputs(task, params, options: Options, input_context=None):
    """Return a `tf.data.Dataset` of batches, (images, labels).

    task: official.vision's. params: its configuration of the data, for training or for validation.
    """
    return task.build_inputs(params, input_context)
