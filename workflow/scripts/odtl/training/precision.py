"""What the numbers of a training are computed in, by what the hardware is fast at."""

# Compute capability from which NVIDIA's cards multiply in these (CUDA C++ Programming Guide, "Compute Capabilities").
GPU_DTYPES = (((8, 0), "bfloat16"), ((7, 0), "float16"))


def resolve(config, wanted: str | None):
    """Return an ExperimentConfig that computes in what `wanted` asks for; weights stay float32.

    wanted: "auto": what is fast here (see `fastest`); anything else: as the configuration says.
    """
    if wanted != "auto":
        return config
    resolved = config.replace(runtime={"mixed_precision_dtype": fastest(_compute_capabilities())})
    resolved.lock()
    return resolved


def fastest(compute_capabilities: list[tuple[int, int] | None]) -> str:
    """Return what all of these GPUs multiply fast in; bfloat16 over float16, as its range needs no scaling of the loss.

    Without GPUs float32, also where the CPU multiplies bfloat16: convolutions get twice as fast there, but
    what is between them gets slower by more (docs/training.md has the figures).
    """
    if not compute_capabilities or None in compute_capabilities:
        return "float32"
    least = min(compute_capabilities)
    return next((dtype for capability, dtype in GPU_DTYPES if least >= capability), "float32")


def _compute_capabilities() -> list[tuple[int, int] | None]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
