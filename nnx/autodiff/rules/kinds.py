"""The kinds of derivative rule. A rule names what it needs, and nothing else is kept.

A rule belongs to a function of the standard. It is written as small functions, one for each differentiable
argument, whose parameter names say what they are given:

``xp``
    the namespace; if it is there it comes first;
``g``
    the cotangent of the output, in a transpose;
``y``
    the output;
``x``, ``x1``, ``axis``, ...
    an argument of the call by its name in the standard, with a default where the standard has one;
``spec``
    shape and dtype of the argument that is differentiated for, without the array itself.

One entry serves both modes: a factor multiplies a cotangent or a tangent, a linear function is applied to tangents,
and what has a pullback only is transposed again.
"""

import inspect
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from nnx.autodiff.primitive import Pullback, WithPullback, WithTangent
from nnx.autodiff.traced import TracedArray
from nnx.backend import is_array, namespace
from nnx.types import Array, DType, Shape


class Spec(NamedTuple):
    """Shape and dtype of an argument."""

    shape: Shape
    dtype: DType


class Rule(Protocol):
    """What a table of rules maps a name to."""

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent | None:
        """Return it in the form that also returns the tangent, or None to have its pullback transposed."""


class Part:
    """The derivative for one argument: a small function, and where its parameters come from.

    Attributes
    ----------
    function : callable
    takes_xp : bool
        Whether its first parameter is ``xp``.
    sources : tuple
        For each further parameter but ``g``: -1 for the output, the number of an argument, or a name.
    pick : callable
        Takes the arguments and the output as one tuple, and returns the values of parameters that are all among them.
    """

    __slots__ = ("defaults", "function", "pick", "sources", "takes_xp")

    def __init__(self, function: Callable[..., Any], parameters: Sequence[str]) -> None:
        names = dict(inspect.signature(function).parameters)
        self.function = function
        self.takes_xp = names.pop("xp", None) is not None
        names.pop("g", None)
        places: dict[str, Any] = {"y": -1} | {name: i for i, name in enumerate(parameters)}
        self.sources = tuple(places.get(name, name) for name in names)
        self.pick = _picker(self.sources)
        self.defaults = {places.get(name, name): (name, parameter.default) for name, parameter in names.items()}

    def keep(self, output: Any, args: Sequence[Any], options: dict[str, Any], spec: Spec | None) -> list[Any]:
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
                name, default = self.defaults[source]
                kept.append(options.get(name, default))
        return kept

    def apply(self, array: Array, *values: Any) -> Any:
        """Call the small function, with the namespace of ``array`` and the values in front where it asks for it."""
        return self.function(common_namespace(array, values), *values) if self.takes_xp else self.function(*values)


def _picker(sources: tuple[Any, ...]) -> Callable[[tuple[Any, ...]], Any]:
    if len(sources) == 1:
        (place,) = sources
        return lambda values: (values[place],)
    return itemgetter(*sources) if sources else lambda values: ()


def common_namespace(array: Array, values: Sequence[Any]) -> Any:
    """Return the namespace of an array and what may be traced beside it: in a nested transform, either may be."""
    for value in values:
        if type(value) is TracedArray:
            return namespace(value)
    return namespace(array)


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
    return cast(xp, cotangent, dtype)


def cast(xp: Any, x: Array, dtype: DType) -> Array:
    """Return ``x`` with a dtype; the real part where it is complex and the dtype is not."""
    if x.dtype == dtype:
        return x
    if xp.isdtype(x.dtype, "complex floating") and not xp.isdtype(dtype, "complex floating"):
        x = xp.real(x)
    return xp.astype(x, dtype, copy=False)


def fit(tangent: Array, output: Array) -> Array:
    """Bring a tangent to the shape and dtype of the output, to which arguments were broadcast and promoted."""
    xp = namespace(tangent, output)
    tangent = cast(xp, tangent, output.dtype)
    return tangent if tangent.shape == output.shape else xp.broadcast_to(tangent, output.shape)


def total(parts: Sequence[Array | None]) -> Any:
    """Add up what is not None."""
    found = None
    for part in parts:
        if part is not None:
            found = part if found is None else found + part
    return found


class Elementwise:
    r"""An elementwise function :math:`y = f(x_1, x_2)`, by its factors :math:`\partial y / \partial x_i`.

    A factor is 1, -1 or a small function that returns it; ``None`` for an argument without a derivative.
    """

    def __init__(self, *factors: Callable[..., Any] | int | None, parameters: str | None = None) -> None:
        count = len(factors)
        default = ["x"] if count == 1 else [f"x{i + 1}" for i in range(count)]
        names = default if parameters is None else [name.strip() for name in parameters.split(",")]
        self._parts = [Part(f, names) if callable(f) else f for f in factors]
        self._simple = parameters is None

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""
        parts = self._parts
        if self._simple and len(parts) == 1:
            return _unary(function, parts[0])
        if self._simple and len(parts) == 2:
            return _binary(function, parts[0], parts[1])

        def with_pullback(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback]:
            output = function(*args, **options)
            plan: list[Any] = [None] * len(args)
            for i, (part, arg) in enumerate(zip(parts, args, strict=False)):
                if wanted[i] and isinstance(part, Part):
                    plan[i] = (part, part.keep(output, args, options, None), arg.shape, arg.dtype)

            def pullback(g: Array) -> list[Any]:
                return [None if entry is None else _times_factor(g, *entry) for entry in plan]

            return output, pullback

        return with_pullback

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent:
        """Return the primitive ``function`` in the form that also returns the tangent of its output."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            output = function(*args, **options)
            terms = []
            for part, tangent in zip(self._parts, tangents, strict=False):
                if tangent is None or part is None:
                    continue
                if isinstance(part, int):
                    term = tangent if part == 1 else -tangent
                else:
                    term = tangent * part.apply(output, *part.keep(output, args, options, None))
                terms.append(fit(term, output))
            return output, total(terms)

        return with_tangent


# The two forms that nearly every operation has, written out: they are the overhead of a node.


def _unary(function: Callable[..., Any], part: Part | int | None) -> WithPullback:
    def with_pullback(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Any, Pullback]:
        output = function(x, **options)
        entry = _entry(part, (x, output), x)
        return output, lambda g: (_times_factor(g, *entry),)

    return with_pullback


def _binary(function: Callable[..., Any], part1: Part | int | None, part2: Part | int | None) -> WithPullback:
    def with_pullback(wanted: Sequence[Any], x1: Any, x2: Any, **options: Any) -> tuple[Any, Pullback]:
        output = function(x1, x2, **options)
        values = (x1, x2, output)
        first = _entry(part1, values, x1) if wanted[0] and part1 is not None else None
        second = _entry(part2, values, x2) if wanted[1] and part2 is not None else None

        def pullback(g: Array) -> tuple[Any, Any]:
            return (
                None if first is None else _times_factor(g, *first),
                None if second is None else _times_factor(g, *second),
            )

        return output, pullback

    return with_pullback


def _entry(part: Any, values: tuple[Any, ...], arg: Array) -> tuple[Any, Any, Shape, DType]:
    """Return what the pullback needs for one argument; of the values, the output is the last."""
    kept = None if type(part) is int else part.pick(values)
    return part, kept, arg.shape, arg.dtype


def _times_factor(g: Array, part: Part | int, kept: Any, shape: Shape, dtype: DType) -> Array:
    if kept is None:
        cotangent = g if part == 1 else -g
    elif part.takes_xp:  # type: ignore[union-attr]
        cotangent = g * part.function(common_namespace(g, kept), *kept)  # type: ignore[union-attr]
    else:
        cotangent = g * part.function(*kept)  # type: ignore[union-attr]
    if cotangent.shape == shape and cotangent.dtype == dtype:
        return cotangent
    return match(cotangent, Spec(shape, dtype))


class Transposed:
    """A function by small functions that map the cotangent as its transposed derivative does at this point.

    A small function takes the cotangent ``g`` of the output and returns that of its argument, up to broadcasting;
    ``None`` for an argument without a derivative. ``parameters`` are the names of the positional parameters,
    separated by commas.
    """

    def __init__(self, parameters: str, *transposes: Callable[..., Any] | None) -> None:
        names = [name.strip() for name in parameters.split(",")]
        self.positional = len(names)
        self._parts = [None if t is None else Part(t, names) for t in transposes]

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""
        parts = self._parts

        def with_pullback(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback]:
            output = function(*args, **options)
            plan: list[Any] = [None] * len(args)
            for i, part in enumerate(parts):
                if part is not None and i < len(args) and wanted[i]:
                    spec = Spec(tuple(args[i].shape), args[i].dtype)
                    plan[i] = (part, part.keep(output, args, options, spec), spec)

            def pullback(cotangent: Array) -> list[Any]:
                return [None if entry is None else _transposed(cotangent, *entry) for entry in plan]

            return output, pullback

        return with_pullback

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent | None:
        """Return None: the pullback is transposed."""
        return None


def _transposed(g: Any, part: Part, kept: list[Any], spec: Spec) -> Array:
    if not isinstance(g, tuple):
        return match(part.apply(g, g, *kept), spec)
    arrays = [array for value in (g, *kept) if isinstance(value, tuple) for array in value if is_array(array)]
    traced = [array for array in arrays if type(array) is TracedArray]
    return match(part.apply((traced or arrays)[0], g, *kept), spec)


class Linear(Transposed):
    """A function that is linear in its differentiable arguments together, such as ``sum`` or ``where``."""

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent | None:
        """Return the form that applies the function to the tangents, with zeros for those that are None."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            moved = list(args)
            for i, part in enumerate(self._parts):
                if part is not None and i < len(args):
                    moved[i] = _zero(args[i]) if tangents[i] is None else tangents[i]
            output = function(*args, **options)
            return output, function(*moved, **options)

        return with_tangent


class Multilinear(Transposed):
    """A function that is linear in each of its differentiable arguments alone, such as ``matmul``."""

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent | None:
        """Return the form that applies the function with one argument after the other replaced by its tangent."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            output = function(*args, **options)
            terms = []
            for i, tangent in enumerate(tangents):
                if tangent is not None:
                    moved = list(args)
                    moved[i] = tangent
                    terms.append(fit(function(*moved, **options), output))
            return output, total(terms)

        return with_tangent


class Weighted:
    r"""A reduction whose derivative is a weighted sum, :math:`\dot y = \sum_i w_i \dot x_i`, by its weights.

    The small function returns the weights, in the shape of ``x``; it may take ``y`` with its axes kept, ``axis``,
    ``correction`` and ``spec``.
    """

    def __init__(self, weights: Callable[..., Any]) -> None:
        self.positional = 1
        self._part = Part(weights, ["x"])

    def _weights(self, output: Any, args: Sequence[Any], options: dict[str, Any]) -> tuple[Array, Any, bool, Spec]:
        axis, keepdims = options.get("axis"), options.get("keepdims", False)
        spec = Spec(tuple(args[0].shape), args[0].dtype)
        kept_axes = keep_axes(namespace(output), output, spec.shape, axis, keepdims)
        weights = self._part.apply(output, *self._part.keep(kept_axes, args, options, spec))
        return weights, axis, keepdims, spec

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""

        def with_pullback(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback]:
            output = function(*args, **options)

            def pullback(g: Array) -> tuple[Array]:
                weights, axis, keepdims, spec = self._weights(output, args, options)
                return (match(weights * keep_axes(namespace(g), g, spec.shape, axis, keepdims), spec),)

            return output, pullback

        return with_pullback

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent | None:
        """Return the primitive ``function`` in the form that also returns the tangent of its output."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            output = function(*args, **options)
            weights, axis, keepdims, _ = self._weights(output, args, options)
            xp = namespace(output, tangents[0])
            return output, fit(xp.sum(weights * tangents[0], axis=axis, keepdims=keepdims), output)

        return with_tangent


def _zero(x: Any) -> Any:
    return namespace(x).zeros_like(x) if hasattr(x, "shape") else 0.0


def at(x: Array, axis: int, key: int | slice) -> Array:
    """Index one axis, and take all of the others."""
    return x[(slice(None),) * (axis % x.ndim) + (key, ...)]


def normalise_axes(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """Return axes as a tuple of numbers from 0."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else axis
    return tuple(a % ndim for a in axes) if ndim else ()  # libraries let a number have an axis 0 to reduce


def spread(xp: Any, g: Array, spec: Spec, axis: Any, keepdims: bool) -> Array:
    """Broadcast the cotangent of a reduction back over the axes that it reduced."""
    return xp.broadcast_to(keep_axes(xp, g, spec.shape, axis, keepdims), spec.shape)


def keep_axes(xp: Any, g: Array, shape: Shape, axis: Any, keepdims: bool) -> Array:
    """Return the result of a reduction as it is with ``keepdims=True``."""
    if keepdims:
        return g
    axes = normalise_axes(axis, len(shape))
    return xp.reshape(g, tuple(1 if i in axes else n for i, n in enumerate(shape)))
