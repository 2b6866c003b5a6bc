"""The contract of everything differentiable: a function of arrays that can also return its pullback.

Read this file and one in ``nnx/functional/`` to see how a function is written. Elsewhere:

- ``nnx/autodiff/tape.py`` records calls on traced arrays and walks them backward.
- ``nnx/autodiff/dual.py`` carries tangents instead, for forward mode.
- ``nnx/autodiff/dispatch.py`` decides which kernel runs instead of the portable body.
- ``nnx/autodiff/rules/`` has the derivative rules of the standard's own functions, as tables.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, overload

from nnx.autodiff.dispatch import Candidate, Kernel, candidates, fits_device, load_kernels
from nnx.autodiff.options import PLAIN, with_python_numbers
from nnx.autodiff.traced import TracedArray
from nnx.autodiff.wanted import NOTHING, Wanted, as_wanted
from nnx.backend.tiers import LIMIT
from nnx.errors import MissingRuleError

P = ParamSpec("P")
R = TypeVar("R")

Pullback = Callable[[Any], Sequence[Any]]
"""Takes the cotangent of the output; returns one cotangent for each positional argument, or ``None``."""

PullbackRule = Callable[..., tuple[Any, Pullback]]
"""``rule(wanted, *args, **options) -> (output, pullback)``."""

TangentRule = Callable[..., tuple[Any, Any]]
"""``rule(args, tangents, options) -> (output, tangent)``; a tangent is ``None`` where it is zero."""


class Primitive(Generic[P, R]):
    """A function that is differentiated as a whole, by a rule instead of through its operations.

    Made by the decorator :func:`primitive`. Its positional parameters are arrays; keyword-only parameters are
    options, which get Python numbers for NumPy's. Called on plain arrays it runs the function. If an argument is
    traced, the trace runs the rule on the values and records one node.

    Parameters
    ----------
    function : callable
        Array API code. Called directly on traced arrays it is differentiated operation by operation, which is how a
        hand-written pullback is checked.
    name : str, optional
        Its name in error messages; by default the function's own.
    retraced : bool
        Whether forward mode, if there is no tangent rule, differentiates ``function`` operation by operation.
        Otherwise it transposes the pullback.
    takes_keywords : bool
        Whether an array may be passed by the name of its parameter.
    may_hide_traced : bool
        Whether ``function`` could use a traced array that is not among its arguments, so that traces must check.
    may_have_kernels : bool
        Whether to look for kernels.

    Attributes
    ----------
    function : callable
    rule : callable
        The form of the function that also returns its pullback.
    fresh : bool
        Whether the cotangents that its pullback returns are new memory.
    tangent_rule : callable or None
        The form of the function that also returns its tangent.
    kernels : list of Kernel
        Faster bodies; see :meth:`kernel`.
    flops : callable or None
        The rule of :meth:`with_flops`.
    counts_inside : bool
        Whether its operations are counted one by one if there is no such rule.
    is_transparent : bool
        Whether :func:`nnx.compile` records the calls inside it, which may change buffers, instead of the call itself.
    """

    function: Callable[P, R]
    plain_rule: PullbackRule  # the rule where no value is traced; library functions have a faster one
    plain_tangent_rule: TangentRule | None = None
    tangent_rule: TangentRule | None = None
    fresh: bool = False
    flops: Callable[..., int] | None = None
    is_transparent: bool = False
    signature: Any = None  # the standard's, for its own functions: other arguments are refused

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        retraced: bool = True,
        takes_keywords: bool = True,
        may_hide_traced: bool = True,
        may_have_kernels: bool = True,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = name or str(getattr(function, "__name__", function))
        self.rule: PullbackRule = self._without_rule
        self.plain_rule = self.rule
        self.retraced = self.counts_inside = retraced
        self.takes_keywords = takes_keywords
        self.may_hide_traced = may_hide_traced
        self.may_have_kernels = may_have_kernels
        self.kernels: list[Kernel] = []
        self._by_type: dict[type, tuple[Candidate, ...]] = {}  # a cache of candidates()
        self._positional: dict[str, Any] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it on plain arrays, or let the innermost transform that traces an argument record it."""
        if kwargs and self.takes_keywords:
            args, kwargs = self._arrays_first(args, kwargs)  # type: ignore[assignment]
        for arg in args:
            if type(arg) is TracedArray:
                signature = self.signature
                if signature is not None and (kwargs or len(args) > signature.most):
                    signature.refuse(self.name, args, kwargs)
                return arg.trace.record(self, args, kwargs)  # which hands on to a trace inside it
        if args and self.may_have_kernels:
            found = self._by_type.get(type(args[0]))
            if found is None:
                found = self.kernels_for(args[0])
            for rank, device, rule, _, kernel in found:
                if rank <= LIMIT.get() and (device is None or fits_device(kernel, args[0])):
                    try:
                        made = rule(NOTHING, *args, **kwargs)
                    except TypeError:
                        inspect.signature(self.function).bind(*args, **kwargs)  # raises Python's own message
                        raise
                    if type(made) is tuple:
                        return made[0]
        return self.function(*args, **kwargs)

    @overload
    def with_pullback(self, rule: PullbackRule, *, fresh: bool = False) -> PullbackRule: ...

    @overload
    def with_pullback(self, rule: None = None, *, fresh: bool = False) -> Callable[[PullbackRule], PullbackRule]: ...

    def with_pullback(self, rule: PullbackRule | None = None, *, fresh: bool = False) -> Any:
        """Register the form that also returns the pullback; a decorator.

        The rule is ``rule(wanted, *args, **options) -> (output, pullback)``. ``wanted[i]`` is true if the cotangent
        of argument ``i`` will be used; nothing else need be computed or kept. It may be narrowed before the pullback
        is called, so the pullback checks again before costly work. The pullback takes the cotangent of the output
        and returns one cotangent per positional argument, ``None`` where none was wanted. It may be called more than
        once, and must not change any array, in particular not the cotangent that it was given.

        Parameters
        ----------
        rule : callable
        fresh : bool
            Promise that every array that the pullback returns is new memory: not the cotangent that it was given, nor
            a view of it, nor a residual, and no array twice. The tape then accumulates into it in place. Such a
            pullback may also write into its cotangent if ``wanted.may_overwrite`` is true when it is called.
        """
        if rule is None:
            return functools.partial(self.with_pullback, fresh=fresh)
        self.rule = self.plain_rule = rule
        self.fresh = fresh
        return rule

    def with_tangent(self, rule: TangentRule) -> TangentRule:
        """Register the form that also returns the tangent; a decorator.

        The rule is ``rule(args, tangents, options) -> (output, tangent)``. A tangent is ``None`` where it is zero.
        """
        self.tangent_rule = self.plain_tangent_rule = rule
        return rule

    def with_flops(self, rule: Callable[..., int]) -> Callable[..., int]:
        """Register the number of floating-point operations, ``rule(output, *args, **options)``; a decorator."""
        self.flops = rule
        return rule

    def kernel(
        self, library: str, *, device: str | None = None, tier: str = "native", fresh: bool = False
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a faster body for plain arrays of one library; a decorator.

        The body is a rule as in :meth:`with_pullback`, or returns ``nnx.kernels.Declined(reason)`` for arguments that
        it leaves to the next one. Its pullback may be given a traced cotangent, and then falls back on
        :meth:`portable_pullback`. Tests hold each kernel to the portable body.

        Parameters
        ----------
        library : str
            As in :func:`nnx.use_backend`.
        device : {"cpu", "cuda"}, optional
            Default any.
        tier : {"native", "compiled"}
        fresh : bool
            As in :meth:`with_pullback`.
        """

        def register(rule: Callable[..., Any]) -> Callable[..., Any]:
            self.kernels.append(Kernel(library, device, tier, rule, fresh))
            self._by_type = {}
            return rule

        return register

    def kernels_for(self, array: Any) -> tuple[Candidate, ...]:
        """Return the kernels that may run instead of the portable body for arrays of this type, best first."""
        load_kernels(array)
        cache = self._by_type  # before the kernels are read: one registered meanwhile gets a new cache
        found = cache[type(array)] = candidates(self.kernels, array)
        return found

    def run_rule(self, wanted: Wanted, args: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Pullback, bool]:
        """Run the first body that accepts the plain values; also return whether its cotangents are fresh."""
        found = self._by_type.get(type(args[0]))
        if found is None:
            found = self.kernels_for(args[0])
        for rank, device, rule, fresh, kernel in found:
            if rank <= LIMIT.get() and (device is None or fits_device(kernel, args[0])):
                made = rule(wanted, *args, **options)
                if type(made) is tuple:
                    return *made, fresh
        output, pullback = self.plain_rule(wanted, *args, **options)
        return output, pullback, self.fresh

    def bodies(self, args: Sequence[Any]) -> Iterator[tuple[Callable[..., Any], bool]]:
        """Iterate over the kernels that may accept plain values, best first; also say whether cotangents are fresh."""
        for rank, device, rule, fresh, kernel in self.kernels_for(args[0]) if args else ():
            if rank <= LIMIT.get() and (device is None or fits_device(kernel, args[0])):
                yield rule, fresh

    def portable_pullback(self, wanted: Sequence[int], *args: Any, **options: Any) -> Pullback:
        """Return the pullback of the portable body, for kernels whose pullback is given a traced cotangent."""
        return self.rule(wanted, *args, **options)[1]

    def _without_rule(self, wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback]:
        raise MissingRuleError(f"{self.name} has no derivative rule")

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> str:
        return str(vars(self)["__qualname__"])  # pickled by reference, as a function is

    def _arrays_first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Make arguments positional that were passed by the name of a positional parameter."""
        if self._positional is None:
            self._positional = {
                name: parameter.default
                for name, parameter in inspect.signature(self.function).parameters.items()
                if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            }
        if not kwargs.keys() & self._positional.keys():
            return args, kwargs if PLAIN.issuperset(map(type, kwargs.values())) else with_python_numbers(kwargs)
        rest = dict(kwargs)
        found = list(args)
        for name, default in list(self._positional.items())[len(args) :]:
            found.append(rest.pop(name, default))
        if any(value is inspect.Parameter.empty for value in found):
            inspect.signature(self.function).bind(*args, **kwargs)  # raises Python's own message
        return tuple(found), with_python_numbers(rest)


def primitive(function: Callable[P, R]) -> Primitive[P, R]:
    """Make a function one node of the tape, with its own pullback.

    Parameters
    ----------
    function : callable
        Array API code. Positional parameters are arrays (or ``None``), keyword-only parameters are options.

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
    >>> @cube.with_pullback(fresh=True)
    ... def _(wanted, x):
    ...     return cube(x), lambda cotangent: (3 * x**2 * cotangent,)
    >>> float(nnx.grad(cube)(np.asarray(2.0)))
    12.0
    """
    return Primitive(function)


__all__ = [
    "NOTHING",
    "Primitive",
    "Pullback",
    "PullbackRule",
    "TangentRule",
    "Wanted",
    "as_wanted",
    "primitive",
]
