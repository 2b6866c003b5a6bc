"""ReLU in one pass forward and one backward; the bias of a linear map, to which BLAS does the rest."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import linear, relu
from nnx.kernels.numba.compiling import compiled
from nnx.kernels.numba.rows import add_row, sum_of_rows
from nnx.kernels.numpy.dense import linear_rule
from nnx.kernels.numpy.elementwise import DTYPES

_SMALL = 2048  # numbers, up to which the input is kept instead of a mask, which would take one more call to make
_LEFT = Declined("x is so small that one call of NumPy does it")


linear.kernel("numpy", tier="compiled", fresh=True)(linear_rule(add_row, sum_of_rows))


@compiled
def _rectify(x: Any, y: Any) -> None:
    numbers, out = x.reshape(-1), y.reshape(-1)
    for i in range(out.size):
        out[i] = 0 if numbers[i] <= 0 else numbers[i]  # NaN stays


@compiled
def _rectify_and_mark(x: Any, y: Any, passed: Any) -> None:
    numbers, out, marks = x.reshape(-1), y.reshape(-1), passed.reshape(-1)
    for i in range(out.size):
        marks[i] = not numbers[i] <= 0
        out[i] = 0 if numbers[i] <= 0 else numbers[i]


@compiled
def _cut_out(passed: Any, g: Any, out: Any) -> None:
    """Write ``g`` into ``out`` with exact zeros where ``passed``, marks or the numbers themselves, is not positive."""
    marks, slopes, to_x = passed.reshape(-1), g.reshape(-1), out.reshape(-1)
    for i in range(to_x.size):
        to_x[i] = 0 if marks[i] <= 0 else slopes[i]


@compiled
def _cut_in_place(passed: Any, g: Any) -> None:
    # The compiler would not vectorize the other loop if its arrays overlapped.
    marks, slopes = passed.reshape(-1), g.reshape(-1)
    for i in range(slopes.size):
        slopes[i] = 0 if marks[i] <= 0 else slopes[i]


@relu.kernel("numpy", tier="compiled", fresh=True)
def _(wanted: Any, x: Any) -> tuple[Any, Pullback] | Declined:
    if x.dtype not in DTYPES or not x.flags.c_contiguous:
        return Declined("x is not a contiguous array of float32 or float64")
    if not wanted[0] and x.size <= _SMALL:
        return _LEFT
    shape = x.shape
    rows = x if len(shape) == 2 else x.reshape((1, x.size))  # always two axes: a loop is compiled once for each dtype
    y: Any = np.empty(rows.shape, x.dtype)
    passed = rows
    if not wanted[0] or x.size <= _SMALL:
        _rectify(rows, y)
    else:
        passed = np.empty(rows.shape, np.bool_)
        _rectify_and_mark(rows, y, passed)

    def pullback(g: Any) -> Sequence[Any]:
        if type(g) is TracedArray:
            return relu.portable_pullback(wanted, x)(g)
        if not wanted[0]:
            return (None,)
        if len(shape) != 2 or g.shape != shape or not g.flags.c_contiguous:
            g = np.ascontiguousarray(g).reshape(passed.shape)
        to_x = g
        if x.size > _SMALL and wanted.may_overwrite:
            _cut_in_place(passed, g)
        else:
            to_x = np.empty(passed.shape, g.dtype)
            _cut_out(passed, g, to_x)
        return (to_x if len(shape) == 2 else to_x.reshape(shape),)

    return y if len(shape) == 2 else y.reshape(shape), pullback
