"""Derivatives of the matrix products.

Products are written with ``xp.matmul``, not with ``@``: the arguments may have different dtypes, which torch's operator
refuses.
"""

import math
import operator
from collections.abc import Sequence
from typing import Any

from nnx.autodiff.rules.kinds import Multilinear, Rule
from nnx.autodiff.rules.parts import Spec
from nnx.errors import ArgumentError
from nnx.types import Array, Namespace, Shape


def _matmul_1(xp: Namespace, g: Array, x1: Array, x2: Array) -> Array:
    if x2.ndim == 1:
        return g[..., None] * x2 if x1.ndim > 1 else g * x2
    if x1.ndim == 1:
        return xp.matmul(x2, g[..., None])[..., 0] if x2.ndim > 2 else xp.matmul(x2, g)
    return xp.matmul(g, x2.mT)


def _matmul_2(xp: Namespace, g: Array, x1: Array, x2: Array) -> Array:
    if x1.ndim == 1:
        return x1[:, None] * g[..., None, :] if x2.ndim > 1 else g * x1
    if x2.ndim == 1:
        return xp.matmul(_rows(xp, x1).mT, xp.reshape(g, (math.prod(g.shape),)))
    if x2.ndim == 2 and x1.ndim > 2:  # one product instead of a batch of them that is summed afterwards
        return xp.matmul(_rows(xp, x1).mT, _rows(xp, g))
    return xp.matmul(x1.mT, g)


def _rows(xp: Namespace, x: Array) -> Array:
    """Flatten all axes but the last. The length is computed: -1 is ambiguous if the last axis is empty."""
    return x if x.ndim == 2 else xp.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _outer_1(xp: Namespace, g: Array, x2: Array, spec: Spec) -> Array:
    # NumPy's outer flattens arrays of more axes than one.
    return xp.reshape(xp.matmul(g, xp.reshape(x2, (math.prod(x2.shape),))), spec.shape)


def _outer_2(xp: Namespace, g: Array, x1: Array, spec: Spec) -> Array:
    return xp.reshape(xp.matmul(g.mT, xp.reshape(x1, (math.prod(x1.shape),))), spec.shape)


def _contracted(axes: Any, ndim1: int, ndim2: int) -> tuple[list[int], list[int]]:
    """Return the contracted axes of each argument, from 0. ``axes`` is a number, or two numbers or sequences."""
    if not isinstance(axes, (tuple, list)):
        count = operator.index(axes)
        return list(range(ndim1 - count, ndim1)), list(range(count))
    first, second = (own if isinstance(own, Sequence) else (operator.index(own),) for own in axes)
    return [a % ndim1 for a in first], [a % ndim2 for a in second]


def _tensordot_1(xp: Namespace, g: Array, x2: Array, spec: Spec, axes: Any = 2) -> Array:
    first, second = _contracted(axes, len(spec.shape), x2.ndim)
    return _tensordot(xp, g, x2, spec.shape, first, second, len(spec.shape) - len(first))


def _tensordot_2(xp: Namespace, g: Array, x1: Array, spec: Spec, axes: Any = 2) -> Array:
    first, second = _contracted(axes, x1.ndim, len(spec.shape))
    return _tensordot(xp, g, x1, spec.shape, second, first, 0)


def _tensordot(
    xp: Namespace, g: Array, other: Array, shape: Shape, own: list[int], others: list[int], start: int
) -> Array:
    """Return the cotangent of one argument: ``g`` contracted, from its axis ``start`` on, with the other argument."""
    rest = [i for i in range(other.ndim) if i not in others]
    product = xp.tensordot(g, other, axes=(list(range(start, start + len(rest))), rest))
    # The product has the argument's free axes first, then its contracted ones, in the order of the other argument.
    ndim = len(shape)
    order = [i for i in range(ndim) if i not in own] + [own[others.index(i)] for i in sorted(others)]
    product = xp.permute_dims(product, tuple(order.index(i) for i in range(ndim)))
    # In torch's tensordot an axis of length 1 is broadcast against the other.
    stretched = tuple(n if m == 1 else m for m, n in zip(product.shape, shape, strict=True))
    return product if stretched == tuple(product.shape) else xp.broadcast_to(product, stretched)


def _axis_of_vectors(axis: int, shape: Shape, other: Shape) -> int:
    """Return the axis that vectors lie along, counted from the end.

    An axis counted from the start means an axis of each argument to NumPy, but of the broadcast arguments to torch. The
    standard allows negative axes only.
    """
    if axis < 0:
        return axis
    if len(shape) != len(other):
        raise ArgumentError(
            f"expected an axis counted from the end, as in the standard, for arguments of {len(shape)} and "
            f"{len(other)} axes, got {axis}"
        )
    return axis - len(shape)


def _vecdot_1(xp: Namespace, g: Array, x2: Any, spec: Spec, axis: int = -1) -> Array:
    # vecdot conjugates its first argument.
    return xp.conj(xp.expand_dims(g, axis=_axis_of_vectors(axis, spec.shape, x2.shape)) * x2)


def _vecdot_2(xp: Namespace, g: Array, x1: Any, spec: Spec, axis: int = -1) -> Array:
    return xp.expand_dims(g, axis=_axis_of_vectors(axis, spec.shape, x1.shape)) * xp.conj(x1)


def _cross_1(xp: Namespace, g: Array, x2: Array, spec: Spec, axis: int = -1) -> Array:
    return xp.linalg.cross(x2, g, axis=_axis_of_three(axis, spec.shape, x2.shape))


def _cross_2(xp: Namespace, g: Array, x1: Array, spec: Spec, axis: int = -1) -> Array:
    return xp.linalg.cross(g, x1, axis=_axis_of_three(axis, spec.shape, x1.shape))


def _axis_of_three(axis: int, shape: Shape, other: Shape) -> int:
    axis = _axis_of_vectors(axis, shape, other)
    if (shape[axis], other[axis]) != (3, 3):
        raise ArgumentError(f"expected vectors of length 3, as in the standard, got {shape[axis]} and {other[axis]}")
    return axis


CROSS: Rule = Multilinear("x1, x2", _cross_1, _cross_2)
OUTER: Rule = Multilinear("x1, x2", _outer_1, _outer_2)

LINEAR_ALGEBRA: dict[str, Rule] = {
    "matmul": Multilinear("x1, x2", _matmul_1, _matmul_2),
    "tensordot": Multilinear("x1, x2", _tensordot_1, _tensordot_2),
    "vecdot": Multilinear("x1, x2", _vecdot_1, _vecdot_2),
}
