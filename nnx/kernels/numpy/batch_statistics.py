"""Batch normalization on NumPy; the formulas are those of ``nnx/functional/standardization.py``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.autodiff.dispatch import Declined
from nnx.functional import batch_norm_training
from nnx.functional.batch_statistics import channels_of_batch
from nnx.kernels.numpy.rows import Form, form_of, is_common

_WIDTH = 256  # what a row should have at least, since each row costs NumPy something


@batch_norm_training.kernel("numpy", fresh=True)
def _(wanted: Sequence[Any], x: Any, weight: Any = None, bias: Any = None, *, axis: int = 1, eps: float = 1e-5) -> Any:
    layout = channels_of_batch(x, weight, bias, axis=axis)
    if not is_common(x):
        return Declined("x is not a NumPy array of float32 or float64 with elements")
    form, size = _widened(form_of(layout)), layout.averaged_size
    seen, y = x.reshape(form), np.empty(x.shape, x.dtype)
    mean, variance = _standardize(seen, y.reshape(form), weight, bias, form, layout.own[0], size, eps)
    kept = mean.copy(), variance.copy()  # those belong to the caller

    def pullback(parts: Sequence[Any]) -> Sequence[Any]:
        if type(parts[0]) is not np.ndarray or any(part is not None for part in parts[1:]):
            return batch_norm_training.portable_pullback(wanted, x, weight, bias, axis=axis, eps=eps)(parts)
        g, mean, inverse = parts[0].reshape(form), kept[0], 1.0 / np.sqrt(kept[1] + eps)
        to_x = np.empty(x.shape, x.dtype)
        out = to_x.reshape(form)
        sums, products = np.zeros((2, len(mean)), x.dtype)
        for block in form.blocks():
            centered = np.subtract(seen[block], _spread(mean, form), out[block])
            sums += _gathered(form.totals(g[block]), mean)
            products += _gathered(form.totals(g[block], centered), mean)
        if wanted[0]:
            slope, shift = _spread(products * inverse * inverse / -size, form), _spread(sums / size, form)
            scale = _spread(inverse if weight is None else inverse * weight, form)
            for block in form.blocks():
                part = out[block]
                part *= slope
                part += g[block]
                part -= shift
                part *= scale
        return (
            to_x if wanted[0] else None,
            products * inverse if weight is not None and wanted[1] else None,
            sums if bias is not None and wanted[2] else None,
        )

    return (y, mean, variance), pullback


def _widened(form: Any) -> Form:
    """Return a form with channels times some neighboring examples as its channels, if these are last and few."""
    examples, _, channels, positions = form
    times = 1
    while positions == 1 and channels * times < _WIDTH and examples % (2 * times) == 0:
        times *= 2
    return Form(examples // times, 1, channels * times, positions)


def _spread(by_channel: Any, form: Form) -> Any:
    """Return numbers for each channel as an array that fits a block."""
    return np.tile(by_channel, form.channels // len(by_channel))[:, None]


def _gathered(totals: Any, by_channel: Any) -> Any:
    """Return sums for each channel of a form as sums for each channel."""
    return totals if totals.shape == by_channel.shape else totals.reshape(-1, len(by_channel)).sum(0)


def _standardize(x: Any, y: Any, weight: Any, bias: Any, form: Form, channels: int, size: int, eps: float) -> Any:
    """Fill y, and return mean and variance of each channel."""
    mean, variance = np.zeros((2, channels), x.dtype)
    for block in form.blocks():
        mean += _gathered(form.totals(x[block]), mean)
    mean /= size
    spread = _spread(mean, form)
    for block in form.blocks():
        centered = np.subtract(x[block], spread, y[block])
        variance += _gathered(form.totals(centered, centered), mean)
    variance /= size
    scale = 1.0 / np.sqrt(variance + eps)
    scale = _spread(scale if weight is None else scale * weight, form)
    shift = None if bias is None else _spread(bias, form)
    for block in form.blocks():
        out = y[block]
        out *= scale
        if shift is not None:
            out += shift
    return mean, variance
