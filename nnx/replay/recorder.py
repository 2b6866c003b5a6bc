"""The record of one run of a function: every call that was made on arrays, in order, to be repeated.

It is a trace like those of the transforms, but the lowest one: what a transform inside it does to its arrays, forward
and backward, comes down to calls here. A kernel is one call, and so is its pullback, so that a repetition runs the
very code that the first run ran.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from nnx.autodiff.namespace import TracedNamespace, traced_namespace
from nnx.autodiff.primitives import Primitive, Pullback
from nnx.autodiff.tape import escaped
from nnx.autodiff.traced import Trace, TracedArray
from nnx.autodiff.wanted import NOTHING, Wanted
from nnx.backend import copied, is_array
from nnx.errors import TraceError
from nnx.replay.nesting import nested_map
from nnx.types import Array


@dataclass(frozen=True, slots=True)
class Ref:
    """Where a call takes an argument from, or puts a result: a variable of the program, by its number."""

    number: int


@dataclass(slots=True)
class Call:
    """One call of the program.

    Attributes
    ----------
    function : callable or Ref
        A ``Ref`` where it is the pullback that an earlier call returned.
    args, options
        Constants, and a :class:`Ref` for each array of the program, also inside of lists, tuples and dicts.
    output
        A ``Ref``, a tuple of them and of ``None`` for what is not used, or ``None``.
    fallback : callable or None
        What to call if the function declines the values that it is given.
    overwrites : (Wanted, bool) or None
        Of a pullback: whether it may write into its cotangent, which it reads from this object.
    is_effect : bool
        Whether it is made for what it does to a model or an optimizer, and not only for its result.
    """

    function: Any
    args: Sequence[Any]
    options: dict[str, Any]
    output: Any
    fallback: Callable[..., Any] | None = None
    overwrites: tuple[Wanted, bool] | None = None
    is_effect: bool = False


class Recorder(Trace):
    """The trace that records calls.

    Attributes
    ----------
    calls : list of Call
    """

    __slots__ = ("calls", "count")

    is_record: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.count = 0

    def variable(self, value: Array) -> TracedArray:
        """Return an array as a new variable of the program."""
        self.count += 1
        return TracedArray(value, self, self.count)

    def constant(self, value: Array) -> TracedArray:
        """Return an array that is the same in each repetition; each of them gets a copy, which it may write into."""
        return self._made(Call(copied, (copied(value),), {}, None), copied(value))

    def namespace(self, array: TracedArray) -> TracedNamespace:
        """Return the functions for an array of this trace."""
        return traced_namespace(array.value)

    def record(self, primitive: Primitive[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a primitive without its pullback."""
        for arg in args:
            if type(arg) is TracedArray and arg.trace.level > self.level:  # of a transform, which takes the call
                return arg.trace.record(primitive, args, options)
        if primitive.is_transparent:
            return primitive.function(*args, **options)
        self._refuse_closed(primitive)
        values, given = self.plain(args), self.plain(options)
        for rule, _ in primitive.bodies(values) if primitive.may_have_kernels else ():
            made = rule(NOTHING, *values, **given)
            if type(made) is tuple:
                call = Call(rule, (NOTHING, *self.lowered(args)), self.lowered(options), None, _Fallback(primitive))
                traced = self._traced(made[0])
                call.output = (_refs(traced), None)
                self.calls.append(call)
                return traced
        return self.call(primitive, args, options)

    def call(self, function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Call a function on the plain arrays, and record that."""
        self._refuse_closed(function)
        output = function(*self.plain(args), **self.plain(options))
        return self._made(Call(function, self.lowered(args), self.lowered(options), None), output)

    def run_rule(
        self, primitive: Primitive[..., Any], wanted: Wanted, values: Sequence[Any], options: dict[str, Any]
    ) -> tuple[Any, Pullback, bool]:
        """Run a rule for a transform inside this trace: on the plain arrays, so that kernels are used."""
        self._refuse_closed(primitive)
        if primitive.is_transparent:
            return *primitive.rule(wanted, *values, **options), primitive.fresh
        own = Wanted(wanted)  # what the rule sees, also in each repetition; narrowed with the other
        own.may_overwrite = False
        rule, made, fresh = _chosen(primitive, own, self.plain(values), self.plain(options))
        output, pullback = made
        traced = self._traced(output)
        self.count += 1
        back = Ref(self.count)
        fallback = None if rule is primitive.plain_rule else _Fallback(primitive)
        args = (own, *self.lowered(values))
        self.calls.append(Call(rule, args, self.lowered(options), (_refs(traced), back), fallback))

        def recorded(cotangent: Any) -> Sequence[Any]:
            if self._is_inside(cotangent):  # the pullback is itself differentiated
                return primitive.portable_pullback(wanted, *values, **options)(cotangent)
            own[:] = wanted
            own.may_overwrite = wanted.may_overwrite
            parts = pullback(self.plain(cotangent))
            found = [self._traced(part) for part in parts]
            told = own, wanted.may_overwrite
            call = Call(back, (self.lowered(cotangent),), {}, tuple(map(_refs, found)), overwrites=told)
            self.calls.append(call)
            return found

        return traced, recorded, fresh

    def plain(self, value: Any) -> Any:
        """Return a value with the plain arrays instead of those traced here."""
        return nested_map(self._plain_leaf, value)

    def lowered(self, value: Any) -> Any:
        """Return a value with references instead of the arrays traced here."""
        return nested_map(lambda leaf: Ref(leaf.entry) if type(leaf) is TracedArray else leaf, value)

    def read(self, array: TracedArray, name: str, kind: str) -> NoReturn:
        """Refuse: what depends on the number would be the same in each repetition."""
        raise TraceError(
            f"an array inside nnx.compile cannot become {kind}: what comes of it would be the same in each later call; "
            "use xp.where for a choice, return the array, or leave this part out of the compiled function"
        )

    def write(self, array: TracedArray, key: Any, value: Any) -> NoReturn:
        """Refuse, as the transforms do."""
        raise TraceError(
            "item assignment inside nnx.compile is not recorded; build the result with xp.where, xp.concat or xp.stack"
        )

    def hand_over(self, array: TracedArray, name: str, options: dict[str, Any]) -> NoReturn:
        """Refuse: what another library computes would not be recorded."""
        raise TraceError(
            "an array inside nnx.compile cannot be handed to another library, whose calls are not recorded; compute "
            "with xp = nnx.namespace(x), or leave this part out of the compiled function"
        )

    def _made(self, call: Call, output: Any) -> Any:
        traced = self._traced(output)
        call.output = _refs(traced)
        self.calls.append(call)
        return traced

    def _traced(self, output: Any) -> Any:
        return nested_map(self._traced_leaf, output)

    def _plain_leaf(self, leaf: Any) -> Any:
        if type(leaf) is not TracedArray:
            return leaf
        if leaf.trace is not self:
            raise _foreign(leaf)
        return leaf.value

    def _traced_leaf(self, leaf: Any) -> Any:
        if type(leaf) is TracedArray:
            raise TraceError(
                "a function that nnx.compile records as one call, such as a primitive, used an array that is not among "
                "its arguments; pass it as an argument"
            )
        return self.variable(leaf) if is_array(leaf) else leaf

    def _is_inside(self, cotangent: Any) -> bool:
        parts = cotangent if isinstance(cotangent, (tuple, list)) else (cotangent,)
        return any(type(part) is TracedArray and part.trace.level > self.level for part in parts)

    def _refuse_closed(self, function: Any) -> None:
        if self.closed:
            raise escaped(function)


class _Fallback:
    """The rule of a primitive for values that the recorded kernel declines."""

    def __init__(self, primitive: Primitive[..., Any]) -> None:
        self._primitive = primitive

    def __call__(self, wanted: Wanted, *args: Any, **options: Any) -> tuple[Any, Pullback]:
        return self._primitive.run_rule(wanted, args, options)[:2]


def _chosen(
    primitive: Primitive[..., Any], wanted: Wanted, values: Sequence[Any], options: dict[str, Any]
) -> tuple[Callable[..., Any], Any, bool]:
    """Return the body that accepts these values, what it returned, and whether its cotangents are fresh."""
    if primitive.may_have_kernels:
        for rule, fresh in primitive.bodies(values):
            made = rule(wanted, *values, **options)
            if type(made) is tuple:
                return rule, made, fresh
    return primitive.plain_rule, primitive.plain_rule(wanted, *values, **options), primitive.fresh


def _refs(output: Any) -> Any:
    if isinstance(output, (tuple, list)):
        return tuple(map(_refs, output))
    return Ref(output.entry) if type(output) is TracedArray else None


def _foreign(array: TracedArray) -> TraceError:
    if array.trace.closed:
        return TraceError(
            "an array of an earlier call of a compiled function, or of a transform that has ended, was used again; "
            "return what is needed later instead of storing it"
        )
    return TraceError("an array of a transform that was started outside nnx.compile cannot be used inside it")
