r"""GELU on NumPy arrays, in place on blocks.

NumPy has no error function. The lower tail of the normal distribution is computed instead, by one formula for all
sizes, as W. J. Cody and others do: the exponential times a smooth function,

.. math:: Q(a) = 1 - \Phi(a) = e^{-a^2 / 2}\, t\, P(t), \quad t = 1 / (1 + 0.3 a), \quad a = |x|

so that both :math:`\Phi(-a) = Q(a)` and :math:`\Phi(a) = 1 - Q(a)` have all their digits. The polynomial was fitted at
Chebyshev nodes, with 60 digits; the relative error of Q is 7e-7 in float32 and 2e-15 in float64.
"""

import math
from typing import Any

import numpy as np

from nnx.functional import gelu
from nnx.kernels.numpy.elementwise import elementwise

RATE = 0.3
# For each dtype the map of t to [-1, 1], and the coefficients of P there, highest power first.
TAIL: dict[Any, tuple[tuple[float, float], tuple[float, ...]]] = {
    np.dtype("float32"): (
        (2.4761904761904763, -1.4761904761904763),
        (
            1.166629890e-06,
            6.405986968e-05,
            -3.773646824e-05,
            -9.659778107e-04,
            -3.211918777e-04,
            1.485315612e-02,
            6.705411011e-02,
            1.623318663e-01,
            2.570205673e-01,
        ),
    ),
    np.dtype("float64"): (
        (2.1666666666666665, -1.1666666666666667),
        (
            -8.283480607339237e-11,
            4.85960667590445e-10,
            -6.620314803832865e-11,
            -4.053762000021262e-09,
            6.735285089149776e-09,
            1.219805167543651e-08,
            -5.456354089711276e-08,
            2.6019134011556973e-08,
            2.4934159652906964e-07,
            -5.414312576181553e-07,
            -6.380015567425939e-07,
            4.154026593679194e-06,
            -9.980059544880204e-07,
            -2.668369863547374e-05,
            2.8221836492066365e-05,
            0.00018731591460137987,
            -0.00025360586709128886,
            -0.001777484294348139,
            0.0006087701777928216,
            0.022157394739983037,
            0.07925033248079823,
            0.16466813136972028,
            0.23515539473917513,
        ),
    ),
}
DENSITY = math.sqrt(0.5 / math.pi)
SCALE, CUBE = 2.0 * math.sqrt(2.0 / math.pi), 0.044715


def _gelu(x: Any, out: Any, approximate: str = "none") -> None:
    if approximate == "tanh":
        _tanh_power(x, out)
        out += 1
        np.reciprocal(out, out=out)
        out *= np.maximum(x, -40)  # minus infinity times 0 would be NaN
        return
    size = np.abs(x)
    _over_density(size, out)
    out *= _exponential(size)
    out *= np.minimum(size, 40, out=size)
    np.subtract(np.maximum(x, 0), out, out=out)  # x (1 - Q(x)), or x Q(-x)


def _gelu_slope(x: Any, out: Any, approximate: str = "none") -> None:
    if approximate == "tanh":
        _tanh_slope(np.clip(x, -40, 40), out)
        return
    size = np.minimum(np.abs(x), 40)
    _over_density(size, out)
    power = _exponential(size)
    size *= DENSITY
    out -= size
    out *= power  # the derivative on the negative side; on the positive side it is 1 minus that of the mirror image
    is_positive = (x >= 0).astype(out.dtype)
    out *= 1 - 2 * is_positive
    out += is_positive


def _over_density(size: Any, out: Any) -> None:
    """Write ``Q(size) exp(size ** 2 / 2)``."""
    (factor, shift), (first, *others) = TAIL[out.dtype]
    inverse = RATE * size
    inverse += 1
    np.reciprocal(inverse, out=inverse)
    place = factor * inverse
    place += shift
    np.multiply(place, first, out=out)
    for coefficient in others[:-1]:
        out += coefficient
        out *= place
    out += others[-1]
    out *= inverse


def _exponential(size: Any) -> Any:
    power = size * size
    power *= -0.5
    return np.exp(power, out=power)


def _tanh_power(x: Any, out: Any, most: float = math.inf) -> None:
    """Write ``exp(-u)``, where the gate is ``1 / (1 + exp(-u))``, with ``-u`` at most so large."""
    np.multiply(x, x, out=out)
    out *= -CUBE * SCALE
    out -= SCALE
    out *= x
    if most < math.inf:
        np.minimum(out, most, out=out)
    np.exp(out, out=out)


def _tanh_slope(x: Any, out: Any) -> None:
    power = np.empty_like(out)
    _tanh_power(x, power, 80.0)  # it must stay finite; beyond, the gate is below 1e-34
    gate = power + 1
    np.reciprocal(gate, out=gate)
    np.multiply(x, x, out=out)
    out *= 3 * CUBE * SCALE
    out += SCALE
    out *= x
    power *= gate  # 1 - gate, with all its digits
    out *= power
    out += 1
    out *= gate


elementwise(gelu, _gelu, _gelu_slope, accepts=lambda approximate="none": approximate in ("none", "tanh"))
