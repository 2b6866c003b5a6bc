"""Activations that multiply a number by a gate, a function of itself between 0 and 1."""

import math

from nnx.autodiff import primitive
from nnx.backend import namespace
from nnx.functional.checks import expect_choice, expect_real
from nnx.functional.elementwise import with_slope
from nnx.functional.precision import in_float32
from nnx.functional.rectifiers import hardsigmoid
from nnx.functional.sigmoids import sigmoid
from nnx.functional.special import erf
from nnx.types import Array


@primitive
@in_float32
def gelu(x: Array, *, approximate: str = "none") -> Array:
    r"""Gaussian error linear unit: :math:`x\,\Phi(x)`, with the distribution function of the standard normal.

    .. math:: \Phi(x) = \tfrac{1}{2} \left(1 + \operatorname{erf}(x / \sqrt{2})\right)

    Parameters
    ----------
    x : array of any shape, real floating-point
    approximate : {"none", "tanh"}
        ``"tanh"`` replaces it by :math:`\tfrac{1}{2} (1 + \tanh(\sqrt{2 / \pi} (x + 0.044715 x^3)))`, which is quicker.

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ArgumentError
        If ``approximate`` is something else.

    Notes
    -----
    Source: D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415, 2016.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.gelu(np.asarray([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    expect_real(x)
    expect_choice(approximate, ("none", "tanh"), "approximate")
    gate = _normal_gate if approximate == "none" else _tanh_gate
    return _from_below(x, 40.0) * gate(_within(x, 40.0))


def _gelu_slope(x: Array, approximate: str = "none") -> Array:
    x = _within(x, 40.0)
    if approximate == "none":
        density = math.sqrt(0.5 / math.pi) * namespace(x).exp(-0.5 * (x * x))
        return _normal_gate(x) + x * density
    gate, rest = _tanh_gate(x), _tanh_gate(-x)  # not 1 - gate, of whose digits few are right where x is large
    return gate + x * (gate * rest) * (2.0 * math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * 0.044715 * (x * x)))


with_slope(gelu, _gelu_slope)


def _normal_gate(x: Array) -> Array:
    return 0.5 * erf(math.sqrt(0.5) * x) + 0.5


def _tanh_gate(x: Array) -> Array:
    # (1 + tanh(u)) / 2 is sigmoid(2 u), which keeps the digits of small values.
    return sigmoid(2.0 * math.sqrt(2.0 / math.pi) * (x * (1.0 + 0.044715 * (x * x))))


@primitive
@in_float32
def silu(x: Array) -> Array:
    r"""Sigmoid linear unit, also called swish: :math:`x\,\sigma(x)`.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Source: S. Elfwing, E. Uchibe and K. Doya, "Sigmoid-weighted linear units for neural network function approximation
    in reinforcement learning", Neural Networks 107, 2018.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.silu(np.asarray([-1000.0, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """
    expect_real(x)
    return _from_below(x, 1000.0) * sigmoid(x)


def silu_slope(x: Array) -> Array:
    """Return the derivative of :func:`silu`."""
    gate = sigmoid(x)
    return gate * (1.0 + _within(x, 1000.0) * (1.0 - gate))


with_slope(silu, silu_slope)


@primitive
@in_float32
def mish(x: Array) -> Array:
    r"""Mish: :math:`x \tanh(\log(1 + e^x))`.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    The gate is computed with one exponential: with :math:`u = e^x` it is :math:`u (u + 2) / (u (u + 2) + 2)`.
    Source: D. Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.mish(np.asarray([-1.0, 0.0, 1.0])).round(4)
    array([-0.3034,  0.    ,  0.8651])
    """
    expect_real(x)
    return _from_below(x, 1000.0) * _mish_gate(x)


def _mish_slope(x: Array) -> Array:
    gate = _mish_gate(x)
    return gate + _within(x, 1000.0) * ((1.0 - gate * gate) * sigmoid(x))


with_slope(mish, _mish_slope)


def _mish_gate(x: Array) -> Array:
    xp = namespace(x)
    power = xp.exp(xp.where(x > 20.0, 20.0, x))  # from there on the gate rounds to 1
    above = power * (power + 2.0)
    return above / (above + 2.0)


@primitive
@in_float32
def hardswish(x: Array) -> Array:
    r"""Piecewise quadratic swish: :math:`x \min(\max(x / 6 + 1 / 2, 0), 1)`; derivative 0 at -3, 1 at 3.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Source: A. Howard et al., "Searching for MobileNetV3", ICCV 2019.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.hardswish(np.asarray([-1.5, 1.5, 4.0]))
    array([-0.375,  1.125,  4.   ])
    """
    expect_real(x)
    return _from_below(x, 3.0) * hardsigmoid(x)


def _hardswish_slope(x: Array) -> Array:
    xp = namespace(x)
    return xp.where(x <= -3, 0.0, xp.where(x >= 3, 1.0, x / 3.0 + 0.5))


with_slope(hardswish, _hardswish_slope)


def _from_below(x: Array, bound: float) -> Array:
    """Return ``max(x, -bound)``: there the gate is 0, and its product with an infinity would be NaN."""
    return namespace(x).where(x < -bound, -bound, x)


def _within(x: Array, bound: float) -> Array:
    """Return numbers cut to [-bound, bound], beyond which a gate is 0 or 1; powers of larger ones overflow."""
    return namespace(x).where(x > bound, bound, _from_below(x, bound))
