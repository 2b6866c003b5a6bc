"""Derivatives of indexing: its transpose adds what comes back where it was taken from."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitive import Primitive, Pullback, WithPullback, WithTangent
from nnx.autodiff.rules.kinds import Linear, Rule
from nnx.autodiff.rules.parts import Spec
from nnx.backend import add_at, device_of, namespace
from nnx.types import Array, Namespace, Shape


def _place(g: Array, *, shape: Shape, key: Any) -> Array:
    xp = namespace(g)
    return add_at(xp.zeros(shape, dtype=g.dtype, device=device_of(g)), key, g)


place: Primitive[..., Array] = Primitive(_place)
"""Zeros with the elements of ``g`` added where ``key`` points: the transpose of ``x[key]``, and it of this."""
place.name = "place"
place.with_tangent(lambda args, tangents, options: (place(*args, **options), place(*tangents, **options)))


@place.with_pullback
def _place_with_pullback(wanted: Sequence[Any], g: Array, *, shape: Shape, key: Any) -> tuple[Array, Pullback]:
    return place(g, shape=shape, key=key), lambda cotangent: (cotangent[key],)


class _Getitem:
    """``x[key]`` for any key that the library takes; repeated indices add up."""

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""

        def with_pullback(wanted: Sequence[Any], x: Array, key: Any) -> tuple[Array, Pullback]:
            shape: Shape = tuple(x.shape)
            return function(x, key), lambda g: (place(g, shape=shape, key=key), None)

        return with_pullback

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent:
        """Return the form that takes the same elements of the tangent."""
        return lambda args, tangents, options: (function(*args), function(tangents[0], args[1]))


def key_along_axis(indices: Array, shape: Shape, axis: int) -> tuple[Array, ...]:
    """Return the key that takes ``indices`` along one axis at every place of the others."""
    xp = namespace(indices)
    # A key of arrays alone is all that the standard promises. The indices may be of a dtype too narrow for a place.
    key = []
    for i, length in enumerate(shape):
        places = xp.arange(length, device=device_of(indices))
        along = (1,) * i + (-1,) + (1,) * (len(shape) - i - 1)
        key.append(xp.astype(indices, places.dtype, copy=False) if i == axis else xp.reshape(places, along))
    return tuple(key)


def _take(xp: Namespace, g: Array, indices: Array, spec: Spec, axis: int | None = None) -> Array:
    axis = 0 if axis is None else axis % len(spec.shape)
    before, after = math.prod(spec.shape[:axis]), math.prod(spec.shape[axis + 1 :])
    folded = (before, spec.shape[axis], after)
    key = key_along_axis(xp.reshape(indices, (1, -1, 1)), folded, 1)
    g = xp.reshape(g, (before, math.prod(indices.shape), after))
    return xp.reshape(place(g, shape=folded, key=key), spec.shape)


def _take_along_axis(xp: Namespace, g: Array, indices: Array, spec: Spec, axis: int = -1) -> Array:
    return place(g, shape=spec.shape, key=key_along_axis(indices, spec.shape, axis % len(spec.shape)))


GETITEM: Rule = _Getitem()

INDEXING: dict[str, Rule] = {
    "take": Linear("x, indices", _take),
    "take_along_axis": Linear("x, indices", _take_along_axis),
}
