"""Derivatives of the functions that move elements about, and of indexing."""

from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitive import Primitive, Pullback, WithPullback
from nnx.autodiff.rules.kinds import Linear, Rule
from nnx.backend import namespace
from nnx.backend.indexing import add_at
from nnx.types import Array, Namespace, Shape


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    positive = [axis % len(axes) for axis in axes]
    return tuple(positive.index(i) for i in range(len(axes)))


def _negated(shift: int | tuple[int, ...]) -> int | tuple[int, ...]:
    return -shift if isinstance(shift, int) else tuple(-s for s in shift)


def _unsqueezed(xp: Namespace, g: Array, spec: Any) -> Array:
    return xp.reshape(g, spec.shape)


class Joined:
    """``concat`` and ``stack``, called with the arrays one by one: each takes its own part of the cotangent."""

    def __init__(self, part: Callable[[Array, int, Sequence[Shape], Any], Array]) -> None:
        self._part = part

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""

        def with_pullback(wanted: Sequence[Any], *arrays: Any, axis: Any = 0) -> tuple[Any, Pullback]:
            shapes = [tuple(a.shape) for a in arrays]
            dtypes = [a.dtype for a in arrays]

            def pullback(g: Array) -> list[Any]:
                xp = namespace(g)
                return [
                    xp.astype(self._part(g, i, shapes, axis), dtypes[i], copy=False) if want else None
                    for i, want in enumerate(wanted)
                ]

            return function(*arrays, axis=axis), pullback

        return with_pullback


def _section(g: Array, i: int, shapes: Sequence[Shape], axis: int | None) -> Array:
    xp = namespace(g)
    if axis is None:
        sizes = [_size(shape) for shape in shapes]
        return xp.reshape(g[sum(sizes[:i]) : sum(sizes[: i + 1])], shapes[i])
    axis %= len(shapes[i])
    start = sum(shape[axis] for shape in shapes[:i])
    return g[(slice(None),) * axis + (slice(start, start + shapes[i][axis]),)]


def _size(shape: Shape) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _layer(g: Array, i: int, shapes: Sequence[Shape], axis: int) -> Array:
    return g[(slice(None),) * (axis % g.ndim) + (i,)]


MANIPULATION: dict[str, Rule] = {
    "astype": Linear("x, dtype", lambda g: g),
    "broadcast_to": Linear("x, shape", lambda g: g),
    "concat": Joined(_section),
    "expand_dims": Linear("x, axis", _unsqueezed),
    "flip": Linear("x", lambda xp, g, axis=None: xp.flip(g, axis=axis)),
    "matrix_transpose": Linear("x", lambda xp, g: xp.matrix_transpose(g)),
    "moveaxis": Linear(
        "x, source, destination",
        lambda xp, g, source, destination: xp.moveaxis(g, destination, source),
    ),
    "permute_dims": Linear("x, axes", lambda xp, g, axes: xp.permute_dims(g, _inverse(axes))),
    "reshape": Linear("x, shape", _unsqueezed),
    "roll": Linear("x, shift", lambda xp, g, shift, axis=None: xp.roll(g, _negated(shift), axis=axis)),
    "squeeze": Linear("x, axis", _unsqueezed),
    "stack": Joined(_layer),
}


def _place(g: Array, *, shape: Shape, key: Any) -> Array:
    xp = namespace(g)
    return add_at(xp.zeros(shape, dtype=g.dtype, device=g.device), key, g)


place: Primitive[..., Array] = Primitive(_place)
"""Zeros with the elements of ``g`` added where ``key`` points: the transpose of ``x[key]``, and it of this."""


@place.with_pullback
def _place_with_pullback(wanted: Sequence[Any], g: Array, *, shape: Shape, key: Any) -> tuple[Array, Pullback]:
    return place(g, shape=shape, key=key), lambda cotangent: (cotangent[key],)


class _Getitem:
    """``x[key]`` for any key that the library takes; repeated indices add up."""

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        def with_pullback(wanted: Sequence[Any], x: Array, key: Any) -> tuple[Array, Pullback]:
            shape: Shape = tuple(x.shape)
            return function(x, key), lambda g: (place(g, shape=shape, key=key), None)

        return with_pullback


GETITEM: Rule = _Getitem()
