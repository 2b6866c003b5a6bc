"""Sums that stay accurate in low precision."""

from typing import Any

from nnx.types import Array, Namespace


def summed(xp: Namespace, x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """Return a sum, which 16-bit floating-point dtypes accumulate in float32.

    Along the first axis NumPy adds rows of float16 in float16, where 2048 + 1 is 2048.
    """
    if getattr(x.dtype, "itemsize", 4) != 2:
        return xp.sum(x, axis=axis, keepdims=keepdims)
    return xp.astype(xp.sum(x, axis=axis, keepdims=keepdims, dtype=xp.float32), x.dtype)
