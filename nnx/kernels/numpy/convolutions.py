"""Convolution as products of the weight with blocks of columns, which hold the windows of some of the examples."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import convolution, transposed_convolution
from nnx.functional.convolutions import (
    Plan,
    Residuals,
    convolution_cotangents,
    plan_convolution,
    plan_transposed,
)
from nnx.functional.spatial import Axes, Windows, span
from nnx.kernels.numpy.columns import Scratch, folded, unfolded

_OTHER = Declined("x, weight and bias are not NumPy arrays with elements, of one dtype of at least 32 bits")
_DTYPES = frozenset(map(np.dtype, (np.float32, np.float64, np.complex64, np.complex128)))


def _register(function: Primitive[..., Any], plan_of: Callable[..., Plan]) -> None:
    @function.kernel("numpy", fresh=True)
    def _(
        wanted: Sequence[Any], x: Any, weight: Any, bias: Any = None, **options: Any
    ) -> tuple[Any, Pullback] | Declined:
        if not _are_common(x, weight, bias):
            return _OTHER
        plan, shape = plan_of(x, weight, bias, **options), weight.shape
        kept = Residuals.of(wanted, x, weight, bias)
        forward, backward = (_spread, _correlate) if plan.is_transposed else (_correlate, _spread)

        def pullback(g: Any) -> Sequence[Any]:
            if type(g) is TracedArray:
                return convolution_cotangents(wanted, kept, plan, g)
            to_x = None if kept.weight is None or not wanted[0] else backward(g, kept.weight, None, plan)
            to_weight = None
            if kept.x is not None and wanted[1]:
                pair = (g, kept.x) if plan.is_transposed else (kept.x, g)
                to_weight = _weight_gradient(*pair, shape, plan)
            return to_x, to_weight, _bias_gradient(g, plan) if kept.wants_bias else None

        return forward(x, weight, bias, plan), pullback


_register(convolution, plan_convolution)
_register(transposed_convolution, plan_transposed)


def _are_common(x: Any, weight: Any, bias: Any) -> bool:
    return (
        type(weight) is np.ndarray
        and (bias is None or type(bias) is np.ndarray)
        and x.dtype in _DTYPES
        and weight.dtype == x.dtype
        and x.size > 0
    )


def _correlate(x: Any, weight: Any, bias: Any, plan: Plan) -> Any:
    windows, groups = plan.windows, plan.groups
    y, view = _allocated(np.empty, x.shape[0], weight.shape[0], windows.output, x.dtype, plan.axes)
    if _is_pointwise(plan):
        np.matmul(_matrix(weight, groups), _by_example(x, plan), out=_by_example(y, plan))
        if bias is not None:
            view += _as_channels(bias, view)
        return y
    scratch, matrix = Scratch(x.dtype), _matrix(weight, groups)
    bias = None if bias is None else _as_channels(bias, view)
    for where, columns in unfolded(_channels_then_batch(x, plan.axes), windows, groups, scratch):
        product = np.matmul(matrix, columns, out=scratch.zeros("y", (groups, matrix.shape[1], columns.shape[2])))
        target = view[where]
        if bias is None:
            target[...] = product.reshape(target.shape)
        else:
            np.add(product.reshape(target.shape), bias, out=target)
    return y


def _spread(y: Any, weight: Any, bias: Any, plan: Plan) -> Any:
    windows, groups = plan.windows, plan.groups
    out, per_group = weight.shape[0] // groups, weight.shape[1]
    reverse = reversed_windows(windows) if out <= 2 * per_group or _is_pointwise(plan) else None
    if reverse is not None:  # columns of y are quicker than adding up columns of x, if y has not many more channels
        turned = np.flip(weight.reshape(groups, out, *weight.shape[1:]), axis=tuple(range(3, weight.ndim + 1)))
        turned = turned.swapaxes(1, 2).reshape(groups * per_group, out, *weight.shape[2:])
        return _correlate(y, turned, bias, plan._replace(windows=reverse))
    x, view = _allocated(np.zeros, y.shape[0], groups * per_group, windows.sizes, y.dtype, plan.axes)
    scratch, source = Scratch(y.dtype), _channels_then_batch(y, plan.axes)
    matrix = _matrix(weight, groups).swapaxes(1, 2)

    def columns(where: Any) -> Any:
        part = source[where]
        rows = part.reshape(groups, out, part.size // max(1, groups * out))
        found = np.matmul(matrix, rows, out=scratch.zeros("columns", (groups, matrix.shape[1], rows.shape[2])))
        return found.reshape(groups * per_group, *reversed(windows.kernel), *part.shape[1:])

    folded(view, windows, columns, scratch)
    if bias is not None:
        view += _as_channels(bias, view)
    return x


def _weight_gradient(x: Any, y: Any, shape: tuple[int, ...], plan: Plan) -> Any:
    windows, groups = plan.windows, plan.groups
    if _is_pointwise(plan):
        products = np.matmul(_by_example(y, plan), _by_example(x, plan).swapaxes(-1, -2))
        return np.add.reduce(products, axis=0).reshape(shape)
    scratch, source = Scratch(x.dtype), _channels_then_batch(y, plan.axes)
    # Made as its transpose: a product in which the many columns stand last in both factors is up to twice as slow if
    # the first one has few rows.
    total = np.zeros((groups, math.prod(shape[1:]), shape[0] // groups), x.dtype)
    for where, columns in unfolded(_channels_then_batch(x, plan.axes), windows, groups, scratch):
        part = source[where].reshape(groups, total.shape[2], columns.shape[2])
        total += np.matmul(columns, part.swapaxes(1, 2), out=scratch.zeros("weight", total.shape))
    turned = total.swapaxes(1, 2).reshape(shape[:2] + shape[:1:-1])  # the taps of the last axis come first in columns
    return np.ascontiguousarray(turned.transpose(0, 1, *range(len(shape) - 1, 1, -1)))


def _bias_gradient(g: Any, plan: Plan) -> Any:
    return np.add.reduce(g, axis=(0, *plan.axes.spatial))


def _matrix(weight: Any, groups: int) -> Any:
    """Return the weight as (groups, out of a group, rows of the columns)."""
    turned = weight.transpose(0, 1, *range(weight.ndim - 1, 1, -1))
    return turned.reshape(groups, weight.shape[0] // groups, weight.size // weight.shape[0])


def _allocated(
    make: Callable[..., Any], batch: int, channels: int, sizes: tuple[int, ...], dtype: Any, axes: Axes
) -> tuple[Any, Any]:
    """Return an array in the layout, and a view of it with the channels first and the batch next."""
    found = make((batch, *sizes, channels) if axes.last else (batch, channels, *sizes), dtype)
    return found, _channels_then_batch(found, axes)


def _channels_then_batch(x: Any, axes: Axes) -> Any:
    return x.transpose(axes.channels, 0, *axes.spatial)


def _as_channels(bias: Any, view: Any) -> Any:
    return bias.reshape(-1, *(1,) * (view.ndim - 1))


def _is_pointwise(plan: Plan) -> bool:
    """Return whether the kernel is 1 everywhere, and each element is a window of its own."""
    windows = plan.windows
    return windows.output == windows.sizes and max(windows.kernel) == 1 == max(windows.stride)


def _by_example(x: Any, plan: Plan) -> Any:
    """Return a view (batch, groups, channels of a group, elements); of what is not contiguous, a copy."""
    groups, channels = plan.groups, x.shape[plan.axes.channels]
    count = math.prod(plan.windows.sizes)
    if plan.axes.last:
        return x.reshape(x.shape[0], count, groups, channels // groups).transpose(0, 2, 3, 1)
    return x.reshape(x.shape[0], groups, channels // groups, count)


def reversed_windows(windows: Windows) -> Windows | None:
    """Return the windows whose correlation with the flipped weight spreads y, or None if there are none."""
    if max(windows.stride) > 1:
        return None
    spans = tuple(map(span, windows.kernel, windows.dilation))
    padding = tuple((n - 1 - before, n - 1 - after) for n, (before, after) in zip(spans, windows.padding, strict=True))
    if min(map(min, padding)) < 0:
        return None
    return Windows(windows.output, windows.kernel, windows.stride, windows.dilation, padding, windows.sizes)
