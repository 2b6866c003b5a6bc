"""Softmax along the last axis, row by row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import softmax
from nnx.kernels.numba.compiling import compiled
from nnx.kernels.numba.exponential import exp
from nnx.kernels.numba.rows import largest, total, total_of_products
from nnx.kernels.numpy.elementwise import DTYPES

_BLOCK = 4096  # numbers that stay in the first cache
_MOST = 1 << 15  # beyond, a row leaves the cache between the passes over it, and NumPy is as quick


@compiled
def _softmax(x: Any, y: Any) -> None:
    examples, classes = x.shape
    flat, one = y.reshape(-1), y.dtype.type(1)
    together = max(1, _BLOCK // classes)
    for first in range(0, examples, together):
        last = min(examples, first + together)
        for i in range(first, last):
            row, shifted = x[i], y[i]
            most = largest(row)
            for j in range(shifted.size):
                shifted[j] = row[j] - most
        block = flat[first * classes : last * classes]
        for j in range(block.size):  # of all rows together, since a short one is computed number by number
            block[j] = exp(block[j])
        for i in range(first, last):
            powers = y[i]
            share = one / total(powers)
            for j in range(powers.size):
                powers[j] *= share


@compiled
def _pull(y: Any, g: Any) -> None:
    """Make the cotangent of x of that of y, in place."""
    for i in range(y.shape[0]):
        row, slopes = y[i], g[i]
        mean = total_of_products(row, slopes)
        for j in range(slopes.size):
            slopes[j] = (slopes[j] - mean) * row[j]


@softmax.kernel("numpy", tier="compiled", fresh=True)
def _(wanted: Any, x: Any, *, axis: int = -1) -> tuple[Any, Pullback] | Declined:
    if type(x) is not np.ndarray or x.dtype not in DTYPES or not (x.size and x.flags.c_contiguous):
        return Declined("x is not a contiguous array of float32 or float64 with elements")
    shape = x.shape
    if not shape or axis not in (-1, len(shape) - 1) or shape[-1] > _MOST:
        return Declined(f"it is for the last axis, of at most {_MOST} numbers")
    rows = x if len(shape) == 2 else x.reshape((-1, shape[-1]))
    y: Any = np.empty(rows.shape, x.dtype)
    _softmax(rows, y)

    def pullback(g: Any) -> Sequence[Any]:
        if type(g) is TracedArray:
            return softmax.portable_pullback(wanted, x, axis=axis)(g)
        own = g if wanted.may_overwrite and g.flags.c_contiguous else np.array(g, order="C")
        _pull(y, own.reshape(rows.shape))
        return (own,)

    return y if len(shape) == 2 else y.reshape(shape), pullback
