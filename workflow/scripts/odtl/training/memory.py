"""Out of memory, in words: what to lower, and to what."""

import contextlib
from collections.abc import Iterator

from odtl.errors import InputError, Problem

# How TensorFlow says it where it does not raise ResourceExhaustedError, in lower case.
_SIGNS = (
    "out of memory",
    "out_of_memory",
    "resourceexhausted",
    "memoryerror",
    "dst tensor is not initialized",
    "failed to allocate",
    "bad_alloc",
)


@contextlib.contextmanager
def told_what_to_lower(config, source: str) -> Iterator[None]:
    """Turn the block's running out of memory into an InputError that says which settings to lower.

    config: the ExperimentConfig of the training. source: where it stands.
    """
    import tensorflow as tf

    try:
        yield
    except (tf.errors.ResourceExhaustedError, tf.errors.InternalError, tf.errors.UnknownError, MemoryError) as error:
        if not is_exhausted(error):
            raise
        raise InputError(list(_problems(config, source)), f"Out of memory ({_first_line(error)})") from error


def is_exhausted(error: BaseException) -> bool:
    """Say whether an error, of TensorFlow, too, is of a lack of memory."""
    import tensorflow as tf

    return isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)) or tells_exhausted(str(error))


def tells_exhausted(text: str) -> bool:
    """Say whether what a process has said is of a lack of memory."""
    return any(sign in text.lower() for sign in _SIGNS)


def cut_off(config) -> str:
    """Return what is to be told where the last run was ended from outside: the system itself may have done it.

    Linux kills a process that takes more memory than there is, and the process can say nothing.
    """
    advice = "; ".join(f"{problem.field} {problem.found}: {problem.cure}" for problem in _problems(config, ""))
    return (
        "The last run of this training was ended from outside. If nobody did that, the memory did not suffice "
        f"(`dmesg` says so). {advice}"
    )


def _problems(config, source: str) -> Iterator[Problem]:
    model, batch = config.task.model, config.task.train_data.global_batch_size
    if batch > 1:
        cure = f"Lower it to {batch // 2}, and learning_rate with it, where it is set."
        yield Problem(source, "batch_size", str(batch), cure)
    height, width = model.input_size[:2]
    least = 2**model.max_level
    smaller = max(height, width) * 3 // 4 // least * least
    if smaller >= least:
        cure = f"If that is not enough, or not wanted: image_size: {smaller} takes about half the memory."
        yield Problem(source, "image_size", f"{height} x {width}", cure)
    cure = "If all else is not enough, take a smaller one: docs/models.md has their sizes."
    yield Problem(source, "model", model.backbone.type, cure)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(getattr(error, "message", None) or error).splitlines()]
    telling = [line for line in lines if any(word in line.lower() for word in ("oom", "alloc", "memory"))]
    return (telling or list(filter(None, lines)) or [type(error).__name__])[0]
