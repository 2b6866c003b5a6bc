"""The traced namespace: the functions of an array API namespace, for traced arrays beside plain ones."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff import traced as _traced
from nnx.autodiff.primitive import Primitive
from nnx.autodiff.rules import CONSTANT, JOINED, PASSED, RULES
from nnx.autodiff.rules.kinds import Rule
from nnx.autodiff.rules.manipulation import GETITEM
from nnx.autodiff.traced import ARITHMETIC, COMPARISONS, OPERATORS, TRACED_NAMESPACES, UNARY, TracedArray
from nnx.backend import library_name
from nnx.errors import MissingRuleError
from nnx.types import Array, Namespace


class TracedNamespace:
    """A namespace with the standard's names, whose functions take traced arrays too.

    Attributes
    ----------
    untraced : namespace
        The namespace that does the work.
    """

    def __init__(self, untraced: Namespace) -> None:
        self.untraced = untraced
        self.__name__ = f"nnx.traced({library_name(untraced)})"
        members = vars(self)
        for name, rule in RULES.items():
            if hasattr(untraced, name):
                members[name] = self._differentiable(name, rule)
        for name in CONSTANT:
            if hasattr(untraced, name):
                members[name] = _constant(getattr(untraced, name))
        for name in PASSED:
            if hasattr(untraced, name):
                members[name] = getattr(untraced, name)

    def _differentiable(self, name: str, rule: Rule) -> Callable[..., Any]:
        function = getattr(self.untraced, name)
        if name not in JOINED:
            return _bound(name, function, rule)

        def one_by_one(*arrays: Array, axis: Any = 0) -> Array:
            return function(list(arrays), axis=axis)

        bound = _bound(name, one_by_one, rule)

        def joined(arrays: Sequence[Array], /, *, axis: Any = 0) -> Array:
            return bound(*arrays, axis=axis)

        return joined

    def __getattr__(self, name: str) -> Any:
        raise MissingRuleError(
            f"the traced namespace has no function {name!r}"
            + ("" if hasattr(self.untraced, name) else ", nor has the array library")
            + "; compute it from functions that have a derivative, or call it on nnx.stop_gradient(x)"
        )

    def __repr__(self) -> str:
        return f"<namespace {self.__name__}>"


def _bound(name: str, function: Callable[..., Any], rule: Rule) -> Primitive[..., Any]:
    bound: Primitive[..., Any] = Primitive(function)
    bound.__name__ = name
    bound.takes_keywords = False  # arrays are positional-only in the standard
    bound.with_pullback(rule.bind(bound))
    return bound


def _constant(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` on the plain arrays behind traced ones: its derivative is zero, or it has none."""

    def constant(*args: Any, **kwargs: Any) -> Any:
        return function(*(_plain(a) for a in args), **{name: _plain(a) for name, a in kwargs.items()})

    return constant


def _plain(value: Any) -> Any:
    if type(value) is TracedArray:
        return value.untraced
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value)
    return value


def _make(xp: Namespace) -> TracedNamespace:
    return TRACED_NAMESPACES.setdefault(xp, TracedNamespace(xp))


_STANDARD_NAMES = {
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "neg": "negative",
    "pos": "positive",
    "floordiv": "floor_divide",
    "mod": "remainder",
}

# The operators compute with the operators of the plain arrays, so that a traced function gives the same bits.
for _name in (*ARITHMETIC, *UNARY):
    _standard = _STANDARD_NAMES.get(_name, _name)
    _function = getattr(operator, _name)
    if _standard in RULES:
        OPERATORS[_name] = _bound(_standard, _function, RULES[_standard])
for _name in (*COMPARISONS, "floordiv", "mod"):
    OPERATORS[_name] = _constant(getattr(operator, _name))  # type: ignore[assignment]
OPERATORS["getitem"] = _bound("getitem", operator.getitem, GETITEM)
_traced.make_namespace = _make
