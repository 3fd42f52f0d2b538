"""What TensorFlow is told before a training: which device, which seed, how little to say."""

import contextlib
import logging
import os

from odtl.checkpoints import ignore_unused_levels


def strategy():
    """Return the strategy for the one GPU, or the CPU where there is none."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        # On a CPU, rewriting the graph costs seconds at the start and saves nothing measurable per step.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def device() -> dict[str, str | None]:
    """Return what is computed on: `kind`, GPU or CPU, the GPU's `name`, and the `id` that the job was shown."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return {
        "kind": "GPU" if gpus else "CPU",
        "name": details.get("device_name"),
        "id": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def set_seed(seed: int | None, offset: int) -> None:
    """Seed all generators of random numbers; another offset gives other numbers."""
    if seed is not None:
        import tf_keras

        tf_keras.utils.set_random_seed((seed + offset) % 2**32)


def set_deterministic() -> None:
    """Compute the same from the same seed, from here on and until the process ends; slower.

    TensorFlow then draws random numbers one after the other and adds up in a fixed order. On a GPU it raises an error
    where it has no such form of an operation.
    """
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def set_precision(dtype: str | None) -> None:
    """Compute in `dtype` from here on; None: float32."""
    if dtype:
        from official.modeling import performance

        performance.set_mixed_precision_policy(dtype)


def quiet() -> None:
    """Silence what TensorFlow tells of itself at every start; warnings of substance come through."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    ignore_unused_levels()
