"""Wait until a device has computed: a clock would otherwise tell how long it takes to ask for a result."""

from collections.abc import Callable
from typing import Any

from nnx.backend.namespaces import library_name, namespace
from nnx.types import Array


def waiting_for(array: Array) -> Callable[[Any], Any] | None:
    """Return a function that waits for an array like this one, or a list of them; ``None`` if that is not needed.

    What a library computes on the host is there when its function returns, but for JAX.
    """
    match library_name(namespace(array)):
        case "torch" if array.device.type != "cpu":
            import torch

            synchronize = getattr(torch, array.device.type).synchronize
            return lambda _: synchronize()
        case "jax":
            import jax

            return jax.block_until_ready
        case "cupy":
            return lambda _: array.device.synchronize()
    return None
