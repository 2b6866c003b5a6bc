"""The traced namespace: the functions of an array API namespace, for traced arrays beside plain ones."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitive import Primitive
from nnx.autodiff.rules import CONSTANT, JOINED, PASSED, RULES
from nnx.autodiff.rules.kinds import Rule
from nnx.autodiff.rules.manipulation import GETITEM
from nnx.autodiff.traced import TracedArray
from nnx.backend import library_name, namespace
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
    bound.name = name
    bound.takes_keywords = False  # arrays are positional-only in the standard
    bound.forward = rule.bind(bound)
    bound.forward_of_plain = rule.bind(function)
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


_NAMESPACES: dict[Namespace, TracedNamespace] = {}


def traced_namespace(xp: Namespace) -> TracedNamespace:
    """Return the traced namespace over an array API namespace."""
    found = _NAMESPACES.get(xp)
    return found if found is not None else _NAMESPACES.setdefault(xp, TracedNamespace(xp))


# What follows completes TracedArray. The operators compute with those of the plain arrays, so that a traced function
# gives the same bits as the plain one.
_OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "pow": "pow",
    "matmul": "matmul",
    "neg": "negative",
    "pos": "positive",
    "abs": "abs",
    "getitem": "getitem",
}
_CONSTANT_OPERATORS = ("floordiv", "mod", "eq", "ne", "lt", "le", "gt", "ge")
_REFLECTED = ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod")


def _attach(name: str, function: Callable[..., Any]) -> None:
    # A plain function becomes a method; an instance, such as a primitive, would not be given the array.
    if name in ("neg", "pos", "abs"):
        setattr(TracedArray, f"__{name}__", lambda self: function(self))
        return
    setattr(TracedArray, f"__{name}__", lambda self, other: function(self, other))
    if name in _REFLECTED:
        setattr(TracedArray, f"__r{name}__", lambda self, other: function(other, self))


for _name, _standard in _OPERATORS.items():
    _attach(_name, _bound(_standard, getattr(operator, _name), {**RULES, "getitem": GETITEM}[_standard]))
for _name in _CONSTANT_OPERATORS:
    _attach(_name, _constant(getattr(operator, _name)))


def _array_namespace(self: TracedArray, /, *, api_version: str | None = None) -> TracedNamespace:
    return traced_namespace(namespace(self.untraced))


TracedArray.__array_namespace__ = _array_namespace  # type: ignore[attr-defined]
TracedArray.mT = property(lambda self: self.__array_namespace__().matrix_transpose(self))  # type: ignore[attr-defined]
TracedArray.T = TracedArray.mT  # type: ignore[attr-defined]
