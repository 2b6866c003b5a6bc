"""Derivatives of the functions that only move elements: each is linear, and its transpose moves them back."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitives import Pullback, PullbackRule, TangentRule
from nnx.autodiff.rules.kinds import Linear, Rule
from nnx.autodiff.rules.parts import Reads
from nnx.autodiff.rules.shapes import at, cast
from nnx.backend import device_of, namespace
from nnx.types import Array, Namespace, Shape


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    positive = [axis % len(axes) for axis in axes]
    return tuple(positive.index(i) for i in range(len(axes)))


def _negated(shift: int | tuple[int, ...]) -> int | tuple[int, ...]:
    return tuple(-s for s in shift) if isinstance(shift, (tuple, list)) else -shift


def _reshaped(xp: Namespace, g: Array, spec: Any) -> Array:
    return xp.reshape(g, spec.shape)


class Joined:
    """The rule of ``concat`` and ``stack``, called with one argument per array: each gets its part of the cotangent."""

    fresh = False
    parameters: Sequence[str] = ()
    reads: Reads = (("axis", 0),)

    def __init__(self, part: Callable[[Array, int, Sequence[Shape], Any], Array]) -> None:
        self._part = part

    def bind(self, function: Callable[..., Any]) -> PullbackRule:
        """Return the primitive ``function`` in the form that also returns its pullback."""

        def with_pullback(wanted: Sequence[Any], *arrays: Any, axis: Any = 0) -> tuple[Any, Pullback]:
            shapes = [tuple(a.shape) for a in arrays]
            dtypes = [a.dtype for a in arrays]

            def pullback(g: Array) -> list[Any]:
                xp = namespace(g)
                return [
                    cast(xp, self._part(g, i, shapes, axis), dtypes[i]) if want else None
                    for i, want in enumerate(wanted)
                ]

            return function(*arrays, axis=axis), pullback

        return with_pullback

    def bind_tangent(self, function: Callable[..., Any]) -> TangentRule:
        """Return the form that joins the tangents, with zeros for those that are None."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            moved = [namespace(a).zeros_like(a) if t is None else t for a, t in zip(args, tangents, strict=True)]
            return function(*args, **options), function(*moved, **options)

        return with_tangent


def _section(g: Array, i: int, shapes: Sequence[Shape], axis: int | None) -> Array:
    xp = namespace(g)
    if axis is None:
        sizes = [math.prod(shape) for shape in shapes]
        return xp.reshape(g[sum(sizes[:i]) : sum(sizes[: i + 1])], shapes[i])
    if 0 in shapes[i]:  # torch concatenates an array of shape (0,) with arrays of any shape
        return xp.zeros(shapes[i], dtype=g.dtype, device=device_of(g))
    axis %= g.ndim
    start = sum(shape[axis] for shape in shapes[:i] if len(shape) == g.ndim)  # all but torch's arrays of shape (0,)
    return at(g, axis, slice(start, start + shapes[i][axis]))


def _layer(g: Array, i: int, shapes: Sequence[Shape], axis: int) -> Array:
    return at(g, axis, i)


# Where a transpose is the cotangent itself, Transposed sums it over broadcast axes and casts it.
MANIPULATION: dict[str, Rule] = {
    "asarray": Linear("obj, dtype, copy", lambda g: g),
    "astype": Linear("x, dtype", lambda g: g),
    "broadcast_to": Linear("x, shape", lambda g: g),
    "concat": Joined(_section),
    "expand_dims": Linear("x, axis", _reshaped),
    "flip": Linear("x", lambda xp, g, axis=None: xp.flip(g, axis=axis)),
    "matrix_transpose": Linear("x", lambda xp, g: xp.matrix_transpose(g)),
    "moveaxis": Linear(
        "x, source, destination",
        lambda xp, g, source, destination: xp.moveaxis(g, destination, source),
    ),
    "permute_dims": Linear("x, axes", lambda xp, g, axes: xp.permute_dims(g, _inverse(axes))),
    "reshape": Linear("x, shape", _reshaped),
    "roll": Linear("x, shift", lambda xp, g, shift, axis=None: xp.roll(g, _negated(shift), axis=axis)),
    "squeeze": Linear("x, axis", _reshaped),
    "stack": Joined(_layer),
    "tril": Linear("x", lambda xp, g, k=0: xp.tril(g, k=k)),
    "triu": Linear("x", lambda xp, g, k=0: xp.triu(g, k=k)),
}
