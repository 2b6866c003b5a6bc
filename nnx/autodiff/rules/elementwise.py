"""Derivatives of the elementwise functions: one factor per argument.

At kinks and ties the derivative is a choice, listed in docs/autodiff.md. Where the plain formula of a factor would
overflow, or give 0 * inf, the factor is written in another form.
"""

import cmath
import math
from typing import Any

from nnx.autodiff.rules.factors import Elementwise
from nnx.autodiff.rules.kinds import Linear, Rule
from nnx.autodiff.stopping import stop_gradient
from nnx.backend import add_into, divide_into, multiply_into
from nnx.types import Array, Namespace


def _power_of_base(xp: Namespace, x1: Array, x2: Array | float) -> Array | float:
    if isinstance(x2, (int, float, complex)):
        if x2 == 0:  # x1 ** -1 would be infinite at 0
            return 0.0
        return x2 * x1 if x2 == 2 else x2 * x1 ** (x2 - 1)
    if xp.isdtype(x2.dtype, "integral"):  # x2 - 1 would wrap around for an unsigned 0
        x2 = xp.astype(xp.asarray(x2), xp.result_type(x1.dtype, x2.dtype))
    # For x2 = 0 the derivative is 0, but the factor x2 * x1**(x2 - 1) is 0 * inf at 0 and at subnormal numbers, whose
    # inverse overflows.
    flat = (x2 == 0) & (xp.abs(x1) < xp.finfo(x1.dtype).smallest_normal)
    return x2 * x1 ** xp.where(flat, xp.ones_like(x2), x2 - 1)


def _power_of_exponent(xp: Namespace, y: Array, x1: Array | float) -> Array | float:
    # x1**x2 is constant where x1 = 0 and x2 >= 0, or x1 = inf and x2 < 0, and log(x1) * y would be NaN there.
    if isinstance(x1, (int, float, complex)) and x1 != 0 and abs(x1) != math.inf:
        return y * _log(x1, xp.isdtype(y.dtype, "complex floating"))
    flat = (y == 0) | ((x1 == 0) & xp.isfinite(y))
    base = xp.zeros_like(y) + x1 if isinstance(x1, (int, float, complex)) else xp.astype(x1, y.dtype, copy=False)
    return y * xp.log(xp.where(flat, xp.ones_like(base), base))


def _log(x: Any, is_complex: bool) -> Any:
    if is_complex:
        return cmath.log(x)
    return math.log(x) if x > 0 else math.nan


def _larger(xp: Namespace, x1: Array | float, x2: Array | float, y: Array) -> Array:
    # At a tie each argument gets half of the derivative. For NaN neither comparison holds, and 0 / 0 is NaN again.
    share, other = xp.astype(x1 >= x2, y.dtype), xp.astype(x1 <= x2, y.dtype)
    return divide_into(share, add_into(other, share))


def slope_of_abs(xp: Namespace, x: Array, y: Array) -> Array:
    """Return the derivative of abs, the conjugate of x / abs(x), or 0 at 0."""
    # Comparisons instead of xp.sign, which on a GPU waits for the device.
    if xp.isdtype(x.dtype, "complex floating"):
        zero = y == 0
        return xp.conj(x) / xp.where(zero, xp.ones_like(y), y)
    return _unless_nan(xp, x, xp.astype(x > 0, y.dtype) - xp.astype(x < 0, y.dtype))


def _unless_nan(xp: Namespace, x: Array, slope: Array) -> Array:
    """Return a slope, but NaN where ``x`` is NaN: comparisons alone would give 0 there."""
    x = stop_gradient(x)
    return xp.where(xp.isnan(x), x, slope)


def _hypot(xp: Namespace, x: Array, y: Array) -> Array:
    # At the origin, a kink, the derivative is 0, as for abs. An infinite argument decides alone.
    slope = x / xp.where(y == 0, 1.0, y)
    return xp.where(xp.isinf(x), slope_of_abs(xp, x, y), slope)


def _atan2(xp: Namespace, across: Array | float, along: Array | float) -> Array:
    # across / (across**2 + along**2). Both are divided by the larger magnitude first, since squares over- or underflow.
    # The result does not depend on it, so it is a constant to further derivatives. At the origin the derivative is 0.
    size = stop_gradient(xp.maximum(abs(across), abs(along)))
    infinite = xp.isinf(size)
    size = xp.where((size == 0) | infinite, 1.0, size)
    slope, other = across / size, along / size
    square = add_into(multiply_into(other, other), slope * slope)
    slope = divide_into(divide_into(slope, xp.where(square == 0, 1.0, square)), size)
    return xp.where(infinite, 0.0, slope)


def _atan(xp: Namespace, x: Array) -> Array:
    if xp.isdtype(x.dtype, "complex floating"):
        return 1.0 / (1.0 - 1j * x) / (1.0 + 1j * x)
    # Where x * x overflows, the true slope is below the smallest normal number and becomes 0. In float16, where that is
    # not negligible, it is the square of a slope that does not overflow.
    return _asinh(xp, x) ** 2 if xp.finfo(x.dtype).max < 1e6 else 1.0 / (1.0 + x * x)


def _asinh(xp: Namespace, x: Array) -> Array:
    if xp.isdtype(x.dtype, "complex floating"):
        return 1.0 / (xp.sqrt(1.0 - 1j * x) * xp.sqrt(1.0 + 1j * x))
    # Where x * x would overflow, the 1 is lost in the sum anyway, and the root is abs(x). hypot would take five times
    # as long.
    size = abs(x)
    large = size > 0.25 * xp.finfo(x.dtype).max ** 0.5
    near = xp.where(large, 0.0, x)
    return 1.0 / xp.where(large, size, xp.sqrt(add_into(multiply_into(near, near), 1.0)))


def _share(xp: Namespace, x1: Array | float, x2: Array | float, y: Array) -> Array:
    # The logistic function of x1 - x2: exp(x1 - y) would carry the rounding error of y. The two shares add up to 1. An
    # infinite argument takes all; of two equal infinities each gets half.
    tied = xp.isinf(y) & (x1 == x2)
    gap = xp.where(tied, xp.zeros_like(y), x2) - xp.where(tied, xp.zeros_like(y), x1)
    falls = gap > 0  # the exponent must not be positive, or exp overflows
    power = xp.exp(xp.where(falls, -gap, gap))
    return xp.where(falls, power, 1.0) / (1.0 + power)


def _copysign(xp: Namespace, x1: Array, y: Array) -> Array:
    return slope_of_abs(xp, x1, x1) * slope_of_abs(xp, y, y)


def _inside(xp: Namespace, x: Array, y: Array, min: Any = None, max: Any = None) -> Array:
    # At a bound x gets the derivative, as in PyTorch. Where min > max the result is max, in every library.
    inside = x == x if min is None else x >= min
    if max is not None:
        inside = inside & (x <= max)
    return _unless_nan(xp, y, xp.astype(inside, y.dtype))


def _below(xp: Namespace, x: Array, y: Array, min: Any, max: Any = None) -> Array:
    below = x < min if max is None else (x < min) & (min <= max)
    return _unless_nan(xp, y, xp.astype(below, y.dtype))


def _above(xp: Namespace, x: Array, y: Array, max: Any, min: Any = None) -> Array:
    above = x > max if min is None else (x > max) | (min > max)
    return _unless_nan(xp, y, xp.astype(above, y.dtype))


def _inverse(x2: Array | complex) -> Any:
    # Python raises for a division by 0, where array libraries give an infinity.
    if isinstance(x2, (int, float, complex)) and x2 == 0:
        return math.copysign(math.inf, x2.real)
    return 1.0 / x2


def _product(x1: Array, x2: Array, y: Array, dx1: Array, dx2: Array) -> Array:
    product = dx1 * x2
    return add_into(product, product if x1 is x2 and dx1 is dx2 else x1 * dx2)


def _quotient(x1: Array, x2: Array, y: Array, dx1: Array, dx2: Array) -> Array:
    # Two operations on full arrays fewer than the sum of both terms.
    return divide_into(dx1 - y * dx2, x2)


_LOG2_E = 1.0 / math.log(2.0)
_LOG10_E = 1.0 / math.log(10.0)

ELEMENTWISE: dict[str, Rule] = {
    "abs": Elementwise(slope_of_abs),
    "acos": Elementwise(lambda xp, x: -1.0 / xp.sqrt((1.0 - x) * (1.0 + x))),
    "acosh": Elementwise(lambda xp, x: 1.0 / (xp.sqrt(x - 1.0) * xp.sqrt(x + 1.0))),
    "add": Elementwise(1, 1),
    "asin": Elementwise(lambda xp, x: 1.0 / xp.sqrt((1.0 - x) * (1.0 + x))),
    "asinh": Elementwise(_asinh),
    "atan": Elementwise(_atan),
    "atan2": Elementwise(lambda xp, x1, x2: _atan2(xp, x2, x1), lambda xp, x1, x2: -_atan2(xp, x1, x2)),
    "atanh": Elementwise(lambda x: 1.0 / (1.0 - x) / (1.0 + x)),
    "clip": Elementwise(_inside, _below, _above, parameters="x, min, max"),
    "conj": Linear("x", lambda xp, g: xp.conj(g)),
    "copysign": Elementwise(_copysign, None),
    "cos": Elementwise(lambda xp, x: -xp.sin(x)),
    "cosh": Elementwise(lambda xp, x: xp.sinh(x)),
    "divide": Elementwise(_inverse, lambda y, x2: y / -x2, both=_quotient),
    "exp": Elementwise("y"),
    "expm1": Elementwise(lambda xp, x: xp.exp(x)),
    "hypot": Elementwise(lambda xp, x1, y: _hypot(xp, x1, y), lambda xp, x2, y: _hypot(xp, x2, y)),
    # imag(x) is real(-1j * x), and without conjugation the transpose of a product is the same product.
    "imag": Linear("x", lambda xp, g, spec: xp.astype(g, spec.dtype) * -1j),
    "log": Elementwise(lambda x: 1.0 / x),
    "log10": Elementwise(lambda x: _LOG10_E / x),
    "log1p": Elementwise(lambda x: 1.0 / (1.0 + x)),
    "log2": Elementwise(lambda x: _LOG2_E / x),
    "logaddexp": Elementwise(_share, lambda xp, x1, x2, y: _share(xp, x2, x1, y)),
    "maximum": Elementwise(_larger, lambda xp, x1, x2, y: _larger(xp, x2, x1, y)),
    "minimum": Elementwise(lambda xp, x1, x2, y: _larger(xp, x2, x1, y), _larger),
    "multiply": Elementwise("x2", "x1", both=_product),
    "negative": Elementwise(-1),
    "positive": Elementwise(1),
    "pow": Elementwise(_power_of_base, _power_of_exponent),
    "real": Linear("x", lambda xp, g, spec: xp.astype(g, spec.dtype)),
    "reciprocal": Elementwise(lambda y: -y * y),
    # Not floor(x1 / x2), which differs where the quotient rounds up to an integer.
    "remainder": Elementwise(1, lambda x1, x2: -(x1 // x2)),
    "sin": Elementwise(lambda xp, x: xp.cos(x)),
    "sinh": Elementwise(lambda xp, x: xp.cosh(x)),
    "sqrt": Elementwise(lambda y: 0.5 / y),
    "square": Elementwise(lambda x: 2.0 * x),
    "subtract": Elementwise(1, -1),
    "tan": Elementwise(lambda y: 1.0 + y * y),
    "tanh": Elementwise(lambda y: 1.0 - y * y),
    # Not a product with a mask: 0 times an infinite cotangent is NaN.
    "where": Linear(
        "condition, x1, x2",
        None,
        lambda xp, g, condition: xp.where(condition, g, xp.zeros_like(g)),
        lambda xp, g, condition: xp.where(condition, xp.zeros_like(g), g),
    ),
}
