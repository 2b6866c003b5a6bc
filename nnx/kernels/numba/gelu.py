"""GELU in one pass, by the formulas of ``nnx/kernels/numpy/gelu.py``."""

from typing import Any

import numpy as np

from nnx.functional import gelu
from nnx.kernels.numba.compiling import by_precision, compiled, inlined, like
from nnx.kernels.numba.elementwise import Loops, elementwise
from nnx.kernels.numba.exponential import exp
from nnx.kernels.numpy.gelu import CUBE, DENSITY, RATE, SCALE, TAIL

_RATE, _DENSITY, _SCALE, _CUBE = RATE, DENSITY, SCALE, CUBE * SCALE
(_FACTOR, _SHIFT), _series = TAIL[np.dtype("float64")]
_FIRST, _REST = _series[:12], _series[12:]  # a loop over all of them would not be unrolled
_SINGLE_FACTOR, _SINGLE_SHIFT = map(np.float32, TAIL[np.dtype("float32")][0])
_SINGLE_SERIES = tuple(map(np.float32, TAIL[np.dtype("float32")][1]))


@inlined
def _single_tail(size: Any) -> Any:
    inverse = np.float32(1) / (np.float32(_RATE) * size + np.float32(1))
    place = _SINGLE_FACTOR * inverse + _SINGLE_SHIFT
    series = np.float32(0)
    for coefficient in _SINGLE_SERIES:
        series = series * place + coefficient
    return series * inverse


@inlined
def _double_tail(size: Any) -> Any:
    inverse = 1.0 / (_RATE * size + 1.0)
    place = _FACTOR * inverse + _SHIFT
    series = 0.0
    for coefficient in _FIRST:
        series = series * place + coefficient
    for coefficient in _REST:
        series = series * place + coefficient
    return series * inverse


_tail = by_precision(_single_tail, _double_tail)  # Q(size) exp(size ** 2 / 2)


@compiled
def _gelu(x: Any, y: Any) -> None:
    numbers, out = x.reshape(-1), y.reshape(-1)
    for i in range(out.size):
        value = numbers[i]
        zero, most = like(0.0, value), like(40.0, value)
        size = abs(value)
        tail = _tail(size) * exp(size * size * like(-0.5, value))
        out[i] = (value if value > zero else zero) - (most if size > most else size) * tail


@compiled
def _gelu_slope(x: Any, g: Any) -> None:
    numbers, slopes = x.reshape(-1), g.reshape(-1)
    for i in range(slopes.size):
        value = numbers[i]
        most, one = like(40.0, value), like(1.0, value)
        size = abs(value)
        size = most if size > most else size
        slope = (_tail(size) - size * like(_DENSITY, value)) * exp(size * size * like(-0.5, value))
        positive = one if value >= like(0.0, value) else like(0.0, value)
        slopes[i] *= slope * (one - positive - positive) + positive  # of the mirror image, 1 minus it


@inlined
def _exponent(x: Any) -> Any:
    """Return ``-u``, where the gate is ``1 / (1 + exp(-u))``."""
    return (x * x * like(-_CUBE, x) - like(_SCALE, x)) * x


@compiled
def _gelu_tanh(x: Any, y: Any) -> None:
    numbers, out = x.reshape(-1), y.reshape(-1)
    for i in range(out.size):
        value = numbers[i]
        least, one = like(-40.0, value), like(1.0, value)
        out[i] = (least if value < least else value) / (exp(_exponent(value)) + one)


@compiled
def _gelu_tanh_slope(x: Any, g: Any) -> None:
    numbers, slopes = x.reshape(-1), g.reshape(-1)
    for i in range(slopes.size):
        value = numbers[i]
        most, one = like(40.0, value), like(1.0, value)
        value = most if value > most else (-most if value < -most else value)
        power = _exponent(value)
        bound = like(80.0, value)  # so that it is finite; beyond, the gate is below 1e-34
        power = exp(bound if power > bound else power)
        gate = one / (power + one)
        rise = (value * value * like(3 * _CUBE, value) + like(_SCALE, value)) * value
        slopes[i] *= (rise * (power * gate) + one) * gate  # 1 - gate is power * gate, with all its digits


def _chosen(approximate: str = "none") -> Loops | None:
    return {"none": (_gelu, _gelu_slope, ()), "tanh": (_gelu_tanh, _gelu_tanh_slope, ())}.get(approximate)


elementwise(gelu, _chosen)
