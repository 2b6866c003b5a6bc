"""Activations in one pass, by the formulas of ``nnx/kernels/numpy/elementwise.py``."""

from typing import Any

from nnx.functional import leaky_relu, mish, sigmoid, silu
from nnx.kernels.numba.compiling import compiled, inlined, like
from nnx.kernels.numba.elementwise import elementwise
from nnx.kernels.numba.exponential import exp


@inlined
def _gate(x: Any) -> Any:
    return like(1.0, x) / (exp(-x) + like(1.0, x))


@inlined
def _bounded(x: Any, least: Any, most: Any) -> Any:
    x = least if x < least else x  # NaN stays; infinity times 0 would become NaN
    return most if x > most else x


@compiled
def _sigmoid(x: Any, y: Any) -> None:
    numbers, out = x.reshape(-1), y.reshape(-1)
    for i in range(out.size):
        out[i] = _gate(numbers[i])


@compiled
def _sigmoid_slope(y: Any, g: Any) -> None:
    values, slopes = y.reshape(-1), g.reshape(-1)
    for i in range(slopes.size):
        slopes[i] *= (like(1.0, values[i]) - values[i]) * values[i]


@compiled
def _silu(x: Any, y: Any) -> None:
    numbers, out = x.reshape(-1), y.reshape(-1)
    for i in range(out.size):
        value = numbers[i]
        least = like(-1000.0, value)
        out[i] = _gate(value) * (least if value < least else value)


@compiled
def _silu_slope(x: Any, g: Any) -> None:
    numbers, slopes = x.reshape(-1), g.reshape(-1)
    for i in range(slopes.size):
        value = _bounded(numbers[i], like(-1000.0, numbers[i]), like(1000.0, numbers[i]))
        gate = _gate(value)
        slopes[i] *= ((like(1.0, value) - gate) * value + like(1.0, value)) * gate


@compiled
def _mish(x: Any, y: Any) -> None:
    numbers, out = x.reshape(-1), y.reshape(-1)
    for i in range(out.size):
        value = numbers[i]
        least, most, two = like(-1000.0, value), like(20.0, value), like(2.0, value)
        power = exp(most if value > most else value)  # from there on the gate is 1
        both = power * (power + two)
        out[i] = both / (both + two) * (least if value < least else value)


@compiled
def _mish_slope(x: Any, g: Any) -> None:
    numbers, slopes = x.reshape(-1), g.reshape(-1)
    for i in range(slopes.size):
        value = _bounded(numbers[i], like(-1000.0, numbers[i]), like(1000.0, numbers[i]))
        most, one, two = like(20.0, value), like(1.0, value), like(2.0, value)
        power = exp(most if value > most else value)
        both = power * (power + two)
        gate = both / (both + two)
        slopes[i] *= (one - gate * gate) * (power / (power + one)) * value + gate


@compiled
def _leaky_relu(x: Any, y: Any, slope: Any) -> None:
    numbers, out = x.reshape(-1), y.reshape(-1)
    for i in range(out.size):
        out[i] = numbers[i] if numbers[i] > 0 else numbers[i] * slope


@compiled
def _leaky_relu_slope(x: Any, g: Any, slope: Any) -> None:
    numbers, slopes = x.reshape(-1), g.reshape(-1)
    for i in range(slopes.size):
        kept = slopes[i]
        slopes[i] = kept if numbers[i] > 0 else kept * slope


elementwise(sigmoid, lambda: (_sigmoid, _sigmoid_slope, ()), of_output=True)
elementwise(silu, lambda: (_silu, _silu_slope, ()))
elementwise(mish, lambda: (_mish, _mish_slope, ()))
elementwise(leaky_relu, lambda slope=0.01: (_leaky_relu, _leaky_relu_slope, (slope,)))
