"""Batch normalization channel by channel, so that all passes over a channel but the first find it in the cache."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from nnx.autodiff.dispatch import Declined
from nnx.functional import batch_norm_training
from nnx.functional.batch_statistics import channels_of_batch
from nnx.kernels.numba.compiling import compiled
from nnx.kernels.numba.rows import total
from nnx.kernels.numpy.rows import form_of, is_common

_LEAST = 32  # pixels of an image, below which its loops cost more than what is in them
_LANES = 64  # sums that are made side by side, as a processor adds several numbers at a time


@compiled
def _standardize(x: Any, y: Any, mean: Any, variance: Any, weight: Any, bias: Any, eps: Any) -> None:
    """Fill in what belongs to x, (examples, channels, pixels)."""
    size, lanes = x.shape[0] * x.shape[2], np.zeros(_LANES, x.dtype)
    scale = np.zeros(1, x.dtype)
    for c in range(x.shape[1]):
        _clear(lanes)
        for n in range(x.shape[0]):
            _add_up(lanes, x[n, c])
        mean[c] = total(lanes) / size
        _clear(lanes)
        for n in range(x.shape[0]):
            _add_up_products(lanes, x[n, c], x[n, c], mean[c], mean[c])
        variance[c] = total(lanes) / size
        scale[0] = weight[c] / sqrt(variance[c] + eps)
        for n in range(x.shape[0]):
            _scale(y[n, c], x[n, c], mean[c], scale[0], bias[c])


@compiled
def _differentiate(
    x: Any, g: Any, to_x: Any, mean: Any, inverse: Any, weight: Any, sums: Any, products: Any, wants_x: Any
) -> None:
    size, lanes = x.shape[0] * x.shape[2], np.zeros(_LANES, x.dtype)
    factors, zero = np.zeros(3, x.dtype), x.dtype.type(0)
    for c in range(x.shape[1]):
        _clear(lanes)
        for n in range(x.shape[0]):
            _add_up(lanes, g[n, c])
        sums[c] = total(lanes)
        _clear(lanes)
        for n in range(x.shape[0]):
            _add_up_products(lanes, x[n, c], g[n, c], mean[c], zero)
        products[c] = total(lanes)
        if wants_x:
            factors[0] = products[c] * inverse[c] * inverse[c] / -size
            factors[1] = sums[c] / size
            factors[2] = inverse[c] * weight[c]
            for n in range(x.shape[0]):
                _combine(to_x[n, c], x[n, c], g[n, c], mean[c], factors[0], factors[1], factors[2])


@compiled
def _clear(lanes: Any) -> None:
    for i in range(lanes.size):
        lanes[i] = 0


@compiled
def _add_up(lanes: Any, row: Any) -> None:
    whole = row.size - row.size % _LANES
    for i in range(0, whole, _LANES):
        part = row[i : i + _LANES]
        for j in range(_LANES):
            lanes[j] += part[j]
    rest = row[whole:]
    for j in range(rest.size):
        lanes[j] += rest[j]


@compiled
def _add_up_products(lanes: Any, row: Any, other: Any, shift: Any, other_shift: Any) -> None:
    whole = row.size - row.size % _LANES
    for i in range(0, whole, _LANES):
        part, factor = row[i : i + _LANES], other[i : i + _LANES]
        for j in range(_LANES):
            lanes[j] += (part[j] - shift) * (factor[j] - other_shift)
    rest, factor = row[whole:], other[whole:]
    for j in range(rest.size):
        lanes[j] += (rest[j] - shift) * (factor[j] - other_shift)


@compiled
def _scale(to: Any, row: Any, mean: Any, scale: Any, bias: Any) -> None:
    for i in range(to.size):
        to[i] = (row[i] - mean) * scale + bias


@compiled
def _combine(to: Any, row: Any, g: Any, mean: Any, slope: Any, shift: Any, scale: Any) -> None:
    for i in range(to.size):
        to[i] = ((row[i] - mean) * slope + g[i] - shift) * scale


@batch_norm_training.kernel("numpy", tier="compiled", fresh=True)
def _(wanted: Sequence[Any], x: Any, weight: Any = None, bias: Any = None, *, axis: int = 1, eps: float = 1e-5) -> Any:
    layout = channels_of_batch(x, weight, bias, axis=axis)
    if not is_common(x) or not x.flags.c_contiguous or type(eps) not in (int, float):
        return Declined("x is not a contiguous NumPy array of float32 or float64 with elements, or eps is no number")
    form, channels = form_of(layout), layout.own[0]
    if form is None or form.rows != 1 or form.channels != channels or form.positions < _LEAST:
        return Declined(f"a channel has fewer than {_LEAST} elements side by side")
    shape = (form.examples, channels, form.positions)
    scale = np.ones(channels, x.dtype) if weight is None else weight
    y, mean, variance = np.empty(x.shape, x.dtype), np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    shift = np.zeros(channels, x.dtype) if bias is None else bias
    _standardize(x.reshape(shape), y.reshape(shape), mean, variance, scale, shift, x.dtype.type(eps))
    kept = mean.copy(), 1.0 / np.sqrt(variance + eps)  # the mean belongs to the caller

    def pullback(parts: Sequence[Any]) -> Sequence[Any]:
        if type(parts[0]) is not np.ndarray or any(part is not None for part in parts[1:]):
            return batch_norm_training.portable_pullback(wanted, x, weight, bias, axis=axis, eps=eps)(parts)
        mean, inverse = kept
        g = np.ascontiguousarray(parts[0]).reshape(shape)
        to_x = np.empty(shape if wanted[0] else (0, 0, 0), x.dtype)
        sums, products = np.empty((2, channels), x.dtype)
        _differentiate(x.reshape(shape), g, to_x, mean, inverse, scale, sums, products, bool(wanted[0]))
        return (
            to_x.reshape(x.shape) if wanted[0] else None,
            products * inverse if weight is not None and wanted[1] else None,
            sums if bias is not None and wanted[2] else None,
        )

    return (y, mean, variance), pullback
