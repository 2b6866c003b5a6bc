r"""The derivatives of the determinant, valid for singular matrices too.

Nothing is divided by a determinant or a singular value. The determinant is a polynomial in the elements, and its
derivative is the matrix of cofactors,
:math:`C(A) = \det(A)\,A^{-T}`, and with the singular value decomposition :math:`A = U S V^H`

.. math:: C(A) = \det(U)\,\det(V^H)\;\bar U\,C(S)\,\bar V^H,

where :math:`C(S)` holds products of all singular values but one, and its derivative products of all but two.
"""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff.primitives import Primitive, Pullback
from nnx.autodiff.rules.decompositions import adjoint, diagonal_matrix, eye
from nnx.autodiff.rules.parts import Spec
from nnx.autodiff.rules.statistical import products_of_others
from nnx.autodiff.stopping import stop_gradient
from nnx.backend import namespace
from nnx.types import Array, Namespace


def _cofactor(x: Array) -> Array:
    xp = namespace(x)
    if x.shape[-1] == 0:
        return x
    u, values, vh, phase = _decomposed(xp, x)
    # det(A) A^-T would be 0 * inf for a singular matrix; of the factors, only S can be singular.
    return phase * ((xp.conj(u) * _products_of_others(xp, values)[..., None, :]) @ xp.conj(vh))


def _cofactor_slope(x: Array, direction: Array) -> Array:
    """Return the derivative of the cofactors along a direction: a Hessian-vector product of the determinant."""
    # At a diagonal matrix S, along T, with p_ij the product of all s_k except s_i and s_j: the cofactor at (i, i) moves
    # by the sum of p_ij t_jj over j, the one at (i, j) by -p_ij t_ji.
    xp = namespace(x, direction)
    if x.shape[-1] == 0:
        return x
    u, values, vh, phase = _decomposed(xp, x)
    one = eye(xp, values)
    apart = 1.0 - one  # p_ii does not exist, and is set to 0
    without = values[..., None, :] * apart + one  # row i has a 1 in place of s_i
    others = xp.astype(_products_of_others(xp, without) * apart, x.dtype, copy=False)
    turned = adjoint(xp, u) @ direction @ adjoint(xp, vh)
    moved = xp.sum(turned * eye(xp, turned), axis=-1)
    inner = diagonal_matrix(xp, (others @ moved[..., None])[..., 0]) - others * turned.mT
    return phase * (xp.conj(u) @ inner @ xp.conj(vh))


def _decomposed(xp: Namespace, x: Array) -> tuple[Array, Array, Array, Array]:
    u, values, vh = xp.linalg.svd(x, full_matrices=False)
    return u, values, vh, (xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None]


def _products_of_others(xp: Namespace, values: Array) -> Array:
    return products_of_others(xp, values, Spec(tuple(values.shape), values.dtype), axis=-1)


def _slope_along(x: Array, first: Array, second: Array) -> Array:
    """Return the derivative of ``cofactor_slope(x, first)`` along a second direction.

    For n rows, ``cofactor_slope`` is a polynomial of degree n - 2 in the step along the direction, so that a few
    central differences give its slope exactly. They call the same function again, so there are derivatives of any
    order. All of them are symmetric in the directions.
    """
    # Steps of about the size of x lose the fewest digits; at x = 0 any step will do. The result does not depend on
    # the scale, so it is a constant to the derivative.
    xp = namespace(x, first, second)
    plain, along = stop_gradient(x), stop_gradient(second)
    size, length = (xp.sum(abs(a), axis=(-2, -1), keepdims=True) for a in (plain, along))
    scale = xp.where(size == 0, xp.ones_like(size), size) / xp.where(length == 0, xp.ones_like(length), length)
    direction = xp.astype(scale, x.dtype, copy=False) * second
    total = xp.zeros_like(x)
    for step, weight in _steps((x.shape[-1] - 1) // 2):
        up, down = (cofactor_slope(x + step * sign * direction, first) for sign in (1.0, -1.0))
        total = total + weight / (2.0 * step) * (up - down)
    return total / xp.astype(scale, x.dtype, copy=False)


def _steps(count: int) -> list[tuple[float, float]]:
    """Return steps and weights: the weighted central differences are the slope at 0 of a polynomial of degree 2 count.

    The weights are those of Lagrange interpolation.
    """
    # Chebyshev-like steps: evenly spaced ones have weights that grow, alternate in sign, and cancel.
    steps = [math.sin(0.5 * math.pi * (i + 1) / count) for i in range(count)]

    def weight(own: float) -> float:
        return math.prod(other**2 / (other**2 - own**2) for other in steps if other != own)

    return [(step, weight(step)) for step in steps]


cofactor: Primitive[..., Array] = Primitive(_cofactor)
"""The derivative of the determinant."""
cofactor.name = "cofactor"
cofactor.with_tangent(lambda args, tangents, options: (cofactor(*args), cofactor_slope(args[0], tangents[0])))


@cofactor.with_pullback
def _cofactor_with_pullback(wanted: Sequence[bool], x: Array) -> tuple[Array, Pullback]:
    return cofactor(x), lambda g: (cofactor_slope(x, g),)


cofactor_slope: Primitive[..., Array] = Primitive(_cofactor_slope)
"""The derivative of the cofactors along a direction."""
cofactor_slope.name = "cofactor_slope"


@cofactor_slope.with_tangent
def _cofactor_slope_with_tangent(
    args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]
) -> tuple[Array, Array | None]:
    (x, direction), (x_tangent, direction_tangent) = args, tangents
    moved = None if x_tangent is None else _slope_along(x, direction, x_tangent)
    if direction_tangent is not None:
        turned = cofactor_slope(x, direction_tangent)
        moved = turned if moved is None else moved + turned
    return cofactor_slope(x, direction), moved


@cofactor_slope.with_pullback
def _cofactor_slope_with_pullback(wanted: Sequence[bool], x: Array, direction: Array) -> tuple[Array, Pullback]:
    def pullback(g: Array) -> tuple[Array | None, Array | None]:
        return (
            _slope_along(x, direction, g) if wanted[0] else None,
            cofactor_slope(x, g) if wanted[1] else None,
        )

    return cofactor_slope(x, direction), pullback
