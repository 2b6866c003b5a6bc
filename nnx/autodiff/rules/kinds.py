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

import operator
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from nnx.autodiff.primitive import Pullback, WithPullback, WithTangent
from nnx.autodiff.rules.parts import Part, Spec
from nnx.autodiff.rules.shapes import cast, fit, keep_axes, match
from nnx.autodiff.traced import TracedArray
from nnx.backend import add_into, is_array, multiply_into, namespace
from nnx.types import Array, DType, Shape


class Rule(Protocol):
    """What a table of rules maps a name to."""

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent | None:
        """Return it in the form that also returns the tangent, or None to have its pullback transposed."""


Term = tuple[Any, bool]
"""A summand of a tangent, and whether its memory is new, so that it may be added to in place."""


def _added(first: Term, second: Term) -> Term:
    if second[1] and not first[1]:
        first, second = second, first
    return (add_into if first[1] else operator.add)(first[0], second[0]), True


def _fitted(term: Array, is_new: bool, output: Array) -> Term:
    if term.shape == output.shape and term.dtype == output.dtype:
        return term, is_new
    return fit(term, output), False  # what was broadcast is a view


class Elementwise:
    r"""An elementwise function :math:`y = f(x_1, x_2)`, by its factors :math:`\partial y / \partial x_i`.

    A factor is 1, -1, the name of the argument or output that it is, or a small function that returns a new array;
    ``None`` for an argument without a derivative. ``parameters`` are the names of the positional parameters.
    ``both(x1, x2, y, dx1, dx2)`` is the tangent where both arguments have one, if it is less work than the sum.
    """

    def __init__(
        self,
        *factors: Callable[..., Any] | str | int | None,
        parameters: str | None = None,
        both: Callable[..., Array] | None = None,
    ) -> None:
        count = len(factors)
        default = ["x"] if count == 1 else [f"x{i + 1}" for i in range(count)]
        names = default if parameters is None else [name.strip() for name in parameters.split(",")]
        self._parts: list[Any] = [Part(f, names) if isinstance(f, str) or callable(f) else f for f in factors]
        self._both = both
        self._is_product = factors == ("x2", "x1")

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""
        parts = self._parts
        if len(parts) == 1:
            return _unary(function, parts[0])
        if len(parts) == 2:
            return _binary(function, parts[0], parts[1], self._is_product)

        def with_pullback(wanted: Sequence[Any], *args: Any) -> tuple[Any, Pullback]:
            output = function(*args)
            values = (*args, output)
            plan = [
                _entry(part, values, arg) if want and part is not None else None
                for part, arg, want in zip(parts, args, wanted, strict=True)
            ]
            return output, lambda g: [None if entry is None else _times_factor(g, *entry) for entry in plan]

        return with_pullback

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent:
        """Return the primitive ``function`` in the form that also returns the tangent of its output."""
        parts, both = self._parts, self._both

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            output = function(*args, **options)
            if both is not None and tangents[0] is not None and tangents[1] is not None:
                return output, fit(both(*args, output, *tangents), output)
            values = (*args, output)
            found: Term | None = None
            for part, tangent in zip(parts, tangents, strict=True):
                if tangent is not None and part is not None:
                    term = _fitted(*_term(tangent, part, values), output)
                    found = term if found is None else _added(found, term)
            return output, None if found is None else found[0]

        return with_tangent


# The two forms that nearly every operation has, written out: they are the overhead of a node.


def _unary(function: Callable[..., Any], part: Part | int | None) -> WithPullback:
    def with_pullback(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Any, Pullback]:
        output = function(x, **options)
        entry = _entry(part, (x, output), x)
        return output, lambda g: (_times_factor(g, *entry),)

    return with_pullback


def _binary(
    function: Callable[..., Any], part1: Part | int | None, part2: Part | int | None, is_product: bool
) -> WithPullback:
    def with_pullback(wanted: Sequence[Any], x1: Any, x2: Any, **options: Any) -> tuple[Any, Pullback]:
        output = function(x1, x2, **options)
        values = (x1, x2, output)
        first = _entry(part1, values, x1) if wanted[0] and part1 is not None else None
        second = _entry(part2, values, x2) if wanted[1] and part2 is not None else None
        is_square = is_product and x1 is x2

        def pullback(g: Array) -> tuple[Any, Any]:
            cotangent = None if first is None else _times_factor(g, *first)
            if is_square and first is not None:
                return cotangent, cotangent
            return cotangent, None if second is None else _times_factor(g, *second)

        return output, pullback

    return with_pullback


def _entry(part: Any, values: tuple[Any, ...], arg: Array) -> tuple[Any, Any, Shape, DType]:
    """Return what the pullback needs for one argument; of the values, the output is the last."""
    kept = None if type(part) is int else part.pick(values)
    return part, kept, arg.shape, arg.dtype


def _times_factor(g: Array, part: Part | int, kept: Any, shape: Shape, dtype: DType) -> Array:
    cotangent = (g if part == 1 else -g) if kept is None else part.times(g, kept)  # type: ignore[union-attr]
    if cotangent.shape == shape and cotangent.dtype == dtype:
        return cotangent
    return match(cotangent, Spec(shape, dtype))


def _term(tangent: Array, part: Part | int, values: tuple[Any, ...]) -> Term:
    if type(part) is int:
        return (tangent, False) if part == 1 else (-tangent, True)
    return part.times(tangent, part.pick(values)), True  # type: ignore[union-attr]


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
            output = function(*args, **options)
            moved = list(args)
            for i, part in enumerate(self._parts):
                if part is not None and i < len(args):
                    moved[i] = _zero(args[i]) if tangents[i] is None else tangents[i]
            return output, function(*moved, **options)

        return with_tangent


class Multilinear(Transposed):
    """A function that is linear in each of its differentiable arguments alone, such as ``matmul``."""

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent | None:
        """Return the form that applies the function with one argument after the other replaced by its tangent."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            output = function(*args, **options)
            found: Term | None = None
            for i, tangent in enumerate(tangents):
                if tangent is not None:
                    moved = list(args)
                    moved[i] = tangent
                    term = _fitted(function(*moved, **options), True, output)
                    found = term if found is None else _added(found, term)
            return output, None if found is None else found[0]

        return with_tangent


class Weighted:
    r"""A reduction whose derivative is a weighted sum, :math:`\dot y = s \sum_i w_i \dot x_i`.

    The small function returns the weights, a new array in the shape of ``x``, and the scale ``s``, an array in the
    shape of the output with its axes kept, or a number. It may take ``y`` with its axes kept, ``axis``, ``correction``
    and ``spec``.
    """

    def __init__(self, weights: Callable[..., tuple[Array, Any]]) -> None:
        self.positional = 1
        self._part = Part(weights, ["x"])

    def _weights(self, output: Any, x: Array, options: dict[str, Any]) -> tuple[Array, Any]:
        spec = Spec(tuple(x.shape), x.dtype)
        y = _with_axes(output, spec.shape, options)
        weights, scale = self._part.apply(output, *self._part.keep(y, (x,), options, spec))
        return weights, scale

    def bind(self, function: Callable[..., Any]) -> WithPullback:
        """Return the primitive ``function`` in the form that also returns its pullback."""

        def with_pullback(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Any, Pullback]:
            output = function(x, **options)

            def pullback(g: Array) -> tuple[Array]:
                weights, scale = self._weights(output, x, options)
                spec = Spec(tuple(x.shape), x.dtype)
                return (match(multiply_into(weights, _with_axes(g, spec.shape, options) * scale), spec),)

            return output, pullback

        return with_pullback

    def bind_tangent(self, function: Callable[..., Any]) -> WithTangent | None:
        """Return the primitive ``function`` in the form that also returns the tangent of its output."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            (x,), (tangent,) = args, tangents
            output = function(x, **options)
            weights, scale = self._weights(output, x, options)
            xp = namespace(output, tangent)
            moved = xp.sum(multiply_into(weights, tangent), axis=options.get("axis"), keepdims=True) * scale
            return output, cast(xp, xp.reshape(moved, output.shape), output.dtype)

        return with_tangent


def _with_axes(array: Array, shape: Shape, options: dict[str, Any]) -> Array:
    return keep_axes(namespace(array), array, shape, options.get("axis"), options.get("keepdims", False))


def _zero(x: Any) -> Any:
    return namespace(x).zeros_like(x) if hasattr(x, "shape") else 0.0
