"""Derivatives of indexing: its transpose adds what comes back where it was taken from."""

from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitive import Primitive, Pullback, WithPullback, WithTangent
from nnx.autodiff.rules.kinds import Linear, Rule, Spec
from nnx.backend import add_at, namespace
from nnx.types import Array, Namespace, Shape


def _place(g: Array, *, shape: Shape, key: Any) -> Array:
    xp = namespace(g)
    return add_at(xp.zeros(shape, dtype=g.dtype, device=g.device), key, g)


place: Primitive[..., Array] = Primitive(_place)
"""Zeros with the elements of ``g`` added where ``key`` points: the transpose of ``x[key]``, and it of this."""
place.name = "place"
place.tangent = lambda args, tangents, options: (place(*args, **options), place(*tangents, **options))


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


def _take(xp: Namespace, g: Array, indices: Array, spec: Spec, axis: int | None = None) -> Array:
    axis = 0 if axis is None else axis % len(spec.shape)
    # A key of arrays alone is all that the standard promises.
    last = xp.moveaxis(g, axis, -1)
    moved = tuple(n for i, n in enumerate(spec.shape) if i != axis)
    flat = xp.reshape(last, (-1, indices.shape[0]))
    rows = xp.reshape(xp.arange(flat.shape[0], dtype=indices.dtype, device=g.device), (-1, 1))
    placed = place(flat, shape=(flat.shape[0], spec.shape[axis]), key=(rows, xp.reshape(indices, (1, -1))))
    return xp.moveaxis(xp.reshape(placed, (*moved, spec.shape[axis])), -1, axis)


def _take_along_axis(xp: Namespace, g: Array, indices: Array, spec: Spec, axis: int = -1) -> Array:
    axis %= len(spec.shape)
    key = []
    for i, length in enumerate(indices.shape):
        along = xp.arange(length, dtype=indices.dtype, device=g.device)
        key.append(indices if i == axis else xp.reshape(along, (1,) * i + (-1,) + (1,) * (g.ndim - i - 1)))
    return place(g, shape=spec.shape, key=tuple(key))


GETITEM: Rule = _Getitem()

INDEXING: dict[str, Rule] = {
    "take": Linear("x, indices", _take),
    "take_along_axis": Linear("x, indices", _take_along_axis),
}
