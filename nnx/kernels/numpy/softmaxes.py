"""Softmax and its logarithm on NumPy arrays, in place where the memory is new."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import log_softmax, softmax
from nnx.kernels.numpy.elementwise import DTYPES

_sum, _max = np.add.reduce, np.maximum.reduce
_OTHERS = Declined("x is not an array of float32 or float64 with that axis")


def _fits(x: Any, axis: int) -> bool:
    return type(x) is np.ndarray and x.dtype in DTYPES and -x.ndim <= axis < x.ndim and x.shape[axis] > 0


@softmax.kernel("numpy", fresh=True)
def _(wanted: Sequence[Any], x: Any, *, axis: int = -1) -> tuple[Any, Pullback] | Declined:
    if not _fits(x, axis):
        return _OTHERS
    y = x - _max(x, axis=axis, keepdims=True)
    np.exp(y, out=y)
    y /= _sum(y, axis=axis, keepdims=True)

    def pullback(g: Any) -> Sequence[Any]:
        if type(g) is TracedArray:
            return softmax.portable_pullback(wanted, x, axis=axis)(g)
        found = g * y
        total = _sum(found, axis=axis, keepdims=True)
        np.subtract(g, total, out=found)  # y (g - sum(g y))
        found *= y
        return (found,)

    return y, pullback


@log_softmax.kernel("numpy", fresh=True)
def _(wanted: Sequence[Any], x: Any, *, axis: int = -1) -> tuple[Any, Pullback] | Declined:
    if not _fits(x, axis):
        return _OTHERS
    y = x - _max(x, axis=axis, keepdims=True)
    y -= np.log(_sum(np.exp(y), axis=axis, keepdims=True))

    def pullback(g: Any) -> Sequence[Any]:
        if type(g) is TracedArray:
            return log_softmax.portable_pullback(wanted, x, axis=axis)(g)
        found = np.exp(y)
        found *= _sum(g, axis=axis, keepdims=True)
        np.subtract(g, found, out=found)
        return (found,)

    return y, pullback
