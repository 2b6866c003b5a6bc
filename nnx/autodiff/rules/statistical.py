"""Derivatives of reductions and cumulative functions."""

import math
from typing import Any

from nnx.autodiff.rules.kinds import Linear, Rule, Transposed, Weighted
from nnx.autodiff.rules.parts import Spec
from nnx.autodiff.rules.shapes import at, normalize_axes, spread
from nnx.backend import divide_into, multiply_into, summed
from nnx.types import Array, Namespace


def shared_extremum(xp: Namespace, x: Array, y: Array, axis: Any = None) -> tuple[Array, Array]:
    """Return weights and scale of a maximum or minimum ``y``: the elements of ``x`` that attain it share evenly."""
    ties = xp.astype(x == y, x.dtype)
    return ties, 1.0 / summed(xp, ties, axis, keepdims=True)


def _var(xp: Namespace, x: Array, spec: Spec, axis: Any = None, correction: float = 0.0) -> tuple[Array, Any]:
    weight, scale = _of_freedom(2.0, spec, axis, correction)
    return multiply_into(_centered(xp, x, axis), weight), scale


def _std(
    xp: Namespace, x: Array, y: Array, spec: Spec, axis: Any = None, correction: float = 0.0
) -> tuple[Array, Array]:
    # Where y is 0 all deviations are 0, and the derivative is taken to be 0, as for a norm.
    centered = divide_into(_centered(xp, x, axis), xp.where(y == 0, xp.ones_like(y), y))
    weight, scale = _of_freedom(1.0, spec, axis, correction)
    return multiply_into(centered, weight), scale


def _centered(xp: Namespace, x: Array, axis: Any) -> Array:
    centered = x - xp.mean(x, axis=axis, keepdims=True)
    # Complex numbers are beyond the standard, which some libraries take all the same.
    return xp.conj(centered) if xp.isdtype(x.dtype, "complex floating") else centered


def _of_freedom(numerator: float, spec: Spec, axis: Any, correction: float) -> tuple[float, float]:
    """Return two factors whose product is the numerator divided by the degrees of freedom.

    For many elements float16 can hold neither that quotient nor the sum of weights before it is divided. So about the
    square root goes into each weight, a power of two that rounds nothing, and the rest into the scale of their sum.
    """
    # Without degrees of freedom the libraries divide by 0, which Python refuses to do.
    freedom = max(_count(spec, axis) - correction, 0.0)
    if freedom == 0:
        return math.inf, 1.0
    weight = 2.0 ** -(math.frexp(freedom)[1] // 2)
    return weight, numerator / freedom / weight


def products_of_others(xp: Namespace, x: Array, spec: Spec, axis: Any = None) -> Array:
    """Return for each element the product of all others, without a division, which a zero would spoil."""
    # The product of the elements before it times the product of those after it, over all reduced axes made one.
    axes = normalize_axes(axis, len(spec.shape))
    kept = [i for i in range(len(spec.shape)) if i not in axes]
    order = (*kept, *axes)
    lengths = [spec.shape[i] for i in order]
    flat = xp.reshape(xp.permute_dims(x, order), (*lengths[: len(kept)], math.prod(lengths[len(kept) :])))
    before = _shifted(xp, xp.cumulative_prod(flat, axis=-1))
    after = xp.flip(_shifted(xp, xp.cumulative_prod(xp.flip(flat, axis=-1), axis=-1)), axis=-1)
    inverse = tuple(order.index(i) for i in range(len(order)))
    return xp.permute_dims(xp.reshape(before * after, tuple(lengths)), inverse)


def _shifted(xp: Namespace, products: Array) -> Array:
    """Shift running products by one, with 1 in front: from products up to each element to those before it."""
    if products.shape[-1] == 0:
        return products
    return xp.concat([xp.ones_like(products[..., :1]), products[..., :-1]], axis=-1)


def _with_axis(xp: Namespace, array: Array, spec: Spec, axis: int | None) -> tuple[Array, int]:
    """Return the array and axis of a cumulative function, from 0; libraries treat a 0-d array as a vector of one."""
    if not spec.shape:
        return xp.reshape(array, (-1,)), 0
    return array, 0 if axis is None else axis % len(spec.shape)


def _cumulative_sum(
    xp: Namespace, g: Array, spec: Spec, axis: int | None = None, include_initial: bool = False
) -> Array:
    # The transpose sums from the other end: x_k is in the sums from k on.
    g, axis = _with_axis(xp, g, spec, axis)
    flipped = xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis)
    return at(flipped, axis, slice(1, None)) if include_initial else flipped


def _cumulative_prod(
    xp: Namespace, g: Array, x: Array, spec: Spec, axis: int | None = None, include_initial: bool = False
) -> Array:
    # With y_k = y_{k-1} x_k the cotangent is y_{k-1} a_k, where a_k = g_k + x_{k+1} a_{k+1}. The usual formula divides
    # a sum by x_k, which may be 0.
    if 0 in spec.shape:
        return xp.zeros_like(x)
    (g, axis), (x, _) = _with_axis(xp, g, spec, axis), _with_axis(xp, x, spec, axis)
    last = xp.moveaxis(x, axis, -1)
    g = xp.moveaxis(g, axis, -1)
    if include_initial:
        g = g[..., 1:]
    before = _shifted(xp, xp.cumulative_prod(last, axis=-1))
    return xp.moveaxis(before * _backward_recurrence(xp, last[..., 1:], g), -1, axis)


def _backward_recurrence(xp: Namespace, slopes: Array, values: Array) -> Array:
    """Solve a_k = values_k + slopes_k a_{k+1} along the last axis, in log2 of its length passes.

    There is one slope fewer than values: a 0 for the last one could be multiplied by an infinity.
    """
    # Each pass composes two steps: a_k = v_k + s_k (v_{k+1} + s_{k+1} a_{k+2}), then with twice the distance.
    step, length = 1, values.shape[-1]
    while step < length:
        moved = values[..., :-step] + slopes * values[..., step:]
        values = xp.concat([moved, values[..., -step:]], axis=-1)
        slopes = slopes[..., :-step] * slopes[..., step:] if 2 * step < length else slopes
        step *= 2
    return values


def _divided(g: Array, count: int) -> Array:
    """Return an array divided by a count, which may exceed the range of float16, as may its inverse."""
    if count < 32768:
        return g / count
    mantissa, exponent = math.frexp(count)
    half = exponent // 2
    return g / mantissa * 2.0**-half * 2.0 ** (half - exponent)


def _count(spec: Spec, axis: Any) -> int:
    return math.prod(spec.shape[a] for a in normalize_axes(axis, len(spec.shape)))


STATISTICAL: dict[str, Rule] = {
    "cumulative_prod": Transposed("x", _cumulative_prod),
    "cumulative_sum": Linear("x", _cumulative_sum),
    "max": Weighted(shared_extremum),
    "mean": Linear(
        "x",
        lambda xp, g, spec, axis=None, keepdims=False: spread(
            xp, _divided(g, _count(spec, axis)), spec, axis, keepdims
        ),
    ),
    "min": Weighted(shared_extremum),
    "prod": Weighted(lambda xp, x, spec, axis=None: (products_of_others(xp, x, spec, axis), 1.0)),
    "std": Weighted(_std),
    "sum": Linear("x", lambda xp, g, spec, axis=None, keepdims=False: spread(xp, g, spec, axis, keepdims)),
    "var": Weighted(_var),
}
