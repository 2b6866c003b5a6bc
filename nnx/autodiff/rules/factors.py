"""The kind of rule of the elementwise functions: one factor for each argument.

These are most of what is recorded: the pullback is written for little overhead, and for little fresh memory.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitive import Carrier, Pullback, WithPullback, WithTangent
from nnx.autodiff.rules.parts import Part, Spec
from nnx.autodiff.rules.shapes import fit, match
from nnx.autodiff.traced import TracedArray
from nnx.backend import add_into
from nnx.types import Array, DType, Shape

Term = tuple[Any, bool]
"""A summand of a tangent, and whether its memory is new, so that it may be added to in place."""


def added(first: Term, second: Term) -> Term:
    """Return the sum of two summands, in memory of theirs where that is new."""
    if second[1] and not first[1]:
        first, second = second, first
    return (add_into if first[1] else operator.add)(first[0], second[0]), True


def fitted(term: Array, is_new: bool, output: Array) -> Term:
    """Return a summand in the shape and dtype of the output."""
    found = fit(term, output)
    return found, is_new and found is term  # what was broadcast is a view


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
            return output, lambda g: [None if e is None else _times_factor(g, False, *e) for e in plan]

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
                    term = fitted(*_term(tangent, part, values), output)
                    found = term if found is None else added(found, term)
            return output, None if found is None else found[0]

        return with_tangent


# The two forms that nearly every operation has, written out: they are the overhead of a node.


def _unary(function: Callable[..., Any], part: Part | int | None) -> WithPullback:
    def with_pullback(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Any, Pullback]:
        output = function(x, **options)
        return output, _Carrier(_entry(part, (x, output), x), None, False)

    return with_pullback


def _binary(
    function: Callable[..., Any], part1: Part | int | None, part2: Part | int | None, is_product: bool
) -> WithPullback:
    def with_pullback(wanted: Sequence[Any], x1: Any, x2: Any, **options: Any) -> tuple[Any, Pullback]:
        output = function(x1, x2, **options)
        values = (x1, x2, output)
        first = _entry(part1, values, x1) if wanted[0] and part1 is not None else None
        second = _entry(part2, values, x2) if wanted[1] and part2 is not None else None
        return output, _Carrier(first, second, is_product and x1 is x2)

    return with_pullback


_Entry = tuple[Any, Any, Shape, DType]
"""What a pullback keeps for one argument: the part, the values for it, and the argument's shape and dtype."""


class _Carrier(Carrier):
    """The pullback of an elementwise function of one or two arguments."""

    __slots__ = ("first", "is_square", "second")

    def __init__(self, first: _Entry | None, second: _Entry | None, is_square: bool) -> None:
        self.first = first
        self.second = second
        self.is_square = is_square  # both cotangents are the same

    def carry(self, cotangent: Any, may_write: bool) -> tuple[Sequence[Any], bool]:
        first, second = self.first, self.second
        if second is None:
            if first is None:
                return (None, None), False
            to_first = _times_factor(cotangent, may_write, *first)
            return (to_first, None), to_first is cotangent and may_write if _hands_on(first) else True
        if first is None:
            to_second = _times_factor(cotangent, may_write, *second)
            return (None, to_second), to_second is cotangent and may_write if _hands_on(second) else True
        to_first = _times_factor(cotangent, False, *first)
        if self.is_square or _hands_on(first):
            return (to_first, to_first if self.is_square else _times_factor(cotangent, False, *second)), False
        # An outer transform that traces the first result has kept the cotangent as a factor of it.
        to_second = _times_factor(cotangent, may_write and type(to_first) is not TracedArray, *second)
        return (to_first, to_second), not _hands_on(second)


def _hands_on(entry: _Entry) -> bool:
    """Tell whether the cotangent itself, or a view of it, goes to the argument."""
    return entry[0] == 1 and entry[1] is None


def _entry(part: Any, values: tuple[Any, ...], arg: Array) -> _Entry:
    """Return what the pullback needs for one argument; of the values, the output is the last."""
    kept = None if type(part) is int else part.pick(values)
    return part, kept, arg.shape, arg.dtype


def _times_factor(g: Array, may_write: bool, part: Part | int, kept: Any, shape: Shape, dtype: DType) -> Array:
    cotangent = (g if part == 1 else -g) if kept is None else part.times(g, kept, may_write)  # type: ignore[union-attr]
    if cotangent.shape == shape and cotangent.dtype == dtype:
        return cotangent
    return match(cotangent, Spec(shape, dtype))


def _term(tangent: Array, part: Part | int, values: tuple[Any, ...]) -> Term:
    if type(part) is int:
        return (tangent, False) if part == 1 else (-tangent, True)
    return part.times(tangent, part.pick(values)), True  # type: ignore[union-attr]
