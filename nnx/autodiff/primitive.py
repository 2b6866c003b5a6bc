"""The one contract: a function of arrays that can also return its pullback."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from nnx.autodiff.traced import TracedArray
from nnx.errors import ArgumentError, MissingRuleError

P = ParamSpec("P")
R = TypeVar("R")

Pullback = Callable[[Any], Sequence[Any]]
"""Takes the cotangent of the output; returns one cotangent for each positional argument, or ``None``."""


class Carrier:
    """A pullback that can use memory again: elementwise, fresh memory costs as much as the work in it."""

    __slots__ = ()

    def __call__(self, cotangent: Any) -> Sequence[Any]:
        """Do what every pullback does: nothing is overwritten."""
        return self.carry(cotangent, False)[0]

    def carry(self, cotangent: Any, may_write: bool) -> tuple[Sequence[Any], bool]:
        """Return the cotangents of the arguments, and whether all of them may be overwritten by who gets them.

        That is so where nobody else holds their memory. With ``may_write`` nobody but the caller holds that of the
        cotangent, and the caller does not need it any more: it may be overwritten here, or handed on.
        """
        raise NotImplementedError


WithPullback = Callable[..., tuple[Any, Pullback]]
"""``with_pullback(wanted, *args, **options) -> (output, pullback)``."""

WithTangent = Callable[..., tuple[Any, Any]]
"""``with_tangent(args, tangents, options) -> (output, tangent)``; a tangent is ``None`` where it is zero."""


class Native(NamedTuple):
    """A faster body for plain arrays of one library: the forward, and the form with a pullback."""

    plain: Callable[..., Any]
    forward: WithPullback


class Primitive(Generic[P, R]):
    """A function that is differentiated as a whole: a plain forward, and the same with its pullback.

    Made by the decorator :func:`primitive`. Arrays are its positional parameters; keyword-only parameters are
    options. Called on plain arrays it runs the forward. If an argument is traced, the trace runs the form with
    a pullback on the values, and records one node.

    Attributes
    ----------
    plain : callable
        The forward, in array API code. Run on traced arrays it is differentiated operation by operation: that
        is how a hand-written pullback is checked.
    forward : callable
        The form with a pullback.
    forward_of_plain : callable
        The same, for values that are all plain; a rule of the standard's functions then saves a look at their types.
    tangent : callable or None
        The form with a tangent.
    tangent_of_plain : callable or None
        The same, for values and tangents that are all plain.
    retraced : bool
        Whether forward mode, without a form with a tangent, differentiates ``plain`` operation by operation; else it
        transposes the pullback.
    may_close_over_traced : bool
        Whether traces check that no traced array came in beside the arguments.
    name : str
        What errors call it.
    natives : dict from array type to Native
        Faster bodies, registered by :mod:`nnx.kernels`; a traced argument always takes the portable one.
    takes_keywords : bool
        Whether an array may be passed by the name of its parameter.
    most_by_position : int or None
        How many arguments a rule can see by position: a library may take options so too, which the standard does not.
    """

    def __init__(self, plain: Callable[P, R], with_pullback: WithPullback | None = None) -> None:
        functools.update_wrapper(self, plain)
        self.plain = plain
        self.forward = self.forward_of_plain = with_pullback or self._without_rule
        self._positional: dict[str, Any] | None = None
        self.tangent: WithTangent | None = None
        self.tangent_of_plain: WithTangent | None = None
        self.retraced = True
        self.may_close_over_traced = True
        self.takes_keywords = True
        self.most_by_position: int | None = None
        self.natives: dict[type, Native] = {}
        self.name: str = getattr(plain, "__name__", repr(plain))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it on plain arrays, or record it on the tape of the innermost transform that traces an argument."""
        if kwargs and self.takes_keywords:
            args, kwargs = self._arrays_first(args, kwargs)  # type: ignore[assignment]
        trace: Any = None
        for arg in args:
            if type(arg) is TracedArray and arg.trace is not trace and (trace is None or arg.trace.level > trace.level):
                trace = arg.trace
        if trace is None:
            native = self.natives.get(type(args[0])) if self.natives else None
            return self.plain(*args, **kwargs) if native is None else native.plain(*args, **kwargs)
        if self.most_by_position is not None and len(args) > self.most_by_position:
            raise ArgumentError(
                f"{self.name}: expected at most {self.most_by_position} arguments by position, as in the standard, got "
                f"{len(args)}; pass options by name, as in xp.sum(x, axis=0)"
            )
        return trace.record(self, args, kwargs)

    def with_pullback(self, rule: WithPullback) -> WithPullback:
        """Register the form that also returns the pullback; a decorator.

        The rule is ``rule(wanted, *args, **options) -> (output, pullback)``. ``wanted[i]`` is true where the
        cotangent of argument ``i`` is asked for: nothing else need be computed or kept. The pullback takes the
        cotangent of the output and returns one cotangent for each positional argument, ``None`` where none was
        wanted. It must not change an array, least of all the cotangent that it was given.
        """
        self.forward = self.forward_of_plain = rule
        return rule

    def with_tangent(self, rule: WithTangent) -> WithTangent:
        """Register the form that also returns the tangent; a decorator.

        The rule is ``rule(args, tangents, options) -> (output, tangent)``. A tangent is ``None`` where it is zero.
        """
        self.tangent = self.tangent_of_plain = rule
        return rule

    def _without_rule(self, wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback]:
        raise MissingRuleError(f"{self.name} has no derivative rule")

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def _arrays_first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Make positional what was passed by the name of a positional parameter."""
        if self._positional is None:
            self._positional = {
                name: parameter.default
                for name, parameter in inspect.signature(self.plain).parameters.items()
                if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            }
        if not kwargs.keys() & self._positional.keys():
            return args, kwargs
        rest = dict(kwargs)
        found = list(args)
        for name, default in list(self._positional.items())[len(args) :]:
            found.append(rest.pop(name, default))
        if any(value is inspect.Parameter.empty for value in found):
            inspect.signature(self.plain).bind(*args, **kwargs)  # raises Python's own message
        return tuple(found), rest


def primitive(plain: Callable[P, R]) -> Primitive[P, R]:
    """Make a function one node of the tape, with a pullback of its own.

    Parameters
    ----------
    plain : callable
        The forward in array API code. Positional parameters are arrays (or ``None``), keyword-only parameters
        are options.

    Returns
    -------
    Primitive
        Register the pullback with its method ``with_pullback``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> @nnx.primitive
    ... def cube(x):
    ...     return x**3
    >>> @cube.with_pullback
    ... def _(wanted, x):
    ...     return cube(x), lambda cotangent: (3 * x**2 * cotangent,)
    >>> float(nnx.grad(cube)(np.asarray(2.0)))
    12.0
    """
    return Primitive(plain)
