"""Derivatives of the elementwise functions: one factor for each argument."""

import cmath
import math
from typing import Any

from nnx.autodiff.rules.factors import Elementwise
from nnx.autodiff.rules.kinds import Linear, Rule
from nnx.backend import add_into, divide_into
from nnx.types import Array, Namespace


def _power_of_base(xp: Namespace, x1: Array, x2: Array | float) -> Array | float:
    # At x1 = x2 = 0 the factor x2 * x1**(x2 - 1) is 0 * inf, where the derivative is 0.
    if isinstance(x2, (int, float, complex)):
        if x2 == 0:
            return 0.0
        return x2 * x1 if x2 == 2 else x2 * x1 ** (x2 - 1)
    zero = (x1 == 0) & (x2 == 0)
    return x2 * x1 ** xp.where(zero, xp.ones_like(x2), x2 - 1)


def _power_of_exponent(xp: Namespace, y: Array, x1: Array | float) -> Array | float:
    # 0**x2 is constant for x2 > 0, and log(0) * 0 would be NaN.
    if isinstance(x1, (int, float, complex)):
        return y * _log(x1, xp.isdtype(y.dtype, "complex floating")) if x1 != 0 else 0.0
    zero = x1 == 0
    return y * xp.log(xp.astype(xp.where(zero, xp.ones_like(x1), x1), y.dtype, copy=False))


def _log(x: Any, is_complex: bool) -> Any:
    if is_complex:
        return cmath.log(x)
    return math.log(x) if x > 0 else math.nan


def _larger(xp: Namespace, x1: Array | float, x2: Array | float, y: Array) -> Array:
    # At a tie each argument has half of the derivative.
    return xp.astype(x1 > x2, y.dtype) + 0.5 * xp.astype(x1 == x2, y.dtype)


def slope_of_abs(xp: Namespace, x: Array, y: Array) -> Array:
    """Return the derivative of abs, the conjugate of x / abs(x), or 0 at 0."""
    # xp.sign stops the queue on a GPU.
    if xp.isdtype(x.dtype, "complex floating"):
        zero = y == 0
        return xp.conj(x) / xp.where(zero, xp.ones_like(y), y)
    return xp.astype(x > 0, y.dtype) - xp.astype(x < 0, y.dtype)


def _hypot(xp: Namespace, x: Array, y: Array) -> Array:
    # The kink at the origin has derivative 0, as that of abs.
    zero = y == 0
    return xp.where(zero, xp.zeros_like(y), x / xp.where(zero, xp.ones_like(y), y))


def _atan2(xp: Namespace, x: Array | float, x1: Array | float, x2: Array | float) -> Array:
    # The derivative at the origin, where there is none, is 0, as that of hypot.
    square = x1 * x1 + x2 * x2
    return x / xp.where(square == 0, xp.ones_like(square), square)


def _share(xp: Namespace, x1: Array | float, x2: Array | float, y: Array) -> Array:
    # exp(x1 - y), but inf - inf is NaN: an infinite argument that decides the result has all, of two each a half.
    infinite, zero = xp.isinf(y), xp.zeros_like(y)
    share = xp.exp(xp.where(infinite, zero, x1) - xp.where(infinite, zero, y))
    return xp.where(infinite, _larger(xp, x1, x2, y), share)


def _copysign(xp: Namespace, x1: Array, y: Array) -> Array:
    return slope_of_abs(xp, x1, x1) * slope_of_abs(xp, y, y)


def _clipped(xp: Namespace, x: Array, min: Any = None, max: Any = None) -> Array:
    inside = xp.ones_like(x, dtype=xp.bool)
    if min is not None:
        inside = inside & (x >= min)
    if max is not None:
        inside = inside & (x <= max)
    return xp.astype(inside, x.dtype)


def _inverse(x2: Array | complex) -> Any:
    # Python refuses to divide a number by 0, where an array's division gives an infinity.
    if isinstance(x2, (int, float, complex)) and x2 == 0:
        return math.copysign(math.inf, x2.real)
    return 1.0 / x2


def _product(x1: Array, x2: Array, y: Array, dx1: Array, dx2: Array) -> Array:
    product = dx1 * x2
    return add_into(product, product if x1 is x2 and dx1 is dx2 else x1 * dx2)


def _quotient(x1: Array, x2: Array, y: Array, dx1: Array, dx2: Array) -> Array:
    # In full size this is two operations fewer than the sum of both terms.
    return divide_into(dx1 - y * dx2, x2)


_LN2 = math.log(2.0)
_LN10 = math.log(10.0)

ELEMENTWISE: dict[str, Rule] = {
    "abs": Elementwise(slope_of_abs),
    "acos": Elementwise(lambda xp, x: -1.0 / xp.sqrt((1.0 - x) * (1.0 + x))),
    "acosh": Elementwise(lambda xp, x: 1.0 / (xp.sqrt(x - 1.0) * xp.sqrt(x + 1.0))),
    "add": Elementwise(1, 1),
    "asin": Elementwise(lambda xp, x: 1.0 / xp.sqrt((1.0 - x) * (1.0 + x))),
    "asinh": Elementwise(lambda xp, x: 1.0 / xp.sqrt(x * x + 1.0)),
    "atan": Elementwise(lambda x: 1.0 / (1.0 + x * x)),
    "atan2": Elementwise(lambda xp, x1, x2: _atan2(xp, x2, x1, x2), lambda xp, x1, x2: _atan2(xp, -x1, x1, x2)),
    "atanh": Elementwise(lambda x: 1.0 / ((1.0 - x) * (1.0 + x))),
    # At a bound the derivative is that of x, as in PyTorch.
    "clip": Elementwise(
        _clipped,
        lambda xp, x, min, y: xp.astype(x < min, y.dtype),
        lambda xp, x, max, y: xp.astype(x > max, y.dtype),
        parameters="x, min, max",
    ),
    "conj": Linear("x", lambda xp, g: xp.conj(g)),
    "copysign": Elementwise(_copysign, None),
    "cos": Elementwise(lambda xp, x: -xp.sin(x)),
    "cosh": Elementwise(lambda xp, x: xp.sinh(x)),
    "divide": Elementwise(_inverse, lambda y, x2: y / -x2, both=_quotient),
    "exp": Elementwise("y"),
    "expm1": Elementwise(lambda y: y + 1.0),
    "hypot": Elementwise(lambda xp, x1, y: _hypot(xp, x1, y), lambda xp, x2, y: _hypot(xp, x2, y)),
    # With pairs of numbers for complex ones and no conjugation in between, the transpose of imag is -i times.
    "imag": Linear("x", lambda xp, g, spec: xp.astype(g, spec.dtype) * -1j),
    "log": Elementwise(lambda x: 1.0 / x),
    "log10": Elementwise(lambda x: 1.0 / (_LN10 * x)),
    "log1p": Elementwise(lambda x: 1.0 / (1.0 + x)),
    "log2": Elementwise(lambda x: 1.0 / (_LN2 * x)),
    "logaddexp": Elementwise(_share, lambda xp, x1, x2, y: _share(xp, x2, x1, y)),
    "maximum": Elementwise(_larger, lambda xp, x1, x2, y: _larger(xp, x2, x1, y)),
    "minimum": Elementwise(lambda xp, x1, x2, y: _larger(xp, x2, x1, y), _larger),
    "multiply": Elementwise("x2", "x1", both=_product),
    "negative": Elementwise(-1),
    "positive": Elementwise(1),
    "pow": Elementwise(_power_of_base, _power_of_exponent),
    "real": Linear("x", lambda xp, g, spec: xp.astype(g, spec.dtype)),
    "reciprocal": Elementwise(lambda y: -y * y),
    # floor(x1 / x2) is another number than x1 // x2 where the quotient is rounded to an integer.
    "remainder": Elementwise(1, lambda x1, x2: -(x1 // x2)),
    "sin": Elementwise(lambda xp, x: xp.cos(x)),
    "sinh": Elementwise(lambda xp, x: xp.cosh(x)),
    "sqrt": Elementwise(lambda y: 0.5 / y),
    "square": Elementwise(lambda x: 2.0 * x),
    "subtract": Elementwise(1, -1),
    "tan": Elementwise(lambda y: 1.0 + y * y),
    "tanh": Elementwise(lambda y: 1.0 - y * y),
    # A cotangent times a mask would be NaN where it is infinite in the branch that was not taken.
    "where": Linear(
        "condition, x1, x2",
        None,
        lambda xp, g, condition: xp.where(condition, g, xp.zeros_like(g)),
        lambda xp, g, condition: xp.where(condition, xp.zeros_like(g), g),
    ),
}
