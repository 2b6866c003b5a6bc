"""What L-BFGS remembers of the curvature, and the direction that follows from it: functions of vectors."""

from collections.abc import Sequence
from typing import NamedTuple

from nnx.backend import namespace, to_numpy
from nnx.backend.blocks import wide_dtype
from nnx.types import Array

LEAST_PRODUCT = 1e-10
"""Along a step with a smaller product of step and change the curvature is negative, or lost in rounding errors."""


class Pair(NamedTuple):
    """A step, the change of the gradient over it, and the product of the two, a number of Python."""

    step: Array
    change: Array
    product: float


def pair_of(step: Array, change: Array) -> Pair:
    """Return a pair with the product of the two, which is read from the device."""
    return Pair(step, change, number(dot(step, change)))


def appended(pairs: Sequence[Pair], new: Pair, history_size: int) -> tuple[Pair, ...]:
    """Return the newest pairs with one more, unless the product of that one is too small."""
    return (*pairs, new)[-history_size:] if new.product > LEAST_PRODUCT else tuple(pairs)


def descent_direction(gradient: Array, pairs: Sequence[Pair]) -> Array:
    r"""Return :math:`-H g`, where :math:`H` approximates the inverse of the Hessian.

    Parameters
    ----------
    gradient : array, shape (n,)
    pairs : sequence of Pair
        From the oldest to the newest.

    Returns
    -------
    direction : array, shape (n,)
        In new memory. Without pairs it is the negative gradient.

    Notes
    -----
    Algorithm 7.4, the two-loop recursion, with the initial scale of equation 7.20, of J. Nocedal and S. J. Wright,
    "Numerical optimization", 2nd edition, 2006.
    """
    direction, factors = -gradient, []
    for pair in reversed(pairs):
        factors.append(dot(pair.step, direction) / pair.product)
        direction -= factors[-1] * pair.change  # in place where the library can
    if pairs:
        direction *= pairs[-1].product / dot(pairs[-1].change, pairs[-1].change)
    for pair, factor in zip(pairs, reversed(factors), strict=True):
        direction += (factor - dot(pair.change, direction) / pair.product) * pair.step
    return direction


def dot(a: Array, b: Array) -> Array:
    """Return the inner product of two real vectors, an array of shape ``()``."""
    return namespace(a).sum(a * b)


def largest(x: Array) -> float:
    """Return the greatest absolute value of a vector that is not empty, read from the device."""
    xp = namespace(x)
    return number(xp.max(xp.abs(x)))


def number(x: Array) -> float:
    """Return an array of shape ``()`` as a number of Python, which waits for a device."""
    return float(to_numpy(namespace(x).astype(x, wide_dtype(x), copy=False)))  # NumPy has no bfloat16
