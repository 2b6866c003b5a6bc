"""Derivatives of indexing: the transpose adds each element to the position that it was taken from."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitives import Primitive, Pullback, PullbackRule, TangentRule
from nnx.autodiff.rules.kinds import Rule
from nnx.autodiff.rules.parts import Reads, parameters_of
from nnx.autodiff.traced import TracedArray
from nnx.backend import add_rows, copy_of_indices, device_of, is_array, namespace, scatter_add
from nnx.types import Array, Shape


def _scatter(g: Array, *, shape: Shape, key: Any) -> Array:
    return scatter_add(g, shape, key)


scatter: Primitive[..., Array] = Primitive(_scatter)
"""Zeros with the elements of ``g`` added where ``key`` points: the transpose of ``x[key]``, and the other way round."""
# Primitives of their own, and not only functions in the rules, so that second derivatives go through them.
scatter.name = "scatter"
scatter.with_tangent(lambda args, tangents, options: (scatter(*args, **options), scatter(*tangents, **options)))


@scatter.with_pullback
def _scatter_with_pullback(wanted: Sequence[Any], g: Array, *, shape: Shape, key: Any) -> tuple[Array, Pullback]:
    return scatter(g, shape=shape, key=key), lambda cotangent: (cotangent[key],)


def _sum_rows(g: Array, *, indices: Array, count: int) -> Array:
    return add_rows(g, indices, count)


sum_rows: Primitive[..., Array] = Primitive(_sum_rows)
"""Sums of the rows of ``g`` that have the same index: the transpose of ``take`` along the first axis."""
sum_rows.name = "sum_rows"
sum_rows.with_tangent(lambda args, tangents, options: (sum_rows(*args, **options), sum_rows(*tangents, **options)))


@sum_rows.with_pullback
def _sum_rows_with_pullback(wanted: Sequence[Any], g: Array, *, indices: Array, count: int) -> tuple[Array, Pullback]:
    def pullback(cotangent: Array) -> tuple[Array]:
        return (namespace(cotangent).take(cotangent, indices, axis=0),)

    return sum_rows(g, indices=indices, count=count), pullback


scatter.counts_inside = sum_rows.counts_inside = (
    False  # no products, and functions of a library that take no traced array
)


class Indexed:
    """The rule of a function that takes the elements of its first argument that the second one names.

    ``transpose(g, key, shape, **options)`` adds them to zeros of the shape of the first, so that repeated indices add
    up. The key is copied in the call: changing a list of indices afterwards must not change the derivative.
    """

    fresh = True
    parameters: Sequence[str] = ("x", "indices")

    def __init__(self, transpose: Callable[..., Array]) -> None:
        self._transpose = transpose
        names, defaults = parameters_of(transpose)
        self.reads: Reads = [(name, defaults.get(name)) for name in names[3:]]

    def bind(self, function: Callable[..., Any]) -> PullbackRule:
        """Return the primitive ``function`` in the form that also returns its pullback."""

        def with_pullback(wanted: Sequence[Any], x: Array, key: Any, **options: Any) -> tuple[Array, Pullback]:
            key, shape = constant_key(key), tuple(x.shape)
            output = function(x, key, **options)
            return output, lambda g: (self._transpose(g, key, shape, **options), None)

        return with_pullback

    def bind_tangent(self, function: Callable[..., Any]) -> TangentRule:
        """Return the form that takes the same elements of the tangent."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            key = constant_key(args[1])
            return function(args[0], key, **options), function(tangents[0], key, **options)

        return with_tangent


def constant_key(key: Any) -> Any:
    """Return a key with copies of all lists and arrays in it, and plain arrays instead of traced ones."""
    kind = type(key)
    if kind is int or kind is slice:
        return key
    if isinstance(key, tuple):
        return tuple(map(constant_key, key))
    if isinstance(key, list):
        return list(map(constant_key, key))
    if kind is TracedArray:
        key = key.untraced
    return copy_of_indices(key) if is_array(key) else key


def key_along_axis(indices: Array, shape: Shape, axis: int) -> tuple[Array, ...]:
    """Return the key that takes ``indices`` along one axis, at each index of the others."""
    xp = namespace(indices)
    # Beside an array, the standard allows nothing but integers and other arrays in a key. So every axis gets one, and
    # all of one dtype, since that of the given indices may be narrower.
    key = []
    for i, length in enumerate(shape):
        numbers = xp.arange(length, device=device_of(indices))
        along = (1,) * i + (-1,) + (1,) * (len(shape) - i - 1)
        key.append(xp.astype(indices, numbers.dtype, copy=False) if i == axis else xp.reshape(numbers, along))
    return tuple(key)


def _getitem(g: Array, key: Any, shape: Shape) -> Array:
    return scatter(g, shape=shape, key=key)


def add_taken(g: Array, indices: Array, shape: Shape, axis: int | None = None) -> Array:
    """Return zeros of a shape with the slices of ``g`` added at indices along an axis: the transpose of ``take``."""
    xp, plain = namespace(g), namespace(indices)
    if 0 in g.shape or 0 in shape:
        return xp.zeros(shape, dtype=g.dtype, device=device_of(g))
    if axis is None or not shape:  # NumPy and JAX flatten an array first, also a 0-d one
        return xp.reshape(add_taken(xp.reshape(g, (-1,)), indices, (math.prod(shape),), 0), shape)
    axis %= len(shape)
    before, length, after = shape[:axis], shape[axis], shape[axis + 1 :]
    count = math.prod(indices.shape)
    # Taking from 0, 1, 2, ... gives the index from 0 for each given one: the library itself resolves negative indices,
    # and the result has the default integer dtype.
    numbers = plain.arange(length, device=device_of(indices))
    numbers = plain.take(numbers, plain.reshape(indices, (-1,)), axis=0)
    # All other axes become the columns of a matrix, whose rows are added up by index.
    rows = xp.moveaxis(xp.reshape(g, (math.prod(before), count, math.prod(after))), 1, 0)
    sums = sum_rows(xp.reshape(rows, (count, math.prod(before) * math.prod(after))), indices=numbers, count=length)
    folded = xp.moveaxis(xp.reshape(sums, (length, math.prod(before), math.prod(after))), 0, 1)
    return xp.reshape(folded, shape)


def _take_along_axis(g: Array, indices: Array, shape: Shape, axis: int = -1) -> Array:
    return scatter(g, shape=shape, key=key_along_axis(indices, shape, axis % len(shape)))


GETITEM: Rule = Indexed(_getitem)

INDEXING: dict[str, Rule] = {
    "take": Indexed(add_taken),
    "take_along_axis": Indexed(_take_along_axis),
}
