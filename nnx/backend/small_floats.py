"""Floating-point dtypes of 8 and 16 bits that NumPy lacks: NumPy arrays hold them with the package ml_dtypes."""

import importlib
from typing import Any

import numpy as np

from nnx.errors import MissingExtraError
from nnx.types import Array

SMALL_FLOATS = frozenset(
    {
        *("bfloat16", "float8_e4m3fn", "float8_e5m2"),
        *("float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    }
)
"""The names that torch, JAX and ml_dtypes share."""


def small_float(name: str) -> Any:
    """Return the NumPy dtype of one of :data:`SMALL_FLOATS`.

    Raises
    ------
    MissingExtraError
        If ml_dtypes is not installed.
    """
    try:
        return np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
    except ImportError as error:
        raise MissingExtraError(
            f"expected the package ml_dtypes to hold {name} in a NumPy array, got: {error}; "
            "install it with: pip install ml_dtypes"
        ) from error


def torch_to_host(tensor: Array, name: str) -> Array:
    """Return a torch tensor of a small float on the CPU as a NumPy array that shares its memory."""
    torch = importlib.import_module("torch")
    return tensor.view(_same_size(torch, tensor.dtype.itemsize)).numpy().view(small_float(name))


def host_to_torch(host: Array) -> Array:
    """Return a writable NumPy array of a small float as a torch tensor that shares its memory."""
    torch = importlib.import_module("torch")
    bits = torch.from_numpy(host.view(f"i{host.itemsize}"))
    return bits.view(getattr(torch, host.dtype.name))


def _same_size(torch: Any, size: int) -> Any:
    return {1: torch.int8, 2: torch.int16}[size]
