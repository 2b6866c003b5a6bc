"""Activations that are linear in pieces on NumPy arrays: ``numpy.where`` is slow for a mask without a pattern."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import hardswish, hardtanh, leaky_relu, relu6
from nnx.kernels.numpy.dense import cut_out
from nnx.kernels.numpy.elementwise import DTYPES, elementwise


def _bounded(function: Primitive[..., Any], bounds: Callable[..., tuple[float, float]]) -> None:
    """Register a kernel for numbers kept within bounds, of which only a mask is kept."""

    @function.kernel("numpy", fresh=True)
    def _(wanted: Sequence[Any], x: Any, **options: Any) -> tuple[Any, Pullback] | Declined:
        low, high = bounds(**options)
        if type(x) is not np.ndarray or x.dtype not in DTYPES or not low < high:
            return Declined("x is not an array of float32 or float64, or the bounds are wrong")
        y = np.clip(x, low, high, out=np.empty(x.shape, x.dtype))
        if not wanted[0]:
            return y, lambda g: (None,)
        cut = (x <= low) | (x >= high)

        def pullback(g: Any) -> Sequence[Any]:
            if type(g) is TracedArray:
                return function.portable_pullback(wanted, x, **options)(g)
            return (cut_out(cut, g),)

        return y, pullback


def _leaky_relu(x: Any, out: Any, slope: float = 0.01) -> None:
    np.minimum(x, 0, out=out)
    out *= slope
    out += np.maximum(x, 0)  # one of the two is 0


def _leaky_relu_slope(x: Any, out: Any, slope: float = 0.01) -> None:
    out[...] = x > 0
    out *= 1.0 - slope
    out += slope


def _hardswish(x: Any, out: Any) -> None:
    np.clip(x, -3, 3, out=out)
    out /= 6
    out += 0.5
    out *= np.maximum(x, -3)  # minus infinity times 0 would be NaN


def _hardswish_slope(x: Any, out: Any) -> None:
    np.clip(x, -3, 3, out=out)
    out /= 3
    out += 0.5  # -1/2 at -3 and 3/2 at 3, where the derivative is 0 and 1
    out += 0.5 * (x <= -3).astype(out.dtype)
    out -= 0.5 * (x >= 3).astype(out.dtype)


_bounded(hardtanh, lambda low=-1.0, high=1.0: (low, high))
_bounded(relu6, lambda: (0.0, 6.0))
elementwise(leaky_relu, _leaky_relu, _leaky_relu_slope)
elementwise(hardswish, _hardswish, _hardswish_slope)
