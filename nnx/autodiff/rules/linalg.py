r"""Derivatives of the extension ``linalg``.

Cotangents are transposes without a conjugate: where a textbook, which pairs with a conjugate, has the cotangent
:math:`\bar A`, here stands its conjugate. Of an argument that has to be Hermitian the Hermitian part counts.
Sources: M. B. Giles, "Collected matrix derivative results for forward and reverse mode", 2008; for complex matrices
Z.-Q. Wan and S.-X. Zhang, "Automatic differentiation for complex valued SVD", 2019.
"""

from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitive import Primitive, Pullback
from nnx.autodiff.rules.composed import tensordot
from nnx.autodiff.rules.elementwise import slope_of_abs
from nnx.autodiff.rules.kinds import Multilinear, Rule, Transposed, Weighted
from nnx.autodiff.rules.linear_algebra import LINEAR_ALGEBRA
from nnx.autodiff.rules.manipulation import MANIPULATION
from nnx.autodiff.rules.parts import Spec
from nnx.autodiff.rules.statistical import products_of_others, shared_extremum
from nnx.autodiff.traced import stop_gradient
from nnx.backend import device_of, namespace
from nnx.errors import ArgumentError
from nnx.types import Array, Namespace


def _is_complex(xp: Namespace, x: Array) -> bool:
    return bool(xp.isdtype(x.dtype, "complex floating"))


def _adjoint(xp: Namespace, x: Array) -> Array:
    return xp.conj(x).mT


def _hermitian_part(xp: Namespace, x: Array) -> Array:
    return 0.5 * (x + _adjoint(xp, x))


def _eye(xp: Namespace, like: Array) -> Array:
    return xp.eye(like.shape[-1], dtype=like.dtype, device=device_of(like))


def _diagonal_matrix(xp: Namespace, x: Array) -> Array:
    return x[..., None] * _eye(xp, x)


def _lower_half(xp: Namespace, x: Array) -> Array:
    """Return the lower triangle with half of the diagonal."""
    return xp.tril(x) - 0.5 * x * _eye(xp, x)


def _imaginary_diagonal(xp: Namespace, x: Array) -> Array:
    return 1j * xp.astype(xp.imag(x), x.dtype) * _eye(xp, x)


def _divided_from_right(xp: Namespace, x: Array, a: Array) -> Array:
    """Return x a^-1."""
    return xp.linalg.solve(a.mT, x.mT).mT


def _filled(xp: Namespace, g: Sequence[Array | None], y: Sequence[Array]) -> list[Array]:
    """Return cotangents with zeros where none arrived."""
    return [xp.zeros_like(part) if cotangent is None else cotangent for cotangent, part in zip(g, y, strict=True)]


def _inverse_gaps(xp: Namespace, values: Array) -> Array:
    # Vectors of equal values have no derivative of their own. 0 for 1 / (b - a) where a == b leaves the derivative
    # of what depends on their common space alone, and keeps that of the values finite.
    gaps = values[..., None, :] - values[..., :, None]
    equal = gaps == 0
    return xp.where(equal, xp.zeros_like(gaps), 1.0 / xp.where(equal, xp.ones_like(gaps), gaps))


def _reciprocal(xp: Namespace, values: Array) -> Array:
    zero = values == 0
    return xp.where(zero, xp.zeros_like(values), 1.0 / xp.where(zero, xp.ones_like(values), values))


def _cholesky(xp: Namespace, g: Array, y: Array, upper: bool = False) -> Array:
    lower, g = (_adjoint(xp, y), _adjoint(xp, g)) if upper else (y, g)
    inner = _lower_half(xp, lower.mT @ g)
    return _hermitian_part(xp, _divided_from_right(xp, xp.linalg.solve(lower.mT, inner), xp.conj(lower)))


def _cofactor(x: Array) -> Array:
    # det(x) x^-T, which is finite where x has no inverse.
    xp = namespace(x)
    u, values, vh = xp.linalg.svd(x, full_matrices=False)
    others = products_of_others(xp, values, Spec(tuple(values.shape), values.dtype), axis=-1)
    phase = xp.linalg.det(u) * xp.linalg.det(vh)
    return phase[..., None, None] * ((xp.conj(u) * others[..., None, :]) @ xp.conj(vh))


def _cofactor_tangent(x: Array, tangent: Array) -> Array:
    """Return the derivative of the matrix of cofactors: a symmetric one, so its transpose too."""
    # A singular matrix is moved a little, by what makes the least error: about the third root of a rounding error.
    xp = namespace(x, tangent)
    singular = (xp.linalg.det(x) == 0)[..., None, None]
    size = xp.sum(xp.abs(x), axis=(-2, -1), keepdims=True)
    size = xp.where(size == 0, xp.ones_like(size), size) * xp.finfo(x.dtype).eps ** (1 / 3)
    x = x + xp.where(singular, size, xp.zeros_like(size)) * _eye(xp, x)
    inverse = xp.linalg.inv(x)
    product = inverse @ tangent
    trace = xp.linalg.trace(product)[..., None, None]
    return (xp.linalg.det(x)[..., None, None] * (trace * inverse - product @ inverse)).mT


cofactor: Primitive[..., Array] = Primitive(_cofactor)
"""The derivative of the determinant."""
cofactor.name = "cofactor"
cofactor.with_tangent(lambda args, tangents, options: (cofactor(*args), _cofactor_tangent(args[0], tangents[0])))


@cofactor.with_pullback
def _cofactor_with_pullback(wanted: Sequence[Any], x: Array) -> tuple[Array, Pullback]:
    return cofactor(x), lambda g: (_cofactor_tangent(x, g),)


def _det(g: Array, x: Array) -> Array:
    return g[..., None, None] * cofactor(x)


def _slogdet(xp: Namespace, g: Any, x: Array, y: Any) -> Array:
    g_sign, g_log = _filled(xp, g, y)
    factor = xp.astype(g_log, x.dtype, copy=False)
    if _is_complex(xp, x):
        factor = factor + 1j * xp.astype(xp.imag(g_sign * y[0]), x.dtype)
    return factor[..., None, None] * xp.linalg.inv(x).mT


def _eigh(xp: Namespace, g: Any, y: Any) -> Array:
    values, vectors = y
    g_values, g_vectors = _filled(xp, g, y)
    inner = _diagonal_matrix(xp, g_values) + _inverse_gaps(xp, values) * (vectors.mT @ g_vectors)
    return _hermitian_part(xp, xp.conj(vectors) @ inner @ vectors.mT)


def _eig(xp: Namespace, g: Any, y: Any) -> Array:
    # A matrix with repeated eigenvalues may lack eigenvectors: then this is not finite, nor is the derivative.
    values, vectors = y
    g_values, g_vectors = _filled(xp, g, y)
    # Vectors are of length 1, so their cotangent along themselves does not count.
    along = xp.sum(xp.real(vectors * g_vectors), axis=-2, keepdims=True)
    inner = vectors.mT @ (g_vectors - xp.conj(vectors) * along)
    inner = _diagonal_matrix(xp, g_values) + _inverse_gaps(xp, values) * inner
    return xp.linalg.solve(vectors.mT, inner @ vectors.mT)


def _inv(xp: Namespace, g: Array, y: Array) -> Array:
    return -(y.mT @ g @ y.mT)


def _pinv(xp: Namespace, g: Array, x: Array, y: Array) -> Array:
    # Where the rank of x changes, pinv jumps and has no derivative.
    transpose, adjoint = y.mT, _adjoint(xp, g)
    rows = adjoint @ xp.conj(y) @ transpose
    columns = transpose @ xp.conj(y) @ adjoint
    rest = rows - transpose @ (x.mT @ rows) + columns - (columns @ x.mT) @ transpose
    return rest - transpose @ g @ transpose


def _folded(xp: Namespace, g: Array, y: Array, count: int) -> tuple[Array, Array]:
    """Return the first columns of a unitary matrix, with the cotangent of all columns as one of these.

    The rest of the columns is any basis of what the first ones leave: it has a derivative only through their space.
    """
    first, rest = y[..., :count], y[..., count:]
    g_first, g_rest = g[..., :count], g[..., count:]
    if y.shape[-1] > count:
        g_first = g_first - xp.conj(rest) @ _adjoint(xp, g_rest) @ xp.conj(first)
    return g_first, first


def _qr(xp: Namespace, g: Any, x: Array, y: Any) -> Array:
    # Needs the first min(rows, columns) columns of x to be independent.
    g_q, g_r = _filled(xp, g, y)
    count = min(x.shape[-2:])
    g_q, q = _folded(xp, g_q, y[0], count)
    g_r, r = g_r[..., :count, :], y[1][..., :count, :]
    g_wide = g_r[..., count:]
    if x.shape[-1] > count:  # the further columns of r are q^H x
        g_q = g_q + xp.conj(x[..., count:]) @ _adjoint(xp, g_wide)
    r = r[..., :count]
    inner = g_r[..., :count] @ r.mT - q.mT @ g_q
    inner = inner - _lower_half(xp, inner - _adjoint(xp, inner))
    g_x = xp.linalg.solve(r, (g_q + xp.conj(q) @ inner).mT).mT
    return xp.concat([g_x, xp.conj(q) @ g_wide], axis=-1) if x.shape[-1] > count else g_x


def _solve_2(xp: Namespace, g: Array, x1: Array, x2: Array) -> Array:
    if x2.ndim == 1:
        return xp.linalg.solve(x1.mT, g[..., None])[..., 0]
    return xp.linalg.solve(x1.mT, g)


def _solve_1(xp: Namespace, g: Array, x1: Array, x2: Array, y: Array) -> Array:
    solved = _solve_2(xp, g, x1, x2)
    return -(solved[..., None] * y[..., None, :]) if x2.ndim == 1 else -(solved @ y.mT)


def _svd(xp: Namespace, g: Any, y: Any) -> Array:
    # A complex pair of singular vectors has a free phase: a function that depends on it has no derivative.
    values = y[1]
    count = values.shape[-1]
    g_u, g_values, g_vh = _filled(xp, g, y)
    g_u, u = _folded(xp, g_u, y[0], count)
    g_v, v = _folded(xp, _adjoint(xp, g_vh), _adjoint(xp, y[2]), count)
    gaps = _inverse_gaps(xp, values * values)
    inner_u, inner_v = u.mT @ g_u, v.mT @ g_v
    half_u, half_v = gaps * inner_u, gaps * inner_v
    inverse = _reciprocal(xp, values)
    scale = values[..., None, :]
    inner = (half_u + _adjoint(xp, half_u)) * scale + (half_v + _adjoint(xp, half_v)) * values[..., None]
    inner = inner + _diagonal_matrix(xp, g_values)
    if _is_complex(xp, u):
        inner = inner + _imaginary_diagonal(xp, inner_u) * inverse[..., None]
    g_x = xp.conj(u) @ inner @ v.mT
    if u.shape[-2] > count:
        g_x = g_x + ((g_u - xp.conj(u) @ inner_u) * inverse[..., None, :]) @ v.mT
    if v.shape[-2] > count:
        g_x = g_x + xp.conj(u) @ _adjoint(xp, (g_v - xp.conj(v) @ inner_v) * inverse[..., None, :])
    return g_x


def _vector_norm(xp: Namespace, x: Array, y: Array, axis: Any = None, ord: float = 2) -> Array:
    # At the kinks, 0 and for some orders any element that is 0, the derivative is 0.
    if ord == 2:
        return xp.conj(x) * _reciprocal(xp, y)
    if ord == 0:
        return xp.zeros_like(x)
    size = xp.abs(x)
    slope = slope_of_abs(xp, x, size)
    if ord in (float("inf"), -float("inf")):
        return slope * shared_extremum(xp, size, y, axis)
    ratio = xp.where(size == 0, xp.ones_like(size), size * _reciprocal(xp, y))
    return slope * ratio ** (ord - 1)


LINALG: dict[str, Rule] = {
    "cholesky": Transposed("x", _cholesky),
    "cross": Multilinear(
        "x1, x2",
        lambda xp, g, x2, axis=-1: xp.linalg.cross(x2, g, axis=axis),
        lambda xp, g, x1, axis=-1: xp.linalg.cross(g, x1, axis=axis),
    ),
    "det": Transposed("x", _det),
    "eig": Transposed("x", _eig),
    "eigh": Transposed("x", _eigh),
    "inv": Transposed("x", _inv),
    "matmul": LINEAR_ALGEBRA["matmul"],
    "matrix_transpose": MANIPULATION["matrix_transpose"],
    "pinv": Transposed("x", _pinv),
    "qr": Transposed("x", _qr),
    "slogdet": Transposed("x", _slogdet),
    "solve": Transposed("x1, x2", _solve_1, _solve_2),
    "svd": Transposed("x", _svd),
    "vecdot": LINEAR_ALGEBRA["vecdot"],
    "vector_norm": Weighted(_vector_norm),
}


def _diagonal(linalg: Namespace, x: Array, /, *, offset: int = 0) -> Array:
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
    reduced = xp.sum if ord == "nuc" else xp.max if ord > 0 else xp.min
    norm = reduced(values, axis=-1)
    return norm[..., None, None] if keepdims else norm


def _matrix_power(linalg: Namespace, x: Array, n: int, /) -> Array:
    if n == 0:
        return linalg.untraced.matrix_power(stop_gradient(x), 0)
    square, power, n = (x if n > 0 else linalg.inv(x)), None, abs(n)
    while True:
        if n % 2:
            power = square if power is None else power @ square
        n //= 2
        if n == 0:
            return power
        square = square @ square


def _outer(linalg: Namespace, x1: Array, x2: Array, /) -> Array:
    return x1[:, None] * x2[None, :]


def _svdvals(linalg: Namespace, x: Array, /) -> Array:
    return linalg.svd(x, full_matrices=False)[1]


def _tensordot(linalg: Namespace, x1: Array, x2: Array, /, *, axes: Any = 2) -> Array:
    return tensordot(namespace(x1, x2), x1, x2, axes=axes)


def _trace(linalg: Namespace, x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    return namespace(x).sum(linalg.diagonal(x, offset=offset), axis=-1, dtype=dtype)


COMPOSED_LINALG: dict[str, Callable[..., Any]] = {
    "diagonal": _diagonal,
    "eigvals": _eigvals,
    "eigvalsh": _eigvalsh,
    "matrix_norm": _matrix_norm,
    "matrix_power": _matrix_power,
    "outer": _outer,
    "svdvals": _svdvals,
    "tensordot": _tensordot,
    "trace": _trace,
}
"""Functions written with other traced functions; the first argument is the traced ``linalg``."""
