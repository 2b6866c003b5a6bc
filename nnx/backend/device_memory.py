"""What a library says about the memory of its devices."""

from nnx.backend.namespaces import library_name, namespace
from nnx.backend.transfer import device_of
from nnx.types import Array


def peak_of_device(array: Array) -> int | None:
    """Return the most bytes that the library of an array has taken on its device, ``None`` if it does not say.

    For CuPy it is what the memory pool holds.
    """
    match library_name(namespace(array)):
        case "torch":
            import torch

            return int(torch.cuda.max_memory_allocated(array.device)) if array.device.type == "cuda" else None
        case "jax":
            stats = device_of(array).memory_stats()  # None on a CPU
            return None if stats is None else stats.get("peak_bytes_in_use")
        case "cupy":
            import cupy

            return int(cupy.get_default_memory_pool().total_bytes())
    return None
