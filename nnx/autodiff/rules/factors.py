"""The kind of rule of the elementwise functions: one factor per argument.

Most recorded calls are of this kind, so the pullbacks are written for low overhead and little fresh memory.
"""

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from nnx.autodiff.primitives import Pullback, PullbackRule, TangentRule, Wanted
from nnx.autodiff.rules.parts import Part, Spec, reads_of
from nnx.autodiff.rules.shapes import fit, match
from nnx.autodiff.traced import TracedArray
from nnx.backend import add_into
from nnx.types import Array, DType, Shape

Term = tuple[Any, bool]
"""A summand of a tangent, and whether its memory is new, so that it may be accumulated into."""


def added(first: Term, second: Term) -> Term:
    """Return the sum of two summands, in the memory of one of them if that is new."""
    if second[1] and not first[1]:
        first, second = second, first
    return (add_into if first[1] else operator.add)(first[0], second[0]), True


def fitted(term: Array, is_new: bool, output: Array) -> Term:
    """Return a summand in the shape and dtype of the output."""
    found = fit(term, output)
    return found, is_new and found is term  # what was broadcast is a view


class Elementwise:
    r"""The rule of an elementwise function :math:`y = f(x_1, x_2)`: its factors :math:`\partial y / \partial x_i`.

    A factor is 1, -1, the name of the argument or output that it equals, or a small function that returns a new
    array; ``None`` for an argument without a derivative. ``parameters`` are the names of the positional parameters.
    ``both(x1, x2, y, dx1, dx2)`` computes the tangent if both arguments have one and that takes less work than the
    sum of two products.
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
        # A factor of 1 returns the cotangent itself; all others return a product or the negative, in new memory.
        self.fresh = 1 not in self._parts
        self.parameters: Sequence[str] = names
        self.reads = reads_of(self._parts)
        self._is_product = factors == ("x2", "x1")

    def bind(self, function: Callable[..., Any]) -> PullbackRule:
        """Return the primitive ``function`` in the form that also returns its pullback."""
        parts = self._parts
        if len(parts) == 1:
            return _unary(function, parts[0])
        if len(parts) == 2:
            return _binary(function, parts[0], parts[1], self._is_product)

        def rule(wanted: Sequence[Any], *args: Any) -> tuple[Any, Pullback]:
            output = function(*args)
            values = (*args, output)
            plan = [
                (part, part.pick(values), arg.shape, arg.dtype) if want and part is not None else None
                for part, arg, want in zip(parts, args, wanted, strict=True)
            ]
            return output, lambda g: [None if e is None else _times_factor(g, False, *e) for e in plan]

        return rule

    def bind_tangent(self, function: Callable[..., Any]) -> TangentRule:
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


# Nearly all operations have one or two arguments. Both forms are written out, since they are the overhead of a node:
# no lists, no loops, and a pullback that does only what is wanted.
# The pullbacks are partial applications: a closure would make a cell for each name, which costs as much as recording.


def _unary(function: Callable[..., Any], part: Part | int | None) -> PullbackRule:
    pick = _picker_of(part)

    def rule(wanted: Wanted, x: Array, **options: Any) -> tuple[Any, Pullback]:
        output = function(x, **options)
        return output, partial(_to_only, wanted, (part, pick and pick((x, output)), x.shape, x.dtype))

    return rule


def _binary(
    function: Callable[..., Any], part1: Part | int | None, part2: Part | int | None, is_product: bool
) -> PullbackRule:
    pick1, pick2 = _picker_of(part1), _picker_of(part2)

    def rule(wanted: Wanted, x1: Any, x2: Any, **options: Any) -> tuple[Any, Pullback]:
        output = function(x1, x2, **options)
        values = (x1, x2, output)
        first = second = None
        if wanted[0] and part1 is not None:
            first = (part1, pick1 and pick1(values), x1.shape, x1.dtype)
        if wanted[1] and part2 is not None:
            second = (part2, pick2 and pick2(values), x2.shape, x2.dtype)
        if second is None:
            return output, _nothing if first is None else partial(_to_first, wanted, first)
        if first is None:
            return output, partial(_to_second, wanted, second)
        if is_product and x1 is x2:  # x * x: one product, doubled
            return output, partial(_square, first)
        return output, partial(_to_both, wanted, first, second)

    return rule


def _to_only(wanted: Wanted, entry: Any, g: Array) -> tuple[Array]:
    return (_times_factor(g, wanted.may_overwrite, *entry),)


def _to_first(wanted: Wanted, entry: Any, g: Array) -> tuple[Array, None]:
    return _times_factor(g, wanted.may_overwrite, *entry), None


def _to_second(wanted: Wanted, entry: Any, g: Array) -> tuple[None, Array]:
    return None, _times_factor(g, wanted.may_overwrite, *entry)


def _to_both(wanted: Wanted, first: Any, second: Any, g: Array) -> tuple[Array, Array]:
    # The first product must leave g intact for the second, which may then take over its memory.
    to_first = _times_factor(g, False, *first)
    # Unless an outer transform traces the first result: it has kept g as a factor for its own pullback.
    may_write = wanted.may_overwrite and type(to_first) is not TracedArray
    return to_first, _times_factor(g, may_write, *second)


_Entry = tuple[Any, Any, Shape, DType]
"""What a pullback keeps for one argument: the part, its residuals, and the argument's shape and dtype."""


def _nothing(g: Array) -> tuple[None, None]:
    """Return no cotangents, where none is wanted."""
    return None, None


def _square(entry: _Entry, g: Array) -> tuple[Array, None]:
    """Return the cotangents of x * x: the sum of both as the first."""
    once = _times_factor(g, False, *entry)
    return add_into(once, once), None


def _picker_of(part: Any) -> Callable[[tuple[Any, ...]], Any] | None:
    """Return what picks the residuals of one argument from arguments and output, or ``None`` where there are none."""
    return part.pick if isinstance(part, Part) else None


def _times_factor(g: Array, may_write: bool, part: Part | int, kept: Any, shape: Shape, dtype: DType) -> Array:
    cotangent = (g if part == 1 else -g) if kept is None else part.times(g, kept, may_write)  # type: ignore[union-attr]
    # The test of match, before the call: most arguments were neither broadcast nor promoted.
    if cotangent.shape == shape and cotangent.dtype == dtype:
        return cotangent
    return match(cotangent, Spec(shape, dtype))


def _term(tangent: Array, part: Part | int, values: tuple[Any, ...]) -> Term:
    if type(part) is int:
        return (tangent, False) if part == 1 else (-tangent, True)
    return part.times(tangent, part.pick(values)), True  # type: ignore[union-attr]
