"""Derivatives of the reductions."""

import math
from typing import Any

from nnx.autodiff.rules.kinds import Linear, Nonlinear, Rule, Spec, keep_axes, normalise_axes, spread
from nnx.types import Array, Namespace


def _extremum(
    xp: Namespace, g: Array, x: Array, y: Array, spec: Spec, axis: Any = None, keepdims: bool = False
) -> Array:
    # Elements that share the extremum share the derivative evenly.
    ties = xp.astype(x == keep_axes(xp, y, spec.shape, axis, keepdims), spec.dtype)
    axes = normalise_axes(axis, len(spec.shape))
    return ties * (keep_axes(xp, g, spec.shape, axis, keepdims) / xp.sum(ties, axis=axes, keepdims=True))


def _mean(xp: Namespace, g: Array, spec: Spec, axis: Any = None, keepdims: bool = False) -> Array:
    return spread(xp, g / _count(spec, axis), spec, axis, keepdims)


def _var(
    xp: Namespace,
    g: Array,
    x: Array,
    spec: Spec,
    axis: Any = None,
    correction: float = 0.0,
    keepdims: bool = False,
) -> Array:
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    scale = 2.0 / (_count(spec, axis) - correction)
    return centred * (scale * keep_axes(xp, g, spec.shape, axis, keepdims))


def _std(
    xp: Namespace,
    g: Array,
    x: Array,
    y: Array,
    spec: Spec,
    axis: Any = None,
    correction: float = 0.0,
    keepdims: bool = False,
) -> Array:
    return _var(xp, g * (0.5 / y), x, spec, axis, correction, keepdims)


def _count(spec: Spec, axis: Any) -> int:
    return math.prod(spec.shape[a] for a in normalise_axes(axis, len(spec.shape)))


STATISTICAL: dict[str, Rule] = {
    "max": Nonlinear("x", _extremum),
    "mean": Linear("x", _mean),
    "min": Nonlinear("x", _extremum),
    "std": Nonlinear("x", _std),
    "sum": Linear("x", lambda xp, g, spec, axis=None, keepdims=False: spread(xp, g, spec, axis, keepdims)),
    "var": Nonlinear("x", _var),
}
