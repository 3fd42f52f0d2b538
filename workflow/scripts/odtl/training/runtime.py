"""What TensorFlow is told before a training: which device, which seed, how little to say."""

import contextlib
import logging
import os
import sys
from collections.abc import Sequence

from odtl.checkpoints import ignore_unused_levels
from odtl.distribution import Distribution
from odtl.errors import InputError, Problem


def strategy(spread: Distribution | None = None, addresses: Sequence[str] = (), place: int = 0, apart: bool = False):
    """Return TensorFlow's strategy for a distribution; None: for the one GPU, or the CPU where there is none.

    addresses: host:port of each process of a training in several; place: of this one among them. Such a strategy waits
    for all of them, and must be made before TensorFlow has computed anything. apart: each is on a machine of its own.

    Without a GPU, devices are as many parts of the CPU: nothing is faster for it, but the same is done.
    Raises InputError where there are GPUs, but fewer than asked for.
    """
    import tensorflow as tf

    spread = spread or Distribution()
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES", "-1")) not in (
        "",
        "-1",
    ) and not tf.config.list_physical_devices("GPU"):
        print(
            f"The job has GPU {given}, and TensorFlow sees none: the CPU computes. What TensorFlow needs for a GPU is "
            "in requirements/gpu.lock (`make gpu`).",
            file=sys.stderr,
            flush=True,
        )
    gpus = _own_gpus(spread, 0 if apart else place, spread.devices if apart else spread.replicas)
    if not gpus:
        # On a CPU, rewriting the graph costs seconds at the start and saves nothing measurable per step.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    kind = "gpu" if gpus else "cpu"
    if spread.distribution == "multi_worker":
        return _in_several_processes(spread, addresses, place, len(gpus))
    if spread.distribution == "one":
        return tf.distribute.OneDeviceStrategy(f"/{kind}:0")
    if not gpus:
        _divide_cpu(spread.devices)
    return tf.distribute.MirroredStrategy([f"/{kind}:{number}" for number in range(spread.devices)])


def _own_gpus(spread: Distribution, place: int, needed: int) -> list:
    """Return the GPUs of this process, after TensorFlow was told to see no others; none on a CPU.

    place: of the process among those of this machine. needed: GPUs of all of these.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus or spread.replicas == 1:
        return gpus
    if len(gpus) < needed:
        cure = f"Let the training have them (--resources gpu={spread.replicas}), or lower `devices` or `workers`."
        raise InputError(Problem("training", "devices", f"{len(gpus)} GPU(s) for {needed}", cure))
    own = gpus[place * spread.devices : (place + 1) * spread.devices]
    tf.config.set_visible_devices(own, "GPU")
    return own


def _divide_cpu(parts: int) -> None:
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    if len(tf.config.get_logical_device_configuration(cpu) or []) != parts:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * parts)


def _in_several_processes(spread: Distribution, addresses: Sequence[str], place: int, gpus: int):
    import tensorflow as tf

    if spread.devices > 1 and not gpus:
        cure = "Without GPUs, a process of several has one device: the CPU."
        raise InputError(Problem("training", "devices", f"{spread.devices} with multi_worker, and no GPU", cure))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(addresses)}),
        task_type="worker",
        task_id=place,
        num_accelerators={"GPU": gpus},
        rpc_layer="grpc",
    )
    return tf.distribute.MultiWorkerMirroredStrategy(resolver)


def device() -> dict[str, str | None]:
    """Return what is computed on: `kind`, GPU or CPU, the GPU's `name`, and the `id`s that the job was shown."""
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
