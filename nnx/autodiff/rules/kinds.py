"""The kinds of derivative rule. A rule names what it needs, and nothing else is kept.

A rule belongs to a function of the standard. It is written as small functions, one for each differentiable
argument, whose parameter names say what they are given:

``xp``
    the namespace of the cotangent; if it is there it comes first;
``g``
    the cotangent of the output;
``y``
    the output;
``x``, ``x1``, ``axis``, ...
    an argument of the call by its name in the standard, with a default where the standard has one;
``spec``
    shape and dtype of the argument that is differentiated for, without the array itself.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from nnx.autodiff.primitive import Pullback, WithPullback
from nnx.backend import namespace
from nnx.types import Array, DType, Shape


class Spec(NamedTuple):
    """Shape and dtype of an argument."""

    shape: Shape
    dtype: DType


class Rule(Protocol):
    """What a table of rules maps a name to."""

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return ``function``, a primitive, in the form that also returns its pullback."""


class Part:
    """The derivative for one argument: a small function, and where its parameters come from.

    Attributes
    ----------
    function : callable
    takes_xp : bool
        Whether its first parameter is ``xp``.
    sources : tuple
        For each further parameter but ``g``: -1 for the output, the number of an argument, or a name.
    """

    __slots__ = ("defaults", "function", "sources", "takes_xp")

    def __init__(self, function: Callable[..., Any], parameters: Sequence[str]) -> None:
        names = dict(inspect.signature(function).parameters)
        self.function = function
        self.takes_xp = names.pop("xp", None) is not None
        names.pop("g", None)
        places: dict[str, Any] = {"y": -1} | {name: i for i, name in enumerate(parameters)}
        self.sources = tuple(places.get(name, name) for name in names)
        self.defaults = {places.get(name, name): parameter.default for name, parameter in names.items()}

    def keep(self, output: Any, args: Sequence[Any], options: dict[str, Any], spec: Spec) -> list[Any]:
        """Return the values of the named parameters: all that the pullback holds in memory."""
        kept = []
        for source in self.sources:
            if source == -1:
                kept.append(output)
            elif source == "spec":
                kept.append(spec)
            elif isinstance(source, int) and source < len(args):
                kept.append(args[source])
            else:
                kept.append(options.get(source, self.defaults[source]))
        return kept


def match(cotangent: Array, spec: Spec) -> Array:
    """Bring a cotangent to the shape and dtype of an argument that was broadcast and promoted.

    The transpose of broadcasting is the sum over the axes that it made or stretched; the transpose of taking a
    real number for a complex one is the real part.
    """
    shape, dtype = spec
    if cotangent.shape == shape and cotangent.dtype == dtype:
        return cotangent
    xp = namespace(cotangent)
    if tuple(cotangent.shape) != tuple(shape):
        new = cotangent.ndim - len(shape)
        stretched = [i + new for i, n in enumerate(shape) if n == 1 and cotangent.shape[i + new] != 1]
        axes = (*range(new), *stretched)
        if axes:
            cotangent = xp.sum(cotangent, axis=axes, keepdims=True)
        cotangent = xp.reshape(cotangent, shape)
    if cotangent.dtype != dtype:
        if xp.isdtype(cotangent.dtype, "complex floating") and not xp.isdtype(dtype, "complex floating"):
            cotangent = xp.real(cotangent)
        cotangent = xp.astype(cotangent, dtype, copy=False)
    return cotangent


class Elementwise:
    r"""An elementwise function :math:`y = f(x_1, x_2)`, by its factors :math:`\partial y / \partial x_i`.

    A factor is 1, -1 or a small function that returns it; ``None`` for an argument without a derivative.
    """

    def __init__(self, *factors: Callable[..., Any] | int | None) -> None:
        names = ["x"] if len(factors) == 1 else [f"x{i + 1}" for i in range(len(factors))]
        self._parts = [Part(f, names) if callable(f) else f for f in factors]

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""
        parts = self._parts

        def with_pullback(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback]:
            output = function(*args, **options)
            plan: list[Any] = []
            for part, want, arg in zip(parts, wanted, args, strict=False):
                if not want or part is None:
                    plan.append(None)
                elif isinstance(part, int):
                    plan.append((part, None, arg.shape, arg.dtype))
                else:
                    kept = [output if source < 0 else args[source] for source in part.sources]
                    plan.append((part, kept, arg.shape, arg.dtype))

            def pullback(g: Array) -> list[Any]:
                return [None if entry is None else _times_factor(g, *entry) for entry in plan]

            return output, pullback

        return with_pullback


def _times_factor(g: Array, part: Part | int, kept: Any, shape: Shape, dtype: DType) -> Array:
    if kept is None:
        cotangent = g if part == 1 else -g
    elif part.takes_xp:  # type: ignore[union-attr]
        cotangent = g * part.function(namespace(g), *kept)  # type: ignore[union-attr]
    else:
        cotangent = g * part.function(*kept)  # type: ignore[union-attr]
    if cotangent.shape == shape and cotangent.dtype == dtype:
        return cotangent
    return match(cotangent, Spec(shape, dtype))


class Linear:
    """A function that is linear in each of some arguments, by its transposes.

    A transpose is a small function that takes the cotangent ``g`` of the output and returns that of its
    argument, up to broadcasting; ``None`` for an argument without a derivative. ``parameters`` are the names of
    the positional parameters, separated by commas.
    """

    def __init__(self, parameters: str, *transposes: Callable[..., Any] | None) -> None:
        names = [name.strip() for name in parameters.split(",")]
        self._parts = [None if t is None else Part(t, names) for t in transposes]

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""
        parts = self._parts

        def with_pullback(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback]:
            output = function(*args, **options)
            plan: list[Any] = [None] * len(args)
            for i, part in enumerate(parts):
                if part is not None and i < len(args) and wanted[i]:
                    spec = Spec(args[i].shape, args[i].dtype)
                    plan[i] = (part, part.keep(output, args, options, spec), spec)

            def pullback(cotangent: Array) -> list[Any]:
                return [None if entry is None else _transposed(cotangent, *entry) for entry in plan]

            return output, pullback

        return with_pullback


def _transposed(g: Array, part: Part, kept: list[Any], spec: Spec) -> Array:
    found = part.function(namespace(g), g, *kept) if part.takes_xp else part.function(g, *kept)
    return match(found, spec)


class Nonlinear(Linear):
    """A function whose small functions map the cotangent as the transposed derivative does at this point.

    They are written as those of :class:`Linear`; the function itself need not be linear.
    """


def normalise_axes(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """Return axes as a tuple of numbers from 0."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else axis
    return tuple(a % ndim for a in axes)


def spread(xp: Any, g: Array, spec: Spec, axis: Any, keepdims: bool) -> Array:
    """Broadcast the cotangent of a reduction back over the axes that it reduced."""
    return xp.broadcast_to(keep_axes(xp, g, spec.shape, axis, keepdims), spec.shape)


def keep_axes(xp: Any, g: Array, shape: Shape, axis: Any, keepdims: bool) -> Array:
    """Return the result of a reduction as it is with ``keepdims=True``."""
    if keepdims:
        return g
    axes = normalise_axes(axis, len(shape))
    return xp.reshape(g, tuple(1 if i in axes else n for i, n in enumerate(shape)))
