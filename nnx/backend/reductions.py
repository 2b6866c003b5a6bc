"""Sums that keep their digits in low precision."""

from typing import Any

from nnx.types import Array, Namespace


def summed(xp: Namespace, x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """Return a sum; of a 16-bit floating-point dtype it is added up in float32.

    NumPy adds the rows of a float16 array to each other in float16, where 2048 + 1 is 2048.
    """
    if getattr(x.dtype, "itemsize", 4) != 2:
        return xp.sum(x, axis=axis, keepdims=keepdims)
    return xp.astype(xp.sum(x, axis=axis, keepdims=keepdims, dtype=xp.float32), x.dtype)
