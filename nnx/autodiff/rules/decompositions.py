"""Derivatives of the matrix decompositions, for ``linalg.py`` beside it, whose docstring has the conventions.

Pullbacks are plain transposes. Where the literature, whose cotangents are conjugates of these, multiplies by ``A^H``,
the code has ``a.mT``, and ``xp.conj(a)`` where it multiplies by ``A`` itself.
"""

from collections.abc import Sequence
from typing import Any

from nnx.backend import device_of
from nnx.types import Array, Namespace


def is_complex(xp: Namespace, x: Array) -> bool:
    """Return whether a matrix holds complex numbers."""
    return bool(xp.isdtype(x.dtype, "complex floating"))


def adjoint(xp: Namespace, x: Array) -> Array:
    """Return the conjugate transpose."""
    return xp.conj(x).mT


def _hermitian_part(xp: Namespace, x: Array) -> Array:
    return 0.5 * (x + adjoint(xp, x))


def eye(xp: Namespace, like: Array) -> Array:
    """Return the identity in the size of a matrix."""
    return xp.eye(like.shape[-1], dtype=like.dtype, device=device_of(like))


def diagonal_matrix(xp: Namespace, x: Array) -> Array:
    """Return a matrix with a vector on its diagonal."""
    return x[..., None] * eye(xp, x)


def _lower_half(xp: Namespace, x: Array) -> Array:
    """Return the lower triangle with half of the diagonal."""
    return xp.tril(x) - 0.5 * x * eye(xp, x)


def _imaginary_diagonal(xp: Namespace, x: Array) -> Array:
    return 1j * xp.astype(xp.imag(x), x.dtype) * eye(xp, x)


def _divided_from_right(xp: Namespace, x: Array, a: Array) -> Array:
    """Return x a^-1."""
    return xp.linalg.solve(a.mT, x.mT).mT


def filled(xp: Namespace, g: Sequence[Array | None], y: Sequence[Array]) -> list[Array]:
    """Return cotangents, with zeros for outputs where none arrived."""
    return [xp.zeros_like(part) if cotangent is None else cotangent for cotangent, part in zip(g, y, strict=True)]


def _inverse_gaps(xp: Namespace, values: Array) -> Array:
    # Vectors that belong to equal values have no derivative of their own. 0 instead of 1 / (b - a) where a == b gives
    # the right derivative for functions that depend only on the space that they span, and keeps that of the values
    # finite. The inner where() avoids a division by 0, whose infinity would become NaN one derivative further.
    gaps = values[..., None, :] - values[..., :, None]
    equal = gaps == 0
    return xp.where(equal, xp.zeros_like(gaps), 1.0 / xp.where(equal, xp.ones_like(gaps), gaps))


def reciprocal(xp: Namespace, values: Array) -> Array:
    """Return 1 / x, and 0 where x is 0."""
    zero = values == 0
    return xp.where(zero, xp.zeros_like(values), 1.0 / xp.where(zero, xp.ones_like(values), values))


def cholesky(xp: Namespace, g: Array, y: Array, upper: bool = False) -> Array:
    """Return the cotangent of a positive definite matrix."""
    # L^-H P(L^H g) L^-1, made Hermitian, where P takes the lower triangle with half of the diagonal: dL = L P(...).
    lower, g = (adjoint(xp, y), adjoint(xp, g)) if upper else (y, g)
    inner = _lower_half(xp, lower.mT @ g)
    return _hermitian_part(xp, _divided_from_right(xp, xp.linalg.solve(lower.mT, inner), xp.conj(lower)))


def eigh(xp: Namespace, g: Any, y: Any) -> Array:
    """Return the cotangent of a Hermitian matrix from those of its eigenvalues and vectors."""
    # dw = diag(V^H dA V) and dV = V (F * V^H dA V), where F_ij = 1 / (w_j - w_i).
    values, vectors = y
    g_values, g_vectors = filled(xp, g, y)
    inner = diagonal_matrix(xp, g_values) + _inverse_gaps(xp, values) * (vectors.mT @ g_vectors)
    return _hermitian_part(xp, xp.conj(vectors) @ inner @ vectors.mT)


def eig(xp: Namespace, g: Any, y: Any) -> Array:
    """Return the cotangent of a matrix from those of its eigenvalues and right vectors."""
    # As for eigh, with V^-1 for V^H. A matrix with repeated eigenvalues may lack eigenvectors: then this is not
    # finite, and neither is the derivative.
    values, vectors = y
    g_values, g_vectors = filled(xp, g, y)
    # The vectors keep length 1, so the part of a cotangent along its own vector has no effect.
    along = xp.sum(xp.real(vectors * g_vectors), axis=-2, keepdims=True)
    inner = vectors.mT @ (g_vectors - xp.conj(vectors) * along)
    inner = diagonal_matrix(xp, g_values) + _inverse_gaps(xp, values) * inner
    return xp.linalg.solve(vectors.mT, inner @ vectors.mT)


def _folded(xp: Namespace, g: Array, y: Array, count: int) -> tuple[Array, Array]:
    """Return the first columns of a unitary matrix, and the cotangent of all its columns expressed as theirs.

    The remaining columns are some basis of the orthogonal complement: they have a derivative only as far as the
    function depends on the space that they span, and that turns with the first columns.
    """
    first, rest = y[..., :count], y[..., count:]
    g_first, g_rest = g[..., :count], g[..., count:]
    if y.shape[-1] > count:
        g_first = g_first - xp.conj(rest) @ adjoint(xp, g_rest) @ xp.conj(first)
    return g_first, first


def qr(xp: Namespace, g: Any, x: Array, y: Any) -> Array:
    """Return the cotangent of a matrix from those of its factors Q and R."""
    # (Q_bar + Q H) R^-H, where H is Hermitian with the upper triangle of R_bar R^H - Q^H Q_bar. It needs the first
    # min(rows, columns) columns of x to be independent.
    g_q, g_r = filled(xp, g, y)
    count = min(x.shape[-2:])
    g_q, q = _folded(xp, g_q, y[0], count)
    g_r, r = g_r[..., :count, :], y[1][..., :count, :]
    g_wide = g_r[..., count:]
    if x.shape[-1] > count:  # wide: the further columns of r are q^H x, so their cotangent reaches both q and x
        g_q = g_q + xp.conj(x[..., count:]) @ adjoint(xp, g_wide)
    r = r[..., :count]
    inner = g_r[..., :count] @ r.mT - q.mT @ g_q
    inner = inner - _lower_half(xp, inner - adjoint(xp, inner))  # mirrors the upper triangle
    g_x = xp.linalg.solve(r, (g_q + xp.conj(q) @ inner).mT).mT
    return xp.concat([g_x, xp.conj(q) @ g_wide], axis=-1) if x.shape[-1] > count else g_x


def svd(xp: Namespace, g: Any, y: Any) -> Array:
    """Return the cotangent of a matrix from those of its singular values and vectors."""
    # A pair of complex singular vectors has a free phase: a function that depends on it has no derivative.
    # The four summands of g_x, in order: the values and the turning of the vectors within their spaces; the phase of
    # u relative to v; what u does outside its space, for a tall matrix; the same of v, for a wide one.
    values = y[1]
    count = values.shape[-1]
    g_u, g_values, g_vh = filled(xp, g, y)
    g_u, u = _folded(xp, g_u, y[0], count)
    g_v, v = _folded(xp, adjoint(xp, g_vh), adjoint(xp, y[2]), count)
    gaps = _inverse_gaps(xp, values * values)  # as for eigh of A A^H, whose eigenvalues are the squares
    inner_u, inner_v = u.mT @ g_u, v.mT @ g_v
    half_u, half_v = gaps * inner_u, gaps * inner_v
    inverse = reciprocal(xp, values)
    scale = values[..., None, :]
    inner = (half_u + adjoint(xp, half_u)) * scale + (half_v + adjoint(xp, half_v)) * values[..., None]
    inner = inner + diagonal_matrix(xp, g_values)
    if is_complex(xp, u):  # the diagonal of u^H du is imaginary, and for real vectors 0
        inner = inner + _imaginary_diagonal(xp, inner_u) * inverse[..., None]
    g_x = xp.conj(u) @ inner @ v.mT
    if u.shape[-2] > count:
        g_x = g_x + ((g_u - xp.conj(u) @ inner_u) * inverse[..., None, :]) @ v.mT
    if v.shape[-2] > count:
        g_x = g_x + xp.conj(u) @ adjoint(xp, (g_v - xp.conj(v) @ inner_v) * inverse[..., None, :])
    return g_x
