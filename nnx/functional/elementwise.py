"""Pullbacks of functions of one array that follow from one formula."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from nnx.autodiff import Primitive, Pullback
from nnx.backend import multiply_into, namespace
from nnx.functional.precision import in_float32
from nnx.types import Array


def with_transpose(function: Primitive[..., Array], transpose: Callable[..., Array]) -> None:
    """Register the pullback of a function of which only the input is kept.

    Parameters
    ----------
    function : Primitive
        It takes one array, and options.
    transpose : callable
        ``transpose(x, cotangent, **options)`` returns the cotangent of ``x`` in new memory: array code that can be
        differentiated again. It gets 16-bit arrays as float32, and its result is rounded.
    """
    transpose = in_float32(transpose)

    def rule(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Array, Pullback]:
        return function(x, **options), lambda cotangent: (transpose(x, cotangent, **options),)

    function.with_pullback(rule, fresh=True)


def with_slope(function: Primitive[..., Array], slope: Callable[..., Array]) -> None:
    """Register the pullback, and the tangent, of a function whose derivative is computed from its input.

    Parameters
    ----------
    function : Primitive
        Elementwise; it takes one array, and options.
    slope : callable
        ``slope(x, **options)`` returns the derivative in new memory, as in :func:`with_transpose`.
    """

    @in_float32
    def product(x: Array, other: Array, **options: Any) -> Array:
        return multiply_into(slope(x, **options), other)

    def tangent(args: Sequence[Array], tangents: Sequence[Array], options: dict[str, Any]) -> tuple[Array, Array]:
        return function(*args, **options), product(args[0], tangents[0], **options)

    with_transpose(function, product)
    function.with_tangent(tangent)


def with_two_slopes(
    function: Primitive[..., Array], is_first: Callable[..., Array], slopes: Callable[..., tuple[float, float]]
) -> None:
    """Register the pullback of a function that is linear in pieces, with two slopes; only a mask is kept.

    Parameters
    ----------
    function : Primitive
        It takes one array, and options.
    is_first : callable
        ``is_first(x, **options)`` returns where the first slope holds.
    slopes : callable
        ``slopes(**options)`` returns both slopes.
    """

    def rule(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Array, Pullback]:
        y = function(x, **options)  # first, for its error: of a wrong x, the comparison raises the library's own
        return y, partial(_through_pieces, is_first(x, **options), *slopes(**options))

    function.with_pullback(rule, fresh=True)


def _through_pieces(mask: Array, first: float, second: float, cotangent: Array) -> tuple[Array]:
    of_first, of_second = (s if s == 0.0 else cotangent if s == 1.0 else s * cotangent for s in (first, second))
    return (namespace(cotangent).where(mask, of_first, of_second),)
