"""Elementwise functions, computed in place on blocks that stay in the cache.

For a large array, fresh memory costs more than the arithmetic: the portable bodies make an array in each of their
steps. ``numpy.where`` is avoided too, since it is slow for a mask without a pattern.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.backend import namespace
from nnx.functional import celu, elu, log_sigmoid, mish, selu, sigmoid, silu, softplus, tanh
from nnx.functional.exponential_units import SELU_ALPHA, SELU_SCALE

BLOCK = 16_384
DTYPES = frozenset(map(np.dtype, ("float32", "float64")))

Body = Callable[..., None]
"""``body(x, out, **options)`` writes its result into ``out``; it may overwrite nothing else."""


def elementwise(
    function: Primitive[..., Any],
    body: Body,
    slope: Body,
    *,
    of_output: bool = False,
    accepts: Callable[..., bool] = lambda **options: True,
) -> None:
    """Register a kernel made of two bodies: the function, and its derivative.

    Parameters
    ----------
    function : Primitive
    body : callable
    slope : callable
        Computes the derivative from the input, or from the output if ``of_output``; the other one is not kept.
    of_output : bool
    accepts : callable
        ``accepts(**options)`` returns whether these are options that it computes with.
    """

    @function.kernel("numpy", fresh=True)
    def _(wanted: Sequence[Any], x: Any, **options: Any) -> tuple[Any, Pullback] | Declined:
        if type(x) is not np.ndarray or x.dtype not in DTYPES:
            return Declined("x is not an array of float32 or float64")
        if not accepts(**options):
            return Declined("an option is not one of those that it computes with")
        y = _computed(body, x, options)
        kept = y if of_output else x

        def pullback(g: Any) -> Sequence[Any]:
            if type(g) is TracedArray:  # the pullback is linear in g, so the factor is enough; no portable body needed
                return (namespace(g).multiply(_computed(slope, kept, options), g),)
            return (_computed(slope, kept, options, g),)

        return y, pullback if wanted[0] else _nothing


def _nothing(g: Any) -> Sequence[Any]:
    return (None,)


def _computed(body: Body, x: Any, options: dict[str, Any], factor: Any = None) -> Any:
    """Return what a body computes of ``x``, times a factor, block by block."""
    made = np.empty(x.shape, x.dtype)
    source, out = x.reshape(-1), made.reshape(-1)
    factors = None if factor is None else factor.reshape(-1)
    with np.errstate(over="ignore"):  # an exponential that overflows is the right one
        for start in range(0, out.size, BLOCK):
            block = slice(start, start + BLOCK)
            body(source[block], out[block], **options)
            if factors is not None:
                out[block] *= factors[block]
    return made


def _sigmoid(x: Any, out: Any) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


def _sigmoid_slope(y: Any, out: Any) -> None:
    np.subtract(1, y, out=out)
    out *= y


def _tanh_slope(y: Any, out: Any) -> None:
    np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)


def _log_sigmoid(x: Any, out: Any) -> None:
    _log1p_exp(x, out)
    np.subtract(np.minimum(x, 0), out, out=out)


def _log_sigmoid_slope(x: Any, out: Any) -> None:
    _sigmoid(-x, out)


def _softplus(x: Any, out: Any, beta: float = 1.0) -> None:
    scaled = x if beta == 1 else beta * x
    _log1p_exp(scaled, out)
    out += np.maximum(scaled, 0)
    if beta != 1:
        out /= beta


def _softplus_slope(x: Any, out: Any, beta: float = 1.0) -> None:
    _sigmoid(x if beta == 1 else beta * x, out)


def _log1p_exp(x: Any, out: Any) -> None:
    """Write ``log(1 + exp(-abs(x)))``."""
    np.abs(x, out=out)
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)


def _silu(x: Any, out: Any) -> None:
    _sigmoid(x, out)
    out *= np.maximum(x, -1000)  # minus infinity times 0 would be NaN


def _silu_slope(x: Any, out: Any) -> None:
    gate = np.empty_like(out)
    _sigmoid(x, gate)
    np.subtract(1, gate, out=out)
    out *= np.clip(x, -1000, 1000)
    out += 1
    out *= gate


def _mish(x: Any, out: Any) -> None:
    np.minimum(x, 20, out=out)  # from there on the gate is 1
    np.exp(out, out=out)
    out *= out + 2
    out /= out + 2
    out *= np.maximum(x, -1000)


def _mish_slope(x: Any, out: Any) -> None:
    power = np.exp(np.minimum(x, 20))
    np.add(power, 2, out=out)
    out *= power
    gate = out / (out + 2)
    power /= power + 1  # the sigmoid
    np.multiply(gate, gate, out=out)
    np.subtract(1, out, out=out)
    out *= power
    out *= np.clip(x, -1000, 1000)
    out += gate


def _unit(scale: float, depth: float, rate: float, x: Any, out: Any) -> None:
    np.minimum(x, 0, out=out)
    out *= rate
    np.expm1(out, out=out)
    out *= depth
    above = np.maximum(x, 0)  # one of the two is 0
    above *= scale
    out += above


def _unit_slope(scale: float, depth: float, rate: float, x: Any, out: Any) -> None:
    np.minimum(x, 0, out=out)
    out *= rate
    np.exp(out, out=out)
    out *= depth * rate
    if scale != depth * rate:
        step = (x > 0).astype(out.dtype)
        step *= scale - depth * rate
        out += step


_SELU = SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1.0

elementwise(sigmoid, _sigmoid, _sigmoid_slope, of_output=True)
elementwise(tanh, lambda x, out: np.tanh(x, out=out), _tanh_slope, of_output=True)
elementwise(log_sigmoid, _log_sigmoid, _log_sigmoid_slope)
elementwise(softplus, _softplus, _softplus_slope, accepts=lambda beta=1.0: beta > 0)
elementwise(silu, _silu, _silu_slope)
elementwise(mish, _mish, _mish_slope)
elementwise(
    elu,
    lambda x, out, alpha=1.0: _unit(1.0, alpha, 1.0, x, out),
    lambda x, out, alpha=1.0: _unit_slope(1.0, alpha, 1.0, x, out),
)
elementwise(selu, lambda x, out: _unit(*_SELU, x, out), lambda x, out: _unit_slope(*_SELU, x, out))
elementwise(
    celu,
    lambda x, out, alpha=1.0: _unit(1.0, alpha, 1.0 / alpha, x, out),
    lambda x, out, alpha=1.0: _unit_slope(1.0, alpha, 1.0 / alpha, x, out),
    accepts=lambda alpha=1.0: alpha > 0,
)
