r"""Derivatives of the extension ``linalg``.

Cotangents are transposes without a conjugate: where the literature, which pairs with a conjugate, has the cotangent
:math:`\bar A`, the code has its conjugate. Of an argument that has to be Hermitian, the derivative is that of its
Hermitian part. Sources: M. B. Giles, "Collected matrix derivative results for forward and reverse mode", 2008; for
complex matrices Z.-Q. Wan and S.-X. Zhang, "Automatic differentiation for complex valued SVD", 2019.
"""

import math
from collections.abc import Callable
from typing import Any

from nnx.autodiff.rules.decompositions import adjoint, cholesky, eig, eigh, filled, is_complex, qr, svd
from nnx.autodiff.rules.determinant import cofactor
from nnx.autodiff.rules.elementwise import slope_of_abs
from nnx.autodiff.rules.kinds import Rule, Transposed, Weighted
from nnx.autodiff.rules.linear_algebra import CROSS, LINEAR_ALGEBRA, OUTER
from nnx.autodiff.rules.manipulation import MANIPULATION
from nnx.autodiff.rules.statistical import shared_extremum
from nnx.autodiff.stopping import call_underlying
from nnx.backend import namespace
from nnx.errors import ArgumentError
from nnx.types import Array, Namespace


def _det(g: Array, x: Array) -> Array:
    return g[..., None, None] * cofactor(x)


def _slogdet(xp: Namespace, g: Any, x: Array, y: Any) -> Array:
    g_sign, g_log = filled(xp, g, y)
    # d log abs(det) + i d arg(det) = tr(A^-1 dA); of a real matrix the sign is constant.
    factor = xp.astype(g_log, x.dtype, copy=False)
    if is_complex(xp, x):
        factor = factor + 1j * xp.astype(xp.imag(g_sign * y[0]), x.dtype)
    return factor[..., None, None] * xp.linalg.inv(x).mT


def _inv(xp: Namespace, g: Array, y: Array) -> Array:
    return -(y.mT @ g @ y.mT)


def _pinv(xp: Namespace, g: Array, x: Array, y: Array) -> Array:
    # Golub and Pereyra (1973): -P dA P, and two terms for what dA does outside the column and row space. Where the rank
    # of x changes, pinv jumps and has no derivative.
    transpose, g_adjoint = y.mT, adjoint(xp, g)
    rows = g_adjoint @ xp.conj(y) @ transpose
    columns = transpose @ xp.conj(y) @ g_adjoint
    rest = rows - transpose @ (x.mT @ rows) + columns - (columns @ x.mT) @ transpose
    return rest - transpose @ g @ transpose


def _solve_2(xp: Namespace, g: Array, x1: Array, x2: Array) -> Array:
    if x2.ndim == 1:
        return xp.linalg.solve(x1.mT, g[..., None])[..., 0]
    return xp.linalg.solve(x1.mT, g)


def _solve_1(xp: Namespace, g: Array, x1: Array, x2: Array, y: Array) -> Array:
    solved = _solve_2(xp, g, x1, x2)
    return -(solved[..., None] * y[..., None, :]) if x2.ndim == 1 else -(solved @ y.mT)


def _vector_norm(xp: Namespace, x: Array, y: Array, axis: Any = None, ord: float = 2) -> tuple[Array, Any]:
    # The derivative is 0 at the kinks: at 0 and, for some orders, at every element that is 0.
    if ord == 0 or 0 in x.shape:
        return xp.zeros_like(x), 1.0
    length = xp.where(y == 0, xp.ones_like(y), y)
    # Always ratios to the norm, which lie in [0, 1] for positive orders: powers of the elements could overflow.
    if ord == 2:
        return (xp.conj(x) if is_complex(xp, x) else x) / length, 1.0
    size = xp.abs(x)
    slope = slope_of_abs(xp, x, size)
    if ord in (math.inf, -math.inf):
        # Found again, not compared with y: a library may round abs() differently for another memory layout.
        extremum = (xp.max if ord > 0 else xp.min)(size, axis=axis, keepdims=True)
        ties, share = shared_extremum(xp, size, extremum, axis)
        return slope * ties, share
    # For a negative order the norm is 0 if an element is.
    ratio = xp.where((size == 0) | (y == 0), xp.ones_like(size), size / length)
    return slope * ratio ** (ord - 1), xp.astype(y != 0, y.dtype)


LINALG: dict[str, Rule] = {
    "cholesky": Transposed("x", cholesky),
    "cross": CROSS,
    "det": Transposed("x", _det),
    "eig": Transposed("x", eig),
    "eigh": Transposed("x", eigh),
    "inv": Transposed("x", _inv),
    "matmul": LINEAR_ALGEBRA["matmul"],
    "matrix_transpose": MANIPULATION["matrix_transpose"],
    "outer": OUTER,
    "pinv": Transposed("x", _pinv),
    "qr": Transposed("x", qr),
    "slogdet": Transposed("x", _slogdet),
    "solve": Transposed("x1, x2", _solve_1, _solve_2),
    "svd": Transposed("x", svd),
    "tensordot": LINEAR_ALGEBRA["tensordot"],
    "vecdot": LINEAR_ALGEBRA["vecdot"],
    "vector_norm": Weighted(_vector_norm),
}


def _diagonal(linalg: Namespace, x: Array, /, *, offset: int = 0) -> Array:
    # The diagonal is every (columns + 1)-th element of the flat matrix, starting in the top row or left column.
    rows, columns = x.shape[-2:]
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    start = 0 if count == 0 else offset if offset >= 0 else -offset * columns
    stop = min(start + count * (columns + 1), rows * columns)
    flat = namespace(x).reshape(x, (*x.shape[:-2], rows * columns))
    return flat[..., start : stop : columns + 1]


def _eigvals(linalg: Namespace, x: Array, /) -> Array:
    return linalg.eig(x)[0]


def _eigvalsh(linalg: Namespace, x: Array, /) -> Array:
    return linalg.eigh(x)[0]


def _matrix_norm(linalg: Namespace, x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    xp = namespace(x)
    if ord == "fro":
        return linalg.vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord not in ("nuc", 1, -1, 2, -2, float("inf"), -float("inf")):
        raise ArgumentError(f"expected ord to be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    is_spectral = ord in ("nuc", 2, -2)
    values = linalg.svdvals(x) if is_spectral else xp.sum(xp.abs(x), axis=-2 if ord in (1, -1) else -1)
    adds_up = ord == "nuc" or values.shape[-1] == 0  # the norm of nothing is 0
    norm = (xp.sum if adds_up else xp.max if ord > 0 else xp.min)(values, axis=-1)
    return norm[..., None, None] if keepdims else norm


def _matrix_power(linalg: Namespace, x: Array, n: int, /) -> Array:
    if n == 0:
        return call_underlying(linalg.untraced.matrix_power, (x, 0), {})
    # By repeated squaring: the product of those powers x^(2^k) whose bit is set in n.
    square, power, n = (x if n > 0 else linalg.inv(x)), None, abs(n)
    while True:
        if n % 2:
            power = square if power is None else power @ square
        n //= 2
        if n == 0:
            return power
        square = square @ square


def _svdvals(linalg: Namespace, x: Array, /) -> Array:
    return linalg.svd(x, full_matrices=False)[1]


def _trace(linalg: Namespace, x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    return namespace(x).sum(linalg.diagonal(x, offset=offset), axis=-1, dtype=dtype)


COMPOSED_LINALG: dict[str, Callable[..., Any]] = {
    "diagonal": _diagonal,
    "eigvals": _eigvals,
    "eigvalsh": _eigvalsh,
    "matrix_norm": _matrix_norm,
    "matrix_power": _matrix_power,
    "svdvals": _svdvals,
    "trace": _trace,
}
"""Functions written in terms of others; the first argument is the traced ``linalg``."""
