"""Derivatives of the matrix products."""

from typing import Any

from nnx.autodiff.rules.kinds import Multilinear, Rule
from nnx.types import Array, Namespace


def _matmul_1(xp: Namespace, g: Array, x1: Array, x2: Array) -> Array:
    if x2.ndim == 1:
        return g[..., None] * x2 if x1.ndim > 1 else g * x2
    if x1.ndim == 1:
        return (x2 @ g[..., None])[..., 0] if x2.ndim > 2 else x2 @ g
    return g @ x2.mT


def _matmul_2(xp: Namespace, g: Array, x1: Array, x2: Array) -> Array:
    if x1.ndim == 1:
        return x1[:, None] * g[..., None, :] if x2.ndim > 1 else g * x1
    if x2.ndim == 1:
        rows = x1 if x1.ndim == 2 else xp.reshape(x1, (-1, x1.shape[-1]))
        return rows.mT @ xp.reshape(g, (-1,))
    if x2.ndim == 2 and x1.ndim > 2:  # one product, where a batch of them would then be summed
        return xp.reshape(x1, (-1, x1.shape[-1])).mT @ xp.reshape(g, (-1, g.shape[-1]))
    return x1.mT @ g


def _vecdot_1(xp: Namespace, g: Array, x2: Any, axis: int = -1) -> Array:
    # The first argument of vecdot is conjugated.
    return xp.conj(xp.expand_dims(g, axis=axis) * x2)


LINEAR_ALGEBRA: dict[str, Rule] = {
    "matmul": Multilinear("x1, x2", _matmul_1, _matmul_2),
    "vecdot": Multilinear(
        "x1, x2",
        _vecdot_1,
        lambda xp, g, x1, axis=-1: xp.expand_dims(g, axis=axis) * xp.conj(x1),
    ),
}
